// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// From a packet to its flow: the one it belongs to, or the one it begins.
#pragma once

#include "dataplane/core/flow_create.h"
#include "dataplane/core/match.h"

PS_INLINE __u64 ps_client_hop(const struct ps_packet *packet, __u32 interface) {
  return ps_load_mac(packet->ethernet->source) | ((__u64)interface << 48);
}

// The way back to a client is the way it came ("auto last hop" elsewhere), and it may change at any
// time.
PS_INLINE void ps_follow_client(struct ps_flow *flow, __u64 hop) {
  volatile __u64 *known = &flow->client_hop;
  if (*known != hop) *known = hop;
}

PS_INLINE int ps_is_opening(const struct ps_packet *packet) {
  const __u8 mask = PS_TCP_SYN | PS_TCP_ACK | PS_TCP_RST | PS_TCP_FIN;
  return packet->protocol == PS_UDP || (packet->tcp_flags & mask) == PS_TCP_SYN;
}

// TCP: the client acknowledges the backend's SYN-ACK. UDP has nothing to show but that it goes on.
PS_INLINE int ps_confirms(const struct ps_packet *packet, const struct ps_flow *flow) {
  if (!packet->tcp) return 1;
  if ((packet->tcp_flags & (PS_TCP_ACK | PS_TCP_SYN)) != PS_TCP_ACK) return 0;
  return ps_host32(packet->tcp->acknowledgement) - ps_host32(flow->expected_ack) <
         PS_HANDSHAKE_WINDOW;
}

// A client that has a flow may be given another one: when it opens again what is half-open or
// closing, and when its UDP flow leads to a backend that is down. Without a backend (nothing: it is
// not in the tables any more) every opening packet moves. Anything else stays where it is.
PS_INLINE int ps_may_move(const struct ps_packet *packet, const struct ps_backend *backend,
                          __u64 word) {
  if (packet->protocol == PS_UDP) return !backend || backend->down;
  return ps_is_opening(packet) && (!backend || ps_flow_state(word) != PS_FLOW_ESTABLISHED);
}

PS_INLINE void ps_go_on(const struct ps_frame *frame, const struct ps_packet *packet,
                        struct ps_route *route) {
  struct ps_flow *flow = route->flow;
  route->backend_id = flow->backend;
  route->snat = ps_flow_snat(route->word);
  ps_follow_client(flow, ps_client_hop(packet, route->interface));
  ps_flow_update(flow, route->word, frame->now_ticks, 1, packet->tcp_flags,
                 ps_confirms(packet, flow));
}

// A client opens what it has: closing, it begins anew; half-open, its SYN came again. A datagram
// comes here when its backend is down and chosen all the same: it goes on.
PS_INLINE void ps_keep_flow(const struct ps_frame *frame, const struct ps_packet *packet,
                            struct ps_route *route) {
  ps_follow_client(route->flow, ps_client_hop(packet, route->interface));
  if (ps_flow_state(route->word) == PS_FLOW_CLOSING) {
    route->is_new = 1;
    ps_reopen_flow(route->flow, route->word, frame->now_ticks);
  } else {
    ps_flow_update(route->flow, route->word, frame->now_ticks, 1, packet->tcp_flags,
                   packet->protocol == PS_UDP);
  }
}

