// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// ICMP errors about balanced connections, from wherever they come, to the end that sent the packet
// they are about (RFC 5508, RFC 4443).
//
// An error quotes a packet as it was after translation, so it leads back to the flow; then the
// quotation is translated as the packet it came with, the other way round. Modes without flows hand
// the error over as they do a client's packet: backends sent what it quotes.
#pragma once

#include "dataplane/core/track.h"
#include "dataplane/core/translate.h"

// The quoted packet's headers, of which 8 bytes behind the IP header are there.
struct ps_quoted {
  struct ps_ipv4 *ipv4;  // nothing: IPv6
  struct ps_address *source;
  struct ps_address *destination;
  struct ps_udp *ports;      // TCP's too; only the ports are sure to be there
  struct ps_be16 *checksum;  // of the transport header; nothing: it is not quoted
  __u8 protocol;
};

// Whose packet is quoted is asked in memory, since the answer is a function's of its own.
struct ps_question {
  struct ps_search about;  // the client's tuple; the hash is filled in
  int place;               // of its entry, by ps_find_further; 0: not looked for, -1: nowhere
  // The answer:
  __u64 onward;          // ps_index_entry.onward; 0: the service has no flows
  __u16 service;         // 0: none
  __u8 mode;             // enum ps_mode: how the error goes on
  __u8 is_further;       // no answer yet: an entry may stand further than the first set
  __u32 sequence_shift;  // of a flow begun by a SYN cookie
};

PS_MUST_USE PS_INLINE enum ps_reason ps_quoted_ipv4(struct ps_cursor *cursor,
                                                    struct ps_quoted *quoted) {
  struct ps_ipv4 *ip = (struct ps_ipv4 *)ps_take(cursor, sizeof *ip);
  if (!ip) return PS_REASON_not_ours;
  const __u32 header_bytes = (ip->version_and_words & 0x0fu) * 4;
  const __u16 offset = ps_host16(ip->fragment) & 0x1fff;
  if (ip->version_and_words >> 4 != 4 || header_bytes < sizeof *ip || offset != 0 ||
      !ps_take(cursor, header_bytes - (__u32)sizeof *ip)) {
    return PS_REASON_not_ours;
  }
  quoted->ipv4 = ip;
  quoted->source = (struct ps_address *)&ip->source;
  quoted->destination = (struct ps_address *)&ip->destination;
  quoted->protocol = ip->protocol;
  return PS_REASON_NONE;
}

PS_MUST_USE PS_INLINE enum ps_reason ps_quoted_ipv6(const struct ps_frame *frame,
                                                    const struct ps_packet *packet,
                                                    struct ps_cursor *cursor,
                                                    struct ps_quoted *quoted) {
  struct ps_ipv6 *ip = (struct ps_ipv6 *)ps_take(cursor, sizeof *ip);
  if (!ip || ps_host32(ip->version_class_flow) >> 28 != 6) return PS_REASON_not_ours;
  quoted->source = &ip->source;
  quoted->destination = &ip->destination;
  const __u32 at = PS_CHAIN_AT + packet->header_bytes + (__u32)sizeof *packet->icmp;
  const struct ps_chain chain = ps_frame_chain(frame, at, ip->next_header);
  quoted->protocol = chain.protocol;
  return ps_take(cursor, chain.bytes) && !chain.is_later ? PS_REASON_NONE : PS_REASON_not_ours;
}

// Whether what ends there is a part of the IP packet, not of what pads the frame.
PS_INLINE int ps_is_inside(const struct ps_packet *packet, const void *end) {
  const __u8 *ip = (const __u8 *)(packet->ethernet + 1);
  return (__u64)((const __u8 *)end - ip) <= packet->ip_bytes;
}

