// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// TCP segments of our own, for a service with SYN cookies: a frame becomes another segment in
// place.
//
// - The client's SYN becomes our SYN-ACK, whose sequence number is a cookie (syn_cookie.h).
// - Its first ACK becomes our SYN to the backend, with what the cookie says of the client.
// - The backend's SYN-ACK becomes our window update to the client.
//
// Our SYN-ACK offers no window, so the client sends nothing before the backend is there. The window
// update repeats one byte before the client's first (RFC 9293, 3.10.7.4: such a segment is always
// acknowledged): the client's acknowledgement, translated, is what the backend waits for. No SACK
// and no timestamps: they would have to be translated too.
//
// The walk says what a frame is to become, and it becomes that behind the walk, read anew: a BPF
// program of its own has the stack for it. A segment behind IP options or extension headers is not
// answered.
#pragma once

#include "dataplane/core/checksum.h"
#include "dataplane/core/syn_cookie.h"
#include "dataplane/core/translate.h"
#include "dataplane/core/tunnel.h"

struct ps_headers {
  struct ps_ethernet *ethernet;
  struct ps_ipv4 *ipv4;  // by family
  struct ps_ipv6 *ipv6;
  struct ps_address *source;
  struct ps_address *destination;
  struct ps_tcp *tcp;
  __u32 segment_bytes;  // by the IP header
};

// 0: it is none of a whole TCP segment, or has IP options.
PS_INLINE int ps_find_headers(const struct ps_frame *frame, int family, struct ps_headers *found) {
  struct ps_cursor cursor = {frame->data, frame->end};
  found->ethernet = (struct ps_ethernet *)ps_take(&cursor, sizeof *found->ethernet);
  void *ip = found->ethernet ? ps_take(&cursor, ps_ip_header_bytes(family)) : 0;
  found->tcp = ip ? (struct ps_tcp *)ps_take(&cursor, sizeof *found->tcp) : 0;
  if (!found->tcp) return 0;
  found->ipv4 = (struct ps_ipv4 *)ip;
  found->ipv6 = (struct ps_ipv6 *)ip;
  if (family == PS_IPV4) {
    found->source = (struct ps_address *)&found->ipv4->source;
    found->destination = (struct ps_address *)&found->ipv4->destination;
    found->segment_bytes = ps_host16(found->ipv4->total_length) - (__u32)sizeof *found->ipv4;
    return found->ipv4->version_and_words == PS_IPV4_NO_OPTIONS &&
           found->ipv4->protocol == PS_TCP &&
           !(found->ipv4->fragment.raw & ps_wire16(PS_IPV4_FRAGMENTED).raw);
  }
  found->source = &found->ipv6->source;
  found->destination = &found->ipv6->destination;
  found->segment_bytes = ps_host16(found->ipv6->payload_length);
  return found->ipv6->next_header == PS_TCP;
}

PS_INLINE __u64 ps_sum_pseudo(int family, const struct ps_headers *headers, __u32 segment_bytes) {
  return ps_sum_address(family, headers->source) + ps_sum_address(family, headers->destination) +
         ps_wire16((__u16)segment_bytes).raw + ps_wire16(PS_TCP).raw;
}

PS_INLINE __u64 ps_sum_tcp(const struct ps_tcp *tcp) {
  const __u8 *at = (const __u8 *)tcp;
  return (__u64)ps_load32(at) + ps_load32(at + 4) + ps_load32(at + 8) + ps_load32(at + 12) +
         ps_load32(at + 16);
}

// Whether its checksum is right. A segment that carries data is taken as it is: what is kept of one
// carries none.
PS_INLINE int ps_is_intact(int family, const struct ps_headers *headers,
                           const struct ps_tcp_options *options) {
  const __u32 header_bytes = (headers->tcp->header_words >> 4) * 4u;
  if (headers->segment_bytes != header_bytes) return 1;
  __u64 sum = ps_sum_pseudo(family, headers, header_bytes) + ps_sum_tcp(headers->tcp);
  for (__u32 at = 0; at < PS_OPTION_BYTES; at += 4) sum += ps_load32(&options->bytes[at]);
  return ps_sum_fold(sum) == 0xffff;
}

