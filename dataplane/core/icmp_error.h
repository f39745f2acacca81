// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The ICMP errors that the appliance itself sends: time exceeded, packet too big (RFC 792, 1191,
// 4443). The packet becomes the quotation of the error about it, and goes back the way it came.
//
// It quotes so much that any sender finds its connection in it, not all it could: the checksum is
// over the whole.
#pragma once

#include "dataplane/core/tunnel.h"

// At most, an even number: IPv6's header, PS_CHAIN_BYTES and the ports.
#define PS_QUOTED_BYTES 128

struct ps_icmp_error {
  __u8 type;
  __u8 code;
  __u32 rest;  // host order
};

PS_INLINE struct ps_icmp_error ps_error_about(int family, enum ps_reason reason, __u32 mtu) {
  const struct ps_icmp_error time_exceeded4 = {11, 0, 0};
  const struct ps_icmp_error time_exceeded6 = {3, 0, 0};
  const struct ps_icmp_error fragmentation_needed = {3, 4, mtu};
  const struct ps_icmp_error packet_too_big = {2, 0, mtu};
  if (reason == PS_REASON_ttl_expired) {
    return family == PS_IPV4 ? time_exceeded4 : time_exceeded6;
  }
  return family == PS_IPV4 ? fragmentation_needed : packet_too_big;
}

// No error is about a later fragment, and nobody is told whose address is none of one host (RFC
// 1122, 3.2.2; RFC 4443, 2.4 e). That none is about another error is the caller's to see to.
PS_INLINE int ps_may_be_told4(const struct ps_ipv4 *quoted) {
  const __u8 first = *(const __u8 *)&quoted->source;
  if (quoted->fragment.raw & ps_wire16(PS_IPV4_FRAGMENT_OFFSET).raw) return 0;
  return first != 0 && first != 127 && first < 224;
}

PS_INLINE int ps_may_be_told6(const struct ps_ipv6 *quoted) {
  const struct ps_be32 *word = quoted->source.word;
  return *(const __u8 *)word != 0xff && (word[0].raw | word[3].raw) != 0;
}

// The sum of the rest of the frame, of an even number of bytes.
PS_INLINE __u64 ps_sum_rest(struct ps_cursor *cursor) {
  __u64 sum = 0;
  for (int i = 0; i < PS_QUOTED_BYTES / 2; i++) {
    const struct ps_be16 *word = (struct ps_be16 *)ps_take(cursor, sizeof *word);
    if (!word) break;
    sum += word->raw;
  }
  return sum;
}

// Between the error's own addresses, which are the packet's, exchanged.
PS_INLINE void ps_write_error4(struct ps_ipv4 *ip, const struct ps_ipv4 *quoted,
                               __u32 payload_bytes) {
  ps_begin_ipv4(ip, 0, PS_PROTOCOL_ICMP, payload_bytes);
  ip->source = quoted->destination;
  ip->destination = quoted->source;
  ip->checksum = ps_ipv4_checksum(ip);
}

PS_INLINE void ps_write_error6(struct ps_ipv6 *ip, const struct ps_ipv6 *quoted,
                               __u32 payload_bytes) {
  ps_begin_ipv6(ip, 0, 0, PS_PROTOCOL_ICMPV6, payload_bytes);
  ip->source = quoted->destination;
  ip->destination = quoted->source;
}

// Of the frame that is to become an error.
struct ps_quotation {
  __u64 from_mac;
  __u64 to_mac;
  __u32 bytes;  // of the quoted packet; 0: no error about it
};

PS_INLINE void ps_write_error_ethernet(struct ps_ethernet *ethernet, int family,
                                       const struct ps_quotation *quotation) {
  ps_set_mac_pair(ethernet, quotation->from_mac, quotation->to_mac);
  ethernet->type = ps_ethertype(family);
}