// An error that quotes no packet of ours, or whose quotation cannot be read, is the kernel's.
PS_MUST_USE PS_INLINE enum ps_reason ps_parse_quoted(const struct ps_frame *frame, int family,
                                                     const struct ps_packet *packet,
                                                     struct ps_quoted *quoted) {
  struct ps_cursor cursor = {(__u8 *)packet->icmp, frame->end};
  if (!ps_take(&cursor, sizeof *packet->icmp)) return PS_REASON_not_ours;
  const enum ps_reason reason = family == PS_IPV4 ? ps_quoted_ipv4(&cursor, quoted)
                                                  : ps_quoted_ipv6(frame, packet, &cursor, quoted);
  if (reason) return reason;
  if (!ps_same_address(family, quoted->source, packet->destination)) return PS_REASON_not_ours;
  struct ps_cursor transport = cursor;
  quoted->ports = (struct ps_udp *)ps_take(&cursor, sizeof *quoted->ports);
  if (!quoted->ports || !ps_is_inside(packet, quoted->ports + 1)) return PS_REASON_not_ours;
  if (quoted->protocol == PS_UDP) {
    quoted->checksum = &quoted->ports->checksum;
    return PS_REASON_NONE;
  }
  if (quoted->protocol != PS_TCP) return PS_REASON_not_ours;
  struct ps_tcp *tcp = (struct ps_tcp *)ps_take(&transport, sizeof *tcp - sizeof tcp->urgent);
  if (tcp && ps_is_inside(packet, &tcp->urgent)) quoted->checksum = &tcp->checksum;
  return PS_REASON_NONE;
}

PS_INLINE enum ps_reason ps_ask_family(const struct ps_tables *tables,
                                       const struct ps_settings *settings, int family,
                                       struct ps_question *question) {
  struct ps_search *about = &question->about;
  const __u32 generation = about->generation;
  const struct ps_tuple tuple = {&about->remote, &about->local, about->remote_port,
                                 about->local_port, about->protocol};
  struct ps_known_flow known = {};
  known.hash = about->hash = ps_tuple_hash(settings, family, &tuple);
  known.now = about->now;
  if (question->place > 0) {
    ps_know_by_place(tables, generation, family, &tuple, question->place, &known);
  } else if (question->place == 0) {
    question->is_further =
        (__u8)ps_find_first(tables, settings, generation, family, &tuple, &known);
    if (question->is_further) return PS_REASON_NONE;
  }
  __u64 word = 0;
  const struct ps_flow *flow = known.entry
                                   ? ps_flow_of_entry(tables, settings, generation, family,
                                                      known.entry, known.onward, known.now, &word)
                                   : 0;
  if (flow) {
    const int is_shifted = ps_is_of_cookie(word) && ps_is_answered(word);
    question->sequence_shift = is_shifted ? ps_host32(flow->sequence) : 0;
    question->service = (__u16)known.client;
    question->onward = known.onward;
    return PS_REASON_NONE;
  }
  question->service = ps_find_service(tables, generation, family, &about->local, about->local_port,
                                      about->protocol);
  if (!question->service) return PS_REASON_not_ours;
  const struct ps_service *service = ps_service_at(tables, generation, question->service);
  if (!service) return PS_REASON_tables_unreadable;
  if (service->mode == PS_NAT) return PS_REASON_no_flow;
  question->mode = service->mode;
  return PS_REASON_NONE;
}

// Which service has sent the quoted packet, and by which flow (enum ps_reason).
PS_CALL int ps_ask(const struct ps_tables *tables, const struct ps_settings *settings, int family,
                   struct ps_question *question) {
  if (!tables || !settings || !question) return PS_REASON_tables_unreadable;
  return family == PS_IPV4 ? ps_ask_family(tables, settings, PS_IPV4, question)
                           : ps_ask_family(tables, settings, PS_IPV6, question);
}