// The headers of a segment that opens a connection, with its options. 0: it cannot be read.
PS_INLINE int ps_read_opening(const struct ps_frame *frame, int family, struct ps_headers *headers,
                              struct ps_tcp_options *options) {
  return ps_find_headers(frame, family, headers) && ps_read_options(frame, headers->tcp, options) &&
         ps_is_intact(family, headers, options);
}

// What a frame becomes. Addresses, ports and MACs stay, unless it is an answer: then both ends
// change places.
struct ps_segment {
  __u32 sequence;  // host order, as all here
  __u32 acknowledgement;
  __u16 window;
  __u16 mss;   // 0: no such option
  __u8 scale;  // PS_NO_SCALE: no such option
  __u8 flags;
  __u8 is_answer;
  __u8 payload_bytes;  // zeros: 0 or 1
};

PS_INLINE __u32 ps_segment_header_bytes(const struct ps_segment *segment) {
  return (__u32)sizeof(struct ps_tcp) + (segment->mss ? 4 : 0) +
         (segment->scale != PS_NO_SCALE ? 4 : 0);
}

// Moves all headers up to the ports, of a frame that is to be so much longer.
PS_INLINE int ps_move_headers(struct ps_frame *frame, int family, __u32 bytes) {
  __u32 word[15];  // Ethernet, IPv6, ports and 2 bytes more
  const __u32 words = family == PS_IPV4 ? 10 : 15;
  struct ps_cursor before = {frame->data, frame->end};
  const __u8 *from = (const __u8 *)ps_take(&before, words * 4);
  if (!from) return 0;
  for (__u32 i = 0; i < words; i++) word[i] = ps_load32(from + i * 4);
  if (!ps_frame_extend(frame, (__s32)bytes)) return 0;
  struct ps_cursor after = {frame->data, frame->end};
  __u8 *to = (__u8 *)ps_take(&after, words * 4);
  if (!to) return 0;
  for (__u32 i = 0; i < words; i++) ps_store32(to + i * 4, word[i]);
  return 1;
}

PS_INLINE int ps_resize(struct ps_frame *frame, int family, __u32 bytes) {
  const __u32 before = ps_frame_length(frame);
  if (before >= bytes) return before == bytes || ps_frame_cut(frame, bytes);
  return ps_move_headers(frame, family, bytes - before);
}

PS_INLINE void ps_exchange_ends(int family, const struct ps_headers *headers) {
  struct ps_ethernet *ethernet = headers->ethernet;
  ps_set_mac_pair(ethernet, ps_load_mac(ethernet->source), ps_load_mac(ethernet->destination));
  struct ps_address source = {};
  ps_set_address(family, &source, headers->source);
  ps_set_address(family, headers->source, headers->destination);
  ps_set_address(family, headers->destination, &source);
  const struct ps_be16 port = headers->tcp->source_port;
  headers->tcp->source_port = headers->tcp->destination_port;
  headers->tcp->destination_port = port;
}

// Length, and of an answer the hops: it begins here.
PS_INLINE void ps_write_ip(int family, const struct ps_headers *headers, __u32 segment_bytes,
                           int is_answer) {
  if (family == PS_IPV6) {
    headers->ipv6->payload_length = ps_wire16((__u16)segment_bytes);
    if (is_answer) headers->ipv6->hop_limit = PS_OWN_HOPS;
    return;
  }
  struct ps_ipv4 *ip = headers->ipv4;
  const struct ps_be16 length = ps_wire16((__u16)(segment_bytes + sizeof *ip));
  __u64 change = (__u64)(__u16)~ip->total_length.raw + length.raw;
  ip->total_length = length;
  if (is_answer) {
    change += (__u64)(__u16)~ip->ttl + PS_OWN_HOPS;  // the low byte of its word, as words are added
    ip->ttl = PS_OWN_HOPS;
  }
  ip->checksum = ps_sum_end(ps_sum_begin(ip->checksum) + change);
}

