// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// From a packet to its flow: the one it belongs to, or the one it begins.
#pragma once

#include "dataplane/core/flow_create.h"
#include "dataplane/core/match.h"

PS_INLINE __u64 ps_client_hop(const struct ps_packet *packet, __u32 interface) {
  return ps_load_mac(packet->ethernet->source) | ((__u64)interface << 48);
}

// The way back to a client is the way it came ("auto last hop" elsewhere), and it may change at any time.
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
  if (packet->protocol == PS_UDP) return 1;
  if ((packet->tcp_flags & (PS_TCP_ACK | PS_TCP_SYN)) != PS_TCP_ACK) return 0;
  return ps_host32(packet->tcp->acknowledgement) - ps_host32(flow->expected_ack) <
         PS_HANDSHAKE_WINDOW;
}

// A client that has a flow may be given another one: when it opens again what is half-open or closing, and when its
// UDP flow leads to a backend that is down. Anything else stays where it is.
PS_INLINE int ps_may_move(const struct ps_packet *packet, const struct ps_backend *backend,
                          __u64 word) {
  if (packet->protocol == PS_UDP) return backend->down;
  return ps_is_opening(packet) && ps_flow_state(word) != PS_FLOW_ESTABLISHED;
}

PS_INLINE void ps_go_on(const struct ps_frame *frame, const struct ps_packet *packet,
                        struct ps_route *route, __u64 word) {
  struct ps_flow *flow = route->flow;
  route->backend_id = flow->backend;
  route->snat = ps_flow_snat(word);
  ps_follow_client(flow, ps_client_hop(packet, route->interface));
  ps_flow_update(flow, word, frame->now_ticks, 1, packet->tcp_flags, ps_confirms(packet, flow));
}

// The flow of a client that opens one: its old one made new when it leads to the same backend, else one to the backend
// that its address selects.
PS_MUST_USE PS_INLINE enum ps_reason ps_open_flow(const struct ps_tables *tables,
                                                  const struct ps_frame *frame, int family,
                                                  const struct ps_packet *packet,
                                                  const struct ps_client_tuple *client, __u64 hash,
                                                  struct ps_route *route) {
  const struct ps_settings *settings = route->settings;
  const __u16 selected = ps_select_backend(tables, settings, family, client->service,
                                           route->service, &client->address);
  if (route->flow && (selected == 0 || selected != route->flow->backend)) {
    ps_free_flow(route->flow);
    route->flow = 0;
  }
  if (!selected) return PS_REASON_no_backend;
  route->backend_id = selected;
  route->backend = ps_backend_at(tables, route->generation, selected);
  if (!route->backend || route->backend->family != family) return PS_REASON_backend_gone;
  if (!route->backend->resolved) return PS_REASON_backend_unresolved;
  if (settings->snat_count[family == PS_IPV6] == 0) return PS_REASON_no_snat_address;

  route->is_new = 1;
  if (route->flow) {
    ps_reopen_flow(route->flow, frame->now_ticks);
  } else {
    struct ps_new_flow wanted = {};
    wanted.client = *client;
    wanted.client_hash = hash;
    wanted.client_hop = ps_client_hop(packet, route->interface);
    wanted.now = frame->now_ticks;
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

PS_MUST_USE PS_INLINE enum ps_reason ps_track_client(const struct ps_tables *tables,
                                                     const struct ps_frame *frame, int family,
                                                     const struct ps_packet *packet,
                                                     struct ps_route *route) {
  struct ps_client_tuple client = {};
  client.address.word[0] = packet->source->word[0];
  if (family == PS_IPV6) client.address = *packet->source;
  client.port = packet->udp->source_port;
  client.service = route->service_id;
  const __u64 hash = ps_client_tuple_hash(route->settings, family, &client.address, client.port,
                                          client.service);
  __u64 word = 0;
  route->flow = ps_find_clients_flow(tables, route->settings, family, &client, hash,
                                     frame->now_ticks, &word);
  if (PS_LIKELY(route->flow)) {
    route->backend = ps_backend_at(tables, route->generation, route->flow->backend);
    if (!route->backend || route->backend->family != family) return PS_REASON_backend_gone;
    if (PS_LIKELY(!ps_may_move(packet, route->backend, word))) {
      if (!route->backend->resolved) return PS_REASON_backend_unresolved;
      ps_go_on(frame, packet, route, word);
      return PS_REASON_NONE;
    }
  } else if (!ps_is_opening(packet)) {
    return PS_REASON_no_flow;
  }
  return ps_open_flow(tables, frame, family, packet, &client, hash, route);
}

// The flow whose return tuple is the packet's own: from this backend to this port of ours.
PS_INLINE int ps_is_answer_of(const struct ps_flow *flow, int family,
                              const struct ps_packet *packet, const struct ps_backend *backend) {
  return ps_same16(flow->snat_port, packet->udp->destination_port) &&
         ps_same16(backend->port, packet->udp->source_port) &&
         backend->protocol == packet->protocol && backend->family == family &&
         ps_same_address(family, &backend->address, packet->source);
}

PS_INLINE void ps_note_answer(const struct ps_frame *frame, const struct ps_packet *packet,
                              struct ps_flow *flow, __u64 word) {
  const __u8 syn_ack = PS_TCP_SYN | PS_TCP_ACK;
  if ((packet->tcp_flags & syn_ack) == syn_ack) {
    flow->expected_ack = ps_wire32(ps_host32(packet->tcp->sequence) + 1);
  }
  ps_flow_update(flow, word, frame->now_ticks, 0, packet->tcp_flags, 0);
}

PS_MUST_USE PS_INLINE enum ps_reason ps_track_answer(const struct ps_tables *tables,
                                                     const struct ps_frame *frame, int family,
                                                     const struct ps_packet *packet,
                                                     struct ps_route *route) {
  const __u64 hash = ps_return_tuple_hash(route->settings, family, packet->source,
                                          packet->udp->source_port, packet->destination,
                                          packet->udp->destination_port, packet->protocol);
  struct ps_flow_set *set = ps_flow_set_at(
      tables, family, ps_scale((__u32)(hash >> 32), ps_flow_sets(tables, family)));
  if (!set) return PS_REASON_tables_unreadable;
  for (__u32 way = 0; way < ps_flow_ways(family); way++) {
    struct ps_flow *flow = ps_flow_way(set, family, way);
    const __u64 word = ps_flow_load(&flow->word);
    if (ps_flow_snat(word) != route->snat || !ps_flow_is_live(route->settings, word, frame->now_ticks)) {
      continue;
    }
    const struct ps_backend *backend = ps_backend_at(tables, route->generation, flow->backend);
    if (!backend || !ps_is_answer_of(flow, family, packet, backend)) continue;
    route->flow = flow;
    route->backend = backend;
    route->backend_id = flow->backend;
    route->service_id = flow->service;
    route->service = ps_service_at(tables, route->generation, flow->service);
    if (!route->service || route->service->family != family) return PS_REASON_no_flow;
    ps_note_answer(frame, packet, flow, word);
    return PS_REASON_NONE;
  }
  return PS_REASON_no_flow;
}

// Finds or makes the packet's flow, its service and its backend.
PS_MUST_USE PS_INLINE enum ps_reason ps_track(const struct ps_tables *tables,
                                              const struct ps_frame *frame, int family,
                                              const struct ps_packet *packet,
                                              struct ps_route *route) {
  return route->to_backend ? ps_track_client(tables, frame, family, packet, route)
                           : ps_track_answer(tables, frame, family, packet, route);
}