// The service and, where there is one, the flow of a packet to a client. A function of its own: on
// the BPF stack the question and the client of a selection then lie in the same place.
PS_MUST_USE PS_INLINE enum ps_reason ps_ask_about(const struct ps_tables *tables,
                                                  const struct ps_frame *frame, int family,
                                                  const struct ps_quoted *quoted,
                                                  struct ps_route *route) {
  struct ps_question question = {};
  question.about.generation = route->generation;
  question.about.now = frame->now_ticks;
  ps_set_address(family, &question.about.remote, quoted->destination);
  ps_set_address(family, &question.about.local, quoted->source);
  question.about.remote_port = quoted->ports->destination_port;
  question.about.local_port = quoted->ports->source_port;
  question.about.protocol = quoted->protocol;
  int reason = ps_ask(tables, route->settings, family, &question);
  if (question.is_further) {  // from here: the BPF stack is too short for a call more
    const int place = ps_find_further(tables, route->settings, family, &question.about);
    question.place = place ? place : -1;
    reason = ps_ask(tables, route->settings, family, &question);
  }
  route->service_id = question.service;
  route->mode = question.mode;
  route->hash = question.about.hash;
  route->onward = question.onward;
  route->arrival->sequence_shift = question.sequence_shift;
  return (enum ps_reason)reason;
}

// About a packet to a client: where its backend is.
PS_MUST_USE PS_INLINE enum ps_reason ps_relay_to_backend(const struct ps_tables *tables,
                                                         const struct ps_frame *frame, int family,
                                                         const struct ps_quoted *quoted,
                                                         struct ps_route *route) {
  const enum ps_reason reason = ps_ask_about(tables, frame, family, quoted, route);
  if (reason) return reason;
  if (!route->onward) {
    route->service = ps_service_at(tables, route->generation, route->service_id);
    if (!route->service) return PS_REASON_tables_unreadable;
    const __u16 selected = ps_select_backend(tables, frame, family, quoted->destination,
                                             quoted->ports->destination_port, route, 0);
    if (!selected) return PS_REASON_no_backend;
    route->onward = ps_onward(0, selected, 0, 0);
  }
  return ps_find_backend(tables, family, route);
}

PS_INLINE int ps_is_quoted_in(const struct ps_tables *tables, const struct ps_frame *frame,
                              int family, const struct ps_quoted *quoted, struct ps_flow *flow,
                              struct ps_route *route) {
  const __u64 word = ps_flow_load(&flow->word);
  const struct ps_backend *backend = ps_backend_at(tables, route->generation, flow->backend);
  if (!backend || ps_flow_snat(word) != route->snat ||
      !ps_flow_is_live(route->settings, word, frame->now_ticks) ||
      !ps_same16(flow->snat_port, quoted->ports->source_port) ||
      ps_load32(&backend->port) !=
          ps_port_key(family, quoted->ports->destination_port, quoted->protocol) ||
      !ps_same_address(family, &backend->address, quoted->destination)) {
    return 0;
  }
  route->flow = flow;
  route->client_hop = ps_flow_load(&flow->client_hop);
  route->backend_id = flow->backend;
  route->service_id = flow->service;
  return 1;
}

// About a packet to a backend: whose flow it is of.
PS_MUST_USE PS_INLINE enum ps_reason ps_relay_to_client(const struct ps_tables *tables,
                                                        const struct ps_frame *frame, int family,
                                                        const struct ps_quoted *quoted,
                                                        struct ps_route *route) {
  const struct ps_tuple tuple = {quoted->destination, quoted->source,
                                 quoted->ports->destination_port, quoted->ports->source_port,
                                 quoted->protocol};
  struct ps_flow *set = ps_flow_set_of(tables, route->settings, family, &tuple);
  if (!set) return PS_REASON_tables_unreadable;
  for (__u32 way = 0; way < PS_FLOW_WAYS; way++) {
    struct ps_flow *flow = ps_flow_way(set, family, way);
    if (!ps_is_quoted_in(tables, frame, family, quoted, flow, route)) continue;
    route->service = ps_service_at(tables, route->generation, route->service_id);
    return route->service && route->service->family == family ? PS_REASON_NONE : PS_REASON_no_flow;
  }
  return PS_REASON_no_flow;
}

// The same in mode dnat.
PS_MUST_USE PS_INLINE enum ps_reason ps_relay_to_dnat_client(const struct ps_tables *tables,
                                                             const struct ps_frame *frame,
                                                             int family,
                                                             const struct ps_quoted *quoted,
                                                             struct ps_route *route) {
  const struct ps_end backend = {quoted->destination, quoted->ports->destination_port};
  const struct ps_end client = {quoted->source, quoted->ports->source_port};
  return ps_find_dnat_client(tables, frame, family, &backend, &client, quoted->protocol, route);
}