// The header but for ports and options.
PS_INLINE void ps_write_tcp(struct ps_tcp *tcp, const struct ps_segment *segment) {
  tcp->sequence = ps_wire32(segment->sequence);
  tcp->acknowledgement = ps_wire32(segment->acknowledgement);
  tcp->header_words = (__u8)(ps_segment_header_bytes(segment) / 4 << 4);
  tcp->flags = segment->flags;
  tcp->window = ps_wire16(segment->window);
  tcp->checksum.raw = 0;
  tcp->urgent.raw = 0;
}

// An option of 4 bytes, added to the sum. 0: there is no room for it.
PS_INLINE int ps_write_option(struct ps_cursor *cursor, __u32 option, __u64 *sum) {
  void *at = ps_take(cursor, 4);
  if (!at) return 0;
  ps_store32(at, ps_wire32(option).raw);
  *sum += ps_load32(at);
  return 1;
}

// Makes the frame that segment. 0: there is no room.
PS_INLINE int ps_write_segment(struct ps_frame *frame, int family,
                               const struct ps_segment *segment) {
  const __u32 segment_bytes = ps_segment_header_bytes(segment) + segment->payload_bytes;
  const __u32 before_tcp = (__u32)sizeof(struct ps_ethernet) + ps_ip_header_bytes(family);
  struct ps_headers headers = {};
  if (!ps_resize(frame, family, before_tcp + segment_bytes)) return 0;
  ps_frame_moved(frame);  // Linux 6.1's verifier does not see that it is there on each way here
  if (!ps_find_headers(frame, family, &headers)) return 0;
  if (segment->is_answer) ps_exchange_ends(family, &headers);
  ps_write_ip(family, &headers, segment_bytes, segment->is_answer);
  ps_write_tcp(headers.tcp, segment);
  struct ps_cursor cursor = {(__u8 *)(headers.tcp + 1), frame->end};
  __u64 sum = ps_sum_pseudo(family, &headers, segment_bytes) + ps_sum_tcp(headers.tcp);
  if (segment->mss && !ps_write_option(&cursor, 0x02040000u | segment->mss, &sum)) return 0;
  if (segment->scale != PS_NO_SCALE &&
      !ps_write_option(&cursor, 0x01030300u | segment->scale, &sum)) {
    return 0;
  }
  if (segment->payload_bytes) {
    __u8 *payload = (__u8 *)ps_take(&cursor, 1);
    if (!payload) return 0;
    *payload = 0;
  }
  headers.tcp->checksum = ps_sum_end(sum);
  return 1;
}

PS_INLINE struct ps_tuple ps_tuple_in(const struct ps_headers *headers) {
  const struct ps_tuple tuple = {headers->source, headers->destination, headers->tcp->source_port,
                                 headers->tcp->destination_port, PS_TCP};
  return tuple;
}

// What fits a way of that MTU; 0: one of Ethernet's.
PS_INLINE __u16 ps_mss_of(int family, __u32 mtu) {
  const __u32 header_bytes = ps_ip_header_bytes(family) + (__u32)sizeof(struct ps_tcp);
  if (mtu == 0) mtu = 1500;
  return (__u16)(mtu > header_bytes + 536 ? mtu - header_bytes : 536);
}