// A flow for a client that opens one: its old one made new when it leads to the same backend, else
// one to the backend that its address selects.
PS_MUST_USE PS_INLINE enum ps_reason ps_open_flow(const struct ps_tables *tables,
                                                  const struct ps_frame *frame, int family,
                                                  const struct ps_packet *packet, __u64 hash,
                                                  struct ps_route *route) {
  const struct ps_settings *settings = route->settings;
  const __u16 selected = ps_select_backend(tables, settings, family, route->service_id,
                                           route->service, packet->source);
  if (route->flow && (selected == 0 || selected != route->flow->backend)) {
    ps_free_flow(route->flow, route->word);
    route->flow = 0;
  }
  if (!selected) return PS_REASON_no_backend;
  route->backend_id = selected;
  route->backend = ps_backend_at(tables, route->generation, selected);
  if (!route->backend || route->backend->family != family) return PS_REASON_backend_gone;
  if (!route->backend->resolved) return PS_REASON_backend_unresolved;
  if (settings->snat_count[family == PS_IPV6] == 0) return PS_REASON_no_snat_address;

  if (route->flow) {
    ps_keep_flow(frame, packet, route);
  } else {
    route->is_new = 1;
    struct ps_new_flow wanted = {};
    wanted.client.word[0] = packet->source->word[0];
    if (family == PS_IPV6) wanted.client = *packet->source;
    wanted.client_hash = hash;
    wanted.client_hop = ps_client_hop(packet, route->interface);
    wanted.now = frame->now_ticks;
    wanted.generation = route->generation;
    wanted.client_port = packet->udp->source_port;
    wanted.service = route->service_id;
    wanted.backend = selected;
    wanted.protocol = packet->protocol;
    const int reason = ps_create_flow(tables, settings, family, route->backend, &wanted);
    if (reason) return (enum ps_reason)reason;
    route->flow = ps_flow_at(tables, family, ps_new_flow_place(family, &wanted));
    if (!route->flow) return PS_REASON_tables_unreadable;
  }
  route->snat = ps_flow_snat(ps_flow_load(&route->flow->word));
  return PS_REASON_NONE;
}

// The packet's service, when no flow has told it.
PS_MUST_USE PS_INLINE enum ps_reason ps_find_vip(const struct ps_tables *tables, int family,
                                                 const struct ps_packet *packet,
                                                 struct ps_route *route) {
  route->service_id = ps_find_service(tables, route->generation, family, packet->destination,
                                      packet->udp->destination_port, packet->protocol);
  if (!route->service_id) return PS_REASON_not_ours;
  route->service = ps_service_at(tables, route->generation, route->service_id);
  return route->service ? PS_REASON_NONE : PS_REASON_tables_unreadable;
}

PS_MUST_USE PS_INLINE enum ps_reason ps_track_client(const struct ps_tables *tables,
                                                     const struct ps_frame *frame, int family,
                                                     const struct ps_packet *packet,
                                                     struct ps_route *route) {
  const struct ps_tuple tuple = ps_tuple_of(packet);
  const __u64 hash = ps_tuple_hash(route->settings, family, &tuple);
  struct ps_known_flow known = {};
  ps_find_clients_flow(tables, route->settings, route->generation, family, &tuple, hash,
                       frame->now_ticks, &known);
  if (PS_LIKELY(known.flow)) {
    route->flow = known.flow;
    route->word = known.word;
    route->service = known.service;
    route->service_id = known.flow->service;
    if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
    route->backend = ps_backend_at(tables, route->generation, known.flow->backend);
    if (route->backend && route->backend->family != family) route->backend = 0;
    if (PS_LIKELY(!ps_may_move(packet, route->backend, route->word))) {
      if (!route->backend) return PS_REASON_backend_gone;
      if (!route->backend->resolved) return PS_REASON_backend_unresolved;
      ps_go_on(frame, packet, route);
      return PS_REASON_NONE;
    }
  } else {
    const enum ps_reason reason = ps_find_vip(tables, family, packet, route);
    if (reason) return reason;
    if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
    if (!ps_is_opening(packet)) return PS_REASON_no_flow;
  }
  return ps_open_flow(tables, frame, family, packet, hash, route);
}

// Whether the flow's return tuple is the packet's own: from this backend to this port of ours.
PS_INLINE int ps_is_answer_of(const struct ps_flow *flow, int family,
                              const struct ps_packet *packet, const struct ps_backend *backend) {
  return ps_same16(flow->snat_port, packet->udp->destination_port) &&
         ps_same16(backend->port, packet->udp->source_port) &&
         backend->protocol == packet->protocol && backend->family == family &&
         ps_same_address(family, &backend->address, packet->source);
}