// The quoted packet's checksums, kept right as far as they are quoted; what that changes in the sum
// of the ICMP message.
PS_INLINE __u64 ps_translate_quoted_checksums(int family, const struct ps_quoted *quoted,
                                              __u64 address_change, __u64 port_change) {
  __u64 change = port_change;
  struct ps_be16 *checksum = quoted->checksum;
  const int absent =
      quoted->protocol == PS_UDP && family == PS_IPV4 && checksum && checksum->raw == 0;
  if (checksum && !absent) {
    const __u64 before = ps_sum_begin(*checksum);
    struct ps_be16 after = ps_sum_end(before + address_change + port_change);
    if (quoted->protocol == PS_UDP && after.raw == 0) after.raw = 0xffff;
    *checksum = after;
    change += before + after.raw;
  }
  if (family == PS_IPV6) return change + address_change;
  const __u64 before = ps_sum_begin(quoted->ipv4->checksum);
  quoted->ipv4->checksum = ps_sum_end(before + address_change);
  return change + address_change + before + quoted->ipv4->checksum.raw;
}

// A backend looks for the sequence number that it has sent. It is quoted, where the datagram's
// length and checksum would be.
PS_INLINE __u64 ps_shift_quoted(const struct ps_quoted *quoted, const struct ps_route *route) {
  if (quoted->protocol != PS_TCP) return 0;
  void *sequence = &quoted->ports->length;
  const struct ps_be32 before = {ps_load32(sequence)};
  const struct ps_be32 after = ps_wire32(ps_host32(before) - route->arrival->sequence_shift);
  ps_store32(sequence, after.raw);
  return (__u64)(__u32)~before.raw + after.raw;
}

// Error and quotation go opposite ways: the quoted packet came from where the error goes to.
PS_INLINE void ps_translate_error(int family, const struct ps_packet *packet,
                                  const struct ps_quoted *quoted, const struct ps_destination *next,
                                  __u64 shift_change) {
  const struct ps_destination back = {
      .from = next->to, .to = next->from, .from_port = next->to_port, .to_port = next->from_port};
  const __u64 outer_change = ps_address_change(family, packet->source, next->from) +
                             ps_address_change(family, packet->destination, next->to);
  const __u64 inner_change = ps_address_change(family, quoted->source, back.from) +
                             ps_address_change(family, quoted->destination, back.to);
  const __u64 port_change = ps_port_change(quoted->ports, &back) + shift_change;
  __u64 change = ps_translate_quoted_checksums(family, quoted, inner_change, port_change);
  if (family == PS_IPV6) change += outer_change;  // its pseudo-header's
  packet->icmp->checksum = ps_sum_end(ps_sum_begin(packet->icmp->checksum) + change);
  ps_spend_hop(family, packet, outer_change);
  if (next->from) {
    ps_set_address(family, packet->source, next->from);
    ps_set_address(family, quoted->destination, next->from);
    quoted->ports->destination_port = next->from_port;
  }
  if (next->to) {
    ps_set_address(family, packet->destination, next->to);
    ps_set_address(family, quoted->source, next->to);
    quoted->ports->source_port = next->to_port;
  }
  ps_set_macs(packet->ethernet, next->ethernet);
}

// Rewrites the error in place; answers where it leaves.
PS_INLINE struct ps_exit ps_send_error(int family, int mode, int to_backend,
                                       const struct ps_packet *packet,
                                       const struct ps_quoted *quoted,
                                       const struct ps_route *route) {
  const struct ps_destination next = ps_towards(family, mode, to_backend, route);
  const __u64 shift_change = mode == PS_NAT && to_backend ? ps_shift_quoted(quoted, route) : 0;
  ps_translate_error(family, packet, quoted, &next, shift_change);
  return next.exit;
}