// The client's SYN becomes our answer, with a cookie.
PS_INLINE int ps_become_syn_ack(struct ps_frame *frame, const struct ps_settings *settings,
                                int family, struct ps_arrival *arrival) {
  struct ps_headers syn = {};
  struct ps_tcp_options *options = &arrival->options;
  if (!ps_read_opening(frame, family, &syn, options)) return 0;
  const struct ps_tuple tuple = ps_tuple_in(&syn);
  const __u32 client_sequence = ps_host32(syn.tcp->sequence);
  const __u32 terms = ps_cookie_terms(options->mss, options->scale);
  const struct ps_segment answer = {
      .sequence =
          ps_make_cookie(settings, family, &tuple, client_sequence, terms, frame->now_ticks),
      .acknowledgement = client_sequence + 1,
      .mss = ps_mss_of(family, arrival->limit_bytes),
      .scale = (__u8)(options->scale == PS_NO_SCALE ? PS_NO_SCALE : PS_OUR_SCALE),
      .flags = PS_TCP_SYN | PS_TCP_ACK,
      .is_answer = 1,
  };
  return ps_write_segment(frame, family, &answer);
}

PS_INLINE int ps_shown_in(const struct ps_frame *frame, const struct ps_settings *settings,
                          int family, __u32 now) {
  struct ps_headers ack = {};
  const __u8 mask = PS_TCP_SYN | PS_TCP_ACK | PS_TCP_RST;
  if (!ps_find_headers(frame, family, &ack) || (ack.tcp->flags & mask) != PS_TCP_ACK) {
    return PS_SHOWS_NOTHING;
  }
  const struct ps_tuple tuple = ps_tuple_in(&ack);
  return ps_shows(settings, family, &tuple, ps_host32(ack.tcp->sequence),
                  ps_host32(ack.tcp->acknowledgement) - 1, now);
}

// Whether the client's packet acknowledges a cookie of ours, and nothing further (enum ps_shown).
// `word`: of the flow that the client has; 0: none. Of one that its backend has answered nothing is
// asked any more.
PS_CALL int ps_shown(struct ps_handle *handle, const struct ps_settings *settings,
                     const struct ps_service *service, __u64 word, __u32 now) {
  if (!settings || !service || !service->syn_cookies) return PS_SHOWS_NOTHING;
  const __u32 state = ps_flow_state(word);
  if (state == PS_FLOW_ESTABLISHED || (state == PS_FLOW_HALF_OPEN && ps_is_answered(word))) {
    return PS_SHOWS_NOTHING;
  }
  const struct ps_frame frame = ps_frame_again(handle);
  return service->family == PS_IPV4 ? ps_shown_in(&frame, settings, PS_IPV4, now)
                                    : ps_shown_in(&frame, settings, PS_IPV6, now);
}

PS_INLINE __u16 ps_clamp16(__u32 number) {
  return (__u16)(number < 0xffff ? number : 0xffff);
}

// What shows the client's cookie, already on its way to the backend, becomes our SYN there.
PS_INLINE int ps_become_syn(struct ps_frame *frame, int family, int is_probe) {
  struct ps_headers ack = {};
  if (!ps_find_headers(frame, family, &ack)) return 0;
  const __u32 cookie = ps_host32(ack.tcp->acknowledgement) - 1;
  const __u32 window = ps_host16(ack.tcp->window);
  const __u8 scale = ps_cookie_scale(cookie);
  const struct ps_segment syn = {
      .sequence = ps_host32(ack.tcp->sequence) - !is_probe,
      .window = ps_clamp16(scale == PS_NO_SCALE ? window : window << scale),
      .mss = ps_cookie_mss(cookie),
      .scale = scale,
      .flags = PS_TCP_SYN,
  };
  return ps_write_segment(frame, family, &syn);
}

// The window scale of the backend's SYN-ACK (PS_NO_SCALE: none); -1: it cannot be read.
PS_INLINE int ps_syn_ack_scale(const struct ps_frame *frame, int family,
                               struct ps_tcp_options *options) {
  struct ps_headers headers = {};
  return ps_read_opening(frame, family, &headers, options) ? options->scale : -1;
}