// Writes all headers of the frame, whose quotation is in its place. 0: it is too short.
PS_INLINE int ps_write_error(const struct ps_frame *frame, int family,
                             const struct ps_icmp_error *error,
                             const struct ps_quotation *quotation) {
  struct ps_cursor cursor = {frame->data, frame->end};
  struct ps_ethernet *ethernet = (struct ps_ethernet *)ps_take(&cursor, sizeof *ethernet);
  void *ip = ethernet ? ps_take(&cursor, ps_ip_header_bytes(family)) : 0;
  struct ps_icmp *icmp = ip ? (struct ps_icmp *)ps_take(&cursor, sizeof *icmp) : 0;
  struct ps_cursor rest = cursor;
  const void *quoted = icmp ? ps_take(&cursor, ps_ip_header_bytes(family)) : 0;
  if (!quoted) return 0;

  const __u32 payload_bytes = (__u32)sizeof *icmp + quotation->bytes;
  ps_write_error_ethernet(ethernet, family, quotation);
  icmp->type = error->type;
  icmp->code = error->code;
  icmp->checksum.raw = 0;
  icmp->rest = ps_wire32(error->rest);
  __u64 sum = ps_load32(icmp) + (__u64)icmp->rest.raw + ps_sum_rest(&rest);
  if (family == PS_IPV4) {
    ps_write_error4((struct ps_ipv4 *)ip, (const struct ps_ipv4 *)quoted, payload_bytes);
  } else {
    struct ps_ipv6 *ip6 = (struct ps_ipv6 *)ip;
    ps_write_error6(ip6, (const struct ps_ipv6 *)quoted, payload_bytes);
    sum += ps_sum_address(PS_IPV6, &ip6->source) + ps_sum_address(PS_IPV6, &ip6->destination) +
           ip6->payload_length.raw + ps_wire16(PS_PROTOCOL_ICMPV6).raw;
  }
  icmp->checksum = ps_sum_end(sum);
  return 1;
}

// The frame already has room for the error's headers before it.
PS_INLINE struct ps_quotation ps_read_quotation(const struct ps_frame *frame, int family,
                                                __u32 room_bytes) {
  struct ps_quotation quotation = {0, 0, 0};
  struct ps_cursor cursor = {frame->data, frame->end};
  if (!ps_take(&cursor, room_bytes)) return quotation;
  const struct ps_ethernet *ethernet = (struct ps_ethernet *)ps_take(&cursor, sizeof *ethernet);
  const void *ip = ethernet ? ps_take(&cursor, ps_ip_header_bytes(family)) : 0;
  if (!ip) return quotation;
  quotation.from_mac = ps_load_mac(ethernet->source);
  quotation.to_mac = ps_load_mac(ethernet->destination);
  const struct ps_ipv4 *ip4 = (const struct ps_ipv4 *)ip;
  const struct ps_ipv6 *ip6 = (const struct ps_ipv6 *)ip;
  if (family == PS_IPV4 ? !ps_may_be_told4(ip4) : !ps_may_be_told6(ip6)) return quotation;
  const __u32 ip_bytes = family == PS_IPV4 ? ps_host16(ip4->total_length)
                                           : (__u32)sizeof *ip6 + ps_host16(ip6->payload_length);
  quotation.bytes = ip_bytes < PS_QUOTED_BYTES ? ip_bytes & ~1u : PS_QUOTED_BYTES;
  return quotation;
}

// Makes the frame the error about its packet, for whoever sent it. 0: it cannot be. The frame is
// read anew, after it was moved: the BPF verifier then need not follow every way that leads here.
PS_MUST_USE PS_INLINE int ps_answer_with_error(const struct ps_frame *frame, int family,
                                               struct ps_icmp_error error) {
  const __u32 header_bytes = ps_ip_header_bytes(family) + (__u32)sizeof(struct ps_icmp);
  struct ps_frame answer = *frame;
  if (!ps_frame_extend(&answer, (__s32)header_bytes)) return 0;
  const struct ps_quotation quotation = ps_read_quotation(&answer, family, header_bytes);
  if (!quotation.bytes) return 0;
  const __u32 bytes = (__u32)sizeof(struct ps_ethernet) + header_bytes + quotation.bytes;
  return ps_frame_cut(&answer, bytes) && ps_write_error(&answer, family, &error, &quotation);
}