// The way of the set to look at first: the only one with the packet's port, found without a branch.
PS_INLINE __u32 ps_likely_way(int family, struct ps_flow_set *set, struct ps_be16 port) {
  __u32 likely = 0;
  PS_UNROLL
  for (__u32 way = 0; way < ps_flow_ways(family); way++) {
    const struct ps_flow *flow = ps_flow_way(set, family, way);
    likely |= way & (0 - (__u32)ps_is_zero(flow->snat_port.raw ^ port.raw));
  }
  PS_OPAQUE(likely);  // else the compiler drops ps_flow_way's mask, which the BPF verifier needs
  return likely;
}

PS_INLINE void ps_note_answer(const struct ps_frame *frame, const struct ps_packet *packet,
                              struct ps_flow *flow, __u64 word) {
  const __u8 syn_ack = PS_TCP_SYN | PS_TCP_ACK;
  if ((packet->tcp_flags & syn_ack) == syn_ack) {
    flow->expected_ack = ps_wire32(ps_host32(packet->tcp->sequence) + 1);
  }
  ps_flow_update(flow, word, frame->now_ticks, 0, packet->tcp_flags, 0);
}

// Whether the packet belongs to the flow in that way of the set; then the route is known.
PS_INLINE int ps_answers_way(const struct ps_tables *tables, const struct ps_frame *frame,
                             int family, const struct ps_packet *packet, struct ps_flow_set *set,
                             __u32 way, struct ps_route *route) {
  struct ps_flow *flow = ps_flow_way(set, family, way);
  const __u64 word = ps_flow_load(&flow->word);
  if (ps_flow_snat(word) != route->snat ||
      !ps_flow_is_live(route->settings, word, frame->now_ticks)) {
    return 0;
  }
  const struct ps_backend *backend = ps_backend_at(tables, route->generation, flow->backend);
  if (!backend || !ps_is_answer_of(flow, family, packet, backend)) return 0;
  route->flow = flow;
  route->word = word;
  route->backend = backend;
  route->backend_id = flow->backend;
  route->service_id = flow->service;
  return 1;
}

PS_MUST_USE PS_INLINE enum ps_reason ps_track_answer(const struct ps_tables *tables,
                                                     const struct ps_frame *frame, int family,
                                                     const struct ps_packet *packet,
                                                     struct ps_route *route) {
  const struct ps_tuple tuple = ps_tuple_of(packet);
  const __u64 hash = ps_tuple_hash(route->settings, family, &tuple);
  struct ps_flow_set *set =
      ps_flow_set_at(tables, family, ps_scale((__u32)(hash >> 32), ps_flow_sets(tables, family)));
  if (!set) return PS_REASON_tables_unreadable;
  const __u32 likely = ps_likely_way(family, set, packet->udp->destination_port);
  if (!ps_answers_way(tables, frame, family, packet, set, likely, route)) {
    for (__u32 way = 0; way < ps_flow_ways(family) && !route->flow; way++) {
      ps_answers_way(tables, frame, family, packet, set, way, route);
    }
    if (!route->flow) return PS_REASON_no_flow;
  }
  route->service = ps_service_at(tables, route->generation, route->service_id);
  if (!route->service || route->service->family != family) return PS_REASON_no_flow;
  if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
  ps_note_answer(frame, packet, route->flow, route->word);
  return PS_REASON_NONE;
}

// Finds or makes the packet's flow, its service and its backend.
PS_MUST_USE PS_INLINE enum ps_reason ps_track(const struct ps_tables *tables,
                                              const struct ps_frame *frame, int family,
                                              const struct ps_packet *packet,
                                              struct ps_route *route) {
  return route->to_backend ? ps_track_client(tables, frame, family, packet, route)
                           : ps_track_answer(tables, frame, family, packet, route);
}