// The backend's SYN-ACK, already on its way to the client, becomes our window update there.
PS_INLINE int ps_become_window_update(struct ps_frame *frame, int family, __u32 shift) {
  struct ps_headers syn_ack = {};
  if (!ps_find_headers(frame, family, &syn_ack)) return 0;
  const __u32 cookie = ps_host32(syn_ack.tcp->sequence) + shift;
  const __u32 window = ps_host16(syn_ack.tcp->window);  // never scaled itself
  const struct ps_segment update = {
      .sequence = cookie,
      .acknowledgement = ps_host32(syn_ack.tcp->acknowledgement),
      .window = (__u16)(ps_cookie_scale(cookie) == PS_NO_SCALE ? window : window >> PS_OUR_SCALE),
      .scale = PS_NO_SCALE,
      .flags = PS_TCP_ACK,
      .payload_bytes = 1,
  };
  return ps_write_segment(frame, family, &update);
}

// The TCP header behind an IP header of so many bytes.
PS_INLINE struct ps_tcp *ps_find_tcp(const struct ps_frame *frame, __u32 header_bytes) {
  struct ps_cursor cursor = {frame->data, frame->end};
  header_bytes &= 0xff;
  PS_OPAQUE(header_bytes);
  if (!ps_take(&cursor, (__u32)sizeof(struct ps_ethernet) + header_bytes)) return 0;
  return (struct ps_tcp *)ps_take(&cursor, sizeof(struct ps_tcp));
}

// A SYN asks for no larger segments than fit, by so many bytes: its option and checksum are
// changed.
PS_INLINE int ps_clamp_mss(const struct ps_frame *frame, struct ps_arrival *arrival, __u32 most) {
  struct ps_tcp *tcp = ps_find_tcp(frame, arrival->header_bytes);
  struct ps_tcp_options *options = &arrival->options;
  if (!tcp || !ps_read_options(frame, tcp, options)) return 0;
  if (options->mss <= most) return 1;
  __u32 at = options->mss_at;
  PS_OPAQUE(at);
  struct ps_cursor cursor = {(__u8 *)(tcp + 1) + (at & 63), frame->end};
  struct ps_be16 *mss = (struct ps_be16 *)ps_take(&cursor, sizeof *mss);
  if (!mss) return 0;
  const __u16 before = mss->raw;
  *mss = ps_wire16((__u16)most);
  // An option may begin anywhere: across two words of the sum its bytes change places.
  const __u64 change = at & 1
                           ? (__u64)(__u16)~__builtin_bswap16(before) + __builtin_bswap16(mss->raw)
                           : (__u64)(__u16)~before + mss->raw;
  tcp->checksum = ps_sum_end(ps_sum_begin(tcp->checksum) + change);
  return 1;
}

// A segment of the backend's, in the client's numbers.
PS_INLINE int ps_shift_to_client(const struct ps_frame *frame, const struct ps_arrival *by) {
  struct ps_tcp *tcp = ps_find_tcp(frame, by->header_bytes);
  if (!tcp) return 0;
  const __u32 window = (__u32)ps_host16(tcp->window) << (by->window_scale & 0xf) >> PS_OUR_SCALE;
  __u64 change = (__u64)(__u32)~tcp->sequence.raw + (__u16)~tcp->window.raw;
  tcp->sequence = ps_wire32(ps_host32(tcp->sequence) + by->sequence_shift);
  tcp->window = ps_wire16(ps_clamp16(window));
  change += (__u64)tcp->sequence.raw + tcp->window.raw;
  tcp->checksum = ps_sum_end(ps_sum_begin(tcp->checksum) + change);
  return 1;
}

// One of the client's, in the backend's.
PS_INLINE int ps_shift_to_backend(const struct ps_frame *frame, const struct ps_arrival *by) {
  struct ps_tcp *tcp = ps_find_tcp(frame, by->header_bytes);
  if (!tcp) return 0;
  if (!(tcp->flags & PS_TCP_ACK)) return 1;
  const __u64 without = (__u32)~tcp->acknowledgement.raw;
  tcp->acknowledgement = ps_wire32(ps_host32(tcp->acknowledgement) - by->sequence_shift);
  tcp->checksum = ps_sum_end(ps_sum_begin(tcp->checksum) + without + tcp->acknowledgement.raw);
  return 1;
}
