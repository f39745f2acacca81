// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// From a packet to its flow: the one it belongs to, or the one it begins.
#pragma once

#include "dataplane/core/admission.h"
#include "dataplane/core/cookie_flow.h"
#include "dataplane/core/dnat.h"
#include "dataplane/core/flow_create.h"
#include "dataplane/core/match.h"

// The way back to a client is the way it came ("auto last hop" elsewhere), and it may change at any
// time.
PS_INLINE void ps_follow_client(struct ps_flow *flow, __u64 hop) {
  volatile __u64 *known = &flow->client_hop;
  if (*known != hop) *known = hop;
}

// TCP: the client acknowledges the backend's SYN-ACK. UDP has nothing to show but that it goes on.
PS_INLINE int ps_confirms(const struct ps_packet *packet, const struct ps_flow *flow, __u64 word) {
  if (packet->protocol == PS_UDP) return 1;
  if (!packet->tcp) return 0;  // a later fragment
  if ((packet->tcp_flags & (PS_TCP_ACK | PS_TCP_SYN)) != PS_TCP_ACK) return 0;
  if (ps_is_of_cookie(word)) return 1;  // it has shown who it is before
  return ps_host32(packet->tcp->acknowledgement) - ps_host32(flow->sequence) < PS_HANDSHAKE_WINDOW;
}

// UDP has no connection that a backend's failure would end: its flow goes elsewhere, with the first
// part of a datagram.
PS_INLINE int ps_leaves(const struct ps_packet *packet, const struct ps_backend *backend) {
  return packet->protocol == PS_UDP && packet->udp && backend->down;
}

// A client that has a flow may be given another one: when it opens again what is half-open, closing
// or leads to a backend that is down, and with every datagram to one that is. Anything else stays.
PS_INLINE int ps_may_move(const struct ps_packet *packet, const struct ps_backend *backend,
                          __u64 word) {
  if (packet->protocol == PS_UDP) return ps_leaves(packet, backend);
  return ps_is_opening(packet) && (backend->down || ps_flow_state(word) != PS_FLOW_ESTABLISHED);
}

// Whether the packet can change nothing in an established flow.
PS_INLINE int ps_is_plain(const struct ps_packet *packet) {
  return (packet->tcp_flags & (PS_TCP_SYN | PS_TCP_RST | PS_TCP_FIN)) == 0;
}

// A client's packet whose flow is not known to be established: what is looked at, and found.
struct ps_meeting {
  struct ps_flow *flow;  // 0: none
  __u64 word;            // its life as it was met
  const struct ps_backend *backend;
  int shown;  // of a SYN cookie: enum ps_shown
};

// The backend that the client's address selects. `is_seen`: affinity takes note of the client.
PS_INLINE __u16 ps_select_backend(const struct ps_tables *tables, const struct ps_frame *frame,
                                  int family, const struct ps_address *address, struct ps_be16 port,
                                  const struct ps_route *route, int is_seen) {
  const struct ps_service *service = route->service;
  if (PS_LIKELY(!service->affinity_ticks)) {
    return ps_look_up(tables, service,
                      ps_client_hash(route->settings, family, service, address, port));
  }
  struct ps_client client = {};
  ps_set_address(family, &client.address, address);
  client.port = port;
  client.service = service->clients_of ? service->clients_of : route->service_id;
  client.generation = route->generation;
  client.now = frame->now_ticks;
  client.is_seen = (__u8)is_seen;
  return (__u16)ps_select(tables, route->settings, service, &client);
}

// Once every two seconds, for a flow that is not idle. Only a client whose flow is established is
// taken note of: forged sources have none.
PS_INLINE void ps_go_on(const struct ps_tables *tables, const struct ps_frame *frame, int family,
                        const struct ps_packet *packet, const struct ps_route *route,
                        const struct ps_known_flow *known, const struct ps_meeting *met) {
  ps_follow_client(met->flow, ps_client_hop(packet, route->interface));
  const __u64 word = ps_flow_update(met->flow, met->word, frame->now_ticks, 1, packet->tcp_flags,
                                    ps_confirms(packet, met->flow, met->word));
  const int is_established = ps_flow_state(word) == PS_FLOW_ESTABLISHED;
  ps_index_note(known, ps_is_plain(packet) && is_established && !ps_is_of_cookie(word));
  if (is_established && route->service->affinity_ticks) {
    ps_select_backend(tables, frame, family, packet->source, packet->source_port, route, 1);
  }
}

// Whether a client that opens what it has begins anew: what closes, and a handshake of a cookie,
// when cookies have been switched off amid it.
PS_INLINE int ps_begins_anew(__u64 word) {
  const __u32 state = ps_flow_state(word);
  return state == PS_FLOW_CLOSING || (state == PS_FLOW_HALF_OPEN && ps_is_of_cookie(word));
}

// A client opens what it has: it begins anew, or its SYN came again. A datagram comes here when its
// backend is down and chosen all the same: it goes on.
PS_INLINE void ps_keep_flow(const struct ps_frame *frame, const struct ps_packet *packet,
                            const struct ps_known_flow *known, const struct ps_meeting *met,
                            struct ps_route *route) {
  ps_follow_client(met->flow, ps_client_hop(packet, route->interface));
  ps_index_note(known, 0);
  if (ps_begins_anew(met->word)) {
    route->is_new = 1;
    ps_reopen_flow(met->flow, met->word, frame->now_ticks);
  } else {
    ps_flow_update(met->flow, met->word, frame->now_ticks, 1, packet->tcp_flags,
                   packet->protocol == PS_UDP);
  }
}

// A new flow to the backend `selected`.
PS_MUST_USE PS_INLINE enum ps_reason ps_begin_flow(const struct ps_tables *tables, int family,
                                                   const struct ps_packet *packet,
                                                   const struct ps_known_flow *known,
                                                   const struct ps_meeting *met, __u16 selected,
                                                   const struct ps_backend *backend,
                                                   struct ps_route *route) {
  const struct ps_tuple tuple = ps_tuple_of(packet);
  struct ps_new_flow wanted = {};
  wanted.client.word[0] = packet->source->word[0];
  if (family == PS_IPV6) wanted.client = *packet->source;
  wanted.client_hash = known->hash;
  wanted.index_client = route->service_id | (ps_index_key(family, &tuple, known->hash) << 16);
  wanted.client_hop = ps_client_hop(packet, route->interface);
  wanted.now = known->now;
  wanted.generation = (__u8)route->generation;
  wanted.client_port = tuple.remote_port;
  wanted.service = route->service_id;
  wanted.backend = selected;
  wanted.protocol = packet->protocol;
  wanted.flags = (__u8)((packet->protocol == PS_UDP) * PS_FLOW_UDP |
                        (met->shown != PS_SHOWS_NOTHING) * PS_FLOW_COOKIE);
  if (met->shown && packet->tcp) wanted.sequence = packet->tcp->acknowledgement;
  const enum ps_reason reason = ps_create_flow(tables, route->settings, family, backend, &wanted);
  route->is_new = 1;
  route->onward = ps_onward(wanted.snat_port, selected, wanted.snat, 0);
  return reason;
}

// What counts as a new flow where there are none.
PS_INLINE int ps_begins_connection(const struct ps_packet *packet) {
  return packet->protocol == PS_TCP && ps_is_opening(packet);
}

// Without a flow, each packet goes where its client's address leads.
PS_MUST_USE PS_INLINE enum ps_reason ps_go_by_address(const struct ps_tables *tables,
                                                      const struct ps_frame *frame, int family,
                                                      const struct ps_packet *packet,
                                                      __u16 selected, struct ps_route *route) {
  route->mode = route->service->mode;
  route->onward = ps_onward(0, selected, 0, 0);
  route->is_new = (__u8)ps_begins_connection(packet);
  return route->mode == PS_DNAT
             ? ps_note_dnat_client(tables, frame, family, packet, selected, route)
             : PS_REASON_NONE;
}

// Whether the flow that the client has is the one that it opens. Without branches where cookies
// are: the BPF verifier would follow each.
PS_INLINE int ps_stays(const struct ps_packet *packet, const struct ps_known_flow *known,
                       const struct ps_meeting *met, __u16 selected, const struct ps_route *route) {
  if (!met->flow || route->service->mode != PS_NAT) return 0;
  if (!route->service->syn_cookies) return selected == ps_onward_backend(known->onward);
  if (!met->shown || !packet->tcp || !met->backend) return 0;
  return !((ps_flow_state(met->word) ^ PS_FLOW_HALF_OPEN) |
           ((ps_flow_flags(met->word) & PS_FLOW_COOKIE) ^ PS_FLOW_COOKIE) | met->backend->down |
           (met->flow->sequence.raw ^ packet->tcp->acknowledgement.raw));
}

// A flow for a client that opens one, where the mode has flows: its old one made new when it leads
// to the same backend, else one to the backend that its address selects.
PS_MUST_USE PS_INLINE enum ps_reason ps_open_flow(const struct ps_tables *tables,
                                                  const struct ps_frame *frame, int family,
                                                  const struct ps_packet *packet,
                                                  const struct ps_known_flow *known,
                                                  const struct ps_meeting *met,
                                                  struct ps_route *route) {
  const struct ps_settings *settings = route->settings;
  const int is_seen = packet->protocol == PS_UDP || !ps_is_opening(packet);
  const __u16 selected =
      ps_select_backend(tables, frame, family, packet->source, packet->source_port, route, is_seen);
  const int stays = ps_stays(packet, known, met, selected, route);
  if (met->flow && !stays) {
    ps_free_flow(met->flow, met->word);
    ps_index_note(known, 0);  // nobody is to go by the entry of a flow that has ended
  }
  if (!selected) return PS_REASON_no_backend;
  if (route->service->mode != PS_NAT) {
    return ps_go_by_address(tables, frame, family, packet, selected, route);
  }
  const struct ps_backend *backend = ps_backend_at(tables, route->generation, selected);
  if (!backend || backend->family != family) return PS_REASON_backend_gone;
  if (!backend->resolved) return PS_REASON_backend_unresolved;
  if (settings->snat_count[family == PS_IPV6] == 0) return PS_REASON_no_snat_address;
  if (route->service->syn_cookies && !met->shown) {
    route->arrival->limit_bytes = backend->mtu;
    return PS_REASON_syn_cookie;
  }
  if (!stays) {
    const enum ps_reason reason =
        ps_begin_flow(tables, family, packet, known, met, selected, backend, route);
    if (reason) return reason;
  } else if (!met->shown) {
    ps_keep_flow(frame, packet, known, met, route);
  }
  if (met->shown) {
    route->arrival->become = met->shown == PS_SHOWS_BY_PROBE ? PS_SYN_BY_PROBE : PS_SYN;
  }
  return PS_REASON_NONE;
}

// The packet's service, when no flow has told it.
PS_MUST_USE PS_INLINE enum ps_reason ps_find_vip(const struct ps_tables *tables, int family,
                                                 const struct ps_packet *packet,
                                                 struct ps_route *route) {
  route->service_id = ps_find_service(tables, route->generation, family, packet->destination,
                                      packet->destination_port, packet->protocol);
  if (!route->service_id) return PS_REASON_not_ours;
  route->service = ps_service_at(tables, route->generation, route->service_id);
  return route->service ? PS_REASON_NONE : PS_REASON_tables_unreadable;
}

// The flow that the client's index entry leads to goes on, in whatever mode its service is now; or
// another one begins.
PS_MUST_USE PS_INLINE enum ps_reason ps_meet_flow(const struct ps_tables *tables,
                                                  const struct ps_frame *frame, int family,
                                                  const struct ps_packet *packet,
                                                  const struct ps_known_flow *known,
                                                  struct ps_route *route) {
  struct ps_meeting met = {};
  if (known->entry) {
    met.backend = ps_backend_at(tables, route->generation, ps_onward_backend(known->onward));
    if (met.backend && met.backend->family != family) met.backend = 0;
    met.flow = ps_flow_of_entry(tables, route->settings, route->generation, family, known->entry,
                                known->onward, frame->now_ticks, &met.word);
  }
  const int refused =
      ps_admit(frame->handle, tables, route->settings, route->service,
               ps_asks_for(packet, met.flow ? met.word : 0, frame->now_ticks, route->interface));
  // By constants, for the BPF verifier.
  if (refused == PS_REASON_new_flow_limit) return PS_REASON_new_flow_limit;
  if (refused) return PS_REASON_access_denied;
  met.shown = ps_shown(frame->handle, route->settings, route->service, met.flow ? met.word : 0,
                       frame->now_ticks);
  if (met.flow && met.backend && !met.shown && !ps_may_move(packet, met.backend, met.word)) {
    if (!PS_LIKELY(!ps_is_of_cookie(met.word))) {
      const enum ps_reason reason =
          ps_meet_cookie_client(packet, met.flow, met.word, route->arrival);
      if (reason) return reason;
    }
    ps_go_on(tables, frame, family, packet, route, known, &met);
    const struct ps_known_flow in_memory = *known;  // only here, not for every packet
    ps_index_keep_spilled(tables, route->settings, family, &in_memory);
    return PS_REASON_NONE;
  }
  if (route->service->mode == PS_NAT && !met.shown && !ps_is_opening(packet)) {
    return known->entry && !met.backend ? PS_REASON_backend_gone : PS_REASON_no_flow;
  }
  return ps_open_flow(tables, frame, family, packet, known, &met, route);
}

// Whether the packet may go on by its index entry, without a look at the flow.
PS_INLINE int ps_is_steady(const struct ps_tables *tables, const struct ps_frame *frame,
                           const struct ps_packet *packet, const struct ps_route *route,
                           const struct ps_known_flow *known) {
  if (!ps_onward_is_steady(known->onward, frame->now_ticks) || !ps_is_plain(packet)) return 0;
  if (packet->protocol == PS_TCP) return 1;
  const struct ps_backend *backend =
      ps_backend_at(tables, route->generation, ps_onward_backend(known->onward));
  return backend && !ps_leaves(packet, backend);
}

// Whether packets can be sent to the route's backend.
PS_MUST_USE PS_INLINE enum ps_reason ps_reaches_backend(int family, const struct ps_route *route) {
  if (!route->backend ||
      (route->backend->family != family && (route->mode != PS_TUNNEL || !route->backend->family))) {
    return PS_REASON_backend_gone;
  }
  return route->backend->resolved ? PS_REASON_NONE : PS_REASON_backend_unresolved;
}

// The backend that the packet's way onward names.
PS_MUST_USE PS_INLINE enum ps_reason ps_find_backend(const struct ps_tables *tables, int family,
                                                     struct ps_route *route) {
  route->backend_id = ps_onward_backend(route->onward);
  route->backend = ps_backend_at(tables, route->generation, route->backend_id);
  return ps_reaches_backend(family, route);
}

PS_INLINE void ps_hash_packet(int family, const struct ps_packet *packet, struct ps_route *route) {
  const struct ps_tuple tuple = ps_tuple_of(packet);
  route->hash = ps_tuple_hash(route->settings, family, &tuple);
}

// The service of a client's packet, where that is looked for before the flow.
PS_INLINE void ps_know_service(const struct ps_tables *tables, int family,
                               const struct ps_packet *packet, struct ps_route *route) {
  if (!route->settings->has_flowless) return;
  if (ps_find_vip(tables, family, packet, route)) route->service_id = 0;
}

// From a client's packet to its service, and onward.
PS_MUST_USE PS_INLINE enum ps_reason ps_track_client(const struct ps_tables *tables,
                                                     const struct ps_frame *frame, int family,
                                                     const struct ps_packet *packet,
                                                     struct ps_route *route) {
  const struct ps_tuple tuple = ps_tuple_of(packet);
  struct ps_known_flow known = {};
  known.hash = route->hash;
  known.now = frame->now_ticks;
  if (route->settings->has_flowless && !route->service_id) return PS_REASON_not_ours;
  if (!route->service || route->service->has_flows) {
    ps_find_client(tables, route->settings, route->generation, family, &tuple, &known);
  }
  if (PS_LIKELY(known.entry)) {
    route->service = known.service;
    route->service_id = (__u16)known.client;
    route->onward = known.onward;
  } else if (!route->service) {
    const enum ps_reason reason = ps_find_vip(tables, family, packet, route);
    if (reason) return reason;
  }
  if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
  if (!PS_LIKELY(ps_is_steady(tables, frame, packet, route, &known))) {
    const enum ps_reason reason = ps_meet_flow(tables, frame, family, packet, &known, route);
    if (reason) return reason;
  }
  return ps_find_backend(tables, family, route);
}

PS_INLINE void ps_note_answer(const struct ps_frame *frame, const struct ps_packet *packet,
                              struct ps_flow *flow, __u64 word) {
  const __u8 syn_ack = PS_TCP_SYN | PS_TCP_ACK;
  const int is_syn_ack = packet->tcp && (packet->tcp_flags & syn_ack) == syn_ack;
  if (ps_is_of_cookie(word)) {
    // ps_take_syn_ack takes that; before it only a reset counts.
    if (is_syn_ack || !(ps_is_answered(word) || packet->tcp_flags & PS_TCP_RST)) return;
  } else if (is_syn_ack) {
    flow->sequence = ps_wire32(ps_host32(packet->tcp->sequence) + 1);
  }
  ps_flow_update(flow, word, frame->now_ticks, 0, packet->tcp_flags, 0);
}

// Whether the flow's return tuple is the packet's own: from this backend to this port of ours.
PS_INLINE int ps_is_answer_of(const struct ps_flow *flow, int family,
                              const struct ps_packet *packet, const struct ps_backend *backend) {
  return ps_same16(flow->snat_port, packet->destination_port) &&
         ps_load32(&backend->port) == ps_port_key(family, packet->source_port, packet->protocol) &&
         ps_same_address(family, &backend->address, packet->source);
}

// Whether the packet belongs to the flow in that way of the set; then the route is known.
PS_INLINE int ps_answers_way(const struct ps_tables *tables, const struct ps_frame *frame,
                             int family, const struct ps_packet *packet, struct ps_flow *set,
                             __u32 way, struct ps_route *route) {
  struct ps_flow *flow = ps_flow_way(set, family, way);
  const __u64 word = ps_flow_load(&flow->word);
  const int steady = ps_flow_is_steady(word, frame->now_ticks);
  if (ps_flow_snat(word) != route->snat ||
      !(steady || ps_flow_is_live(route->settings, word, frame->now_ticks))) {
    return 0;
  }
  const struct ps_backend *backend = ps_backend_at(tables, route->generation, flow->backend);
  if (!backend || !ps_is_answer_of(flow, family, packet, backend)) return 0;
  route->flow = flow;
  route->client_hop = ps_flow_load(&flow->client_hop);
  route->backend_id = flow->backend;
  route->service_id = flow->service;
  if (!PS_LIKELY(steady && ps_is_plain(packet)) && ps_has_hops(family, packet)) {
    ps_note_answer(frame, packet, flow, word);
  }
  return 1;
}

PS_MUST_USE PS_INLINE enum ps_reason ps_track_answer(const struct ps_tables *tables,
                                                     const struct ps_frame *frame, int family,
                                                     const struct ps_packet *packet,
                                                     struct ps_route *route) {
  struct ps_flow *set = ps_flow_set_of_hash(tables, family, route->hash);
  if (!set) return PS_REASON_tables_unreadable;
  const __u32 likely = ps_likely_way(set, family, packet->destination_port);
  if (!PS_LIKELY(ps_answers_way(tables, frame, family, packet, set, likely, route)) &&
      !ps_answers_way(tables, frame, family, packet, set, likely ^ 1, route)) {
    return PS_REASON_no_flow;
  }
  route->service = ps_service_at(tables, route->generation, route->service_id);
  if (!route->service || route->service->family != family) return PS_REASON_no_flow;
  if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
  if (PS_LIKELY(!ps_is_of_cookie(ps_flow_load(&route->flow->word))) || !packet->tcp) {
    return PS_REASON_NONE;
  }
  route->arrival->header_bytes = (__u16)packet->header_bytes;
  return (enum ps_reason)ps_meet_cookie_answer(frame->handle, family, route->flow, route->arrival,
                                               frame->now_ticks);
}

// From a packet that is for no service and no flow to the client that it answers in mode dnat.
PS_MUST_USE PS_INLINE enum ps_reason ps_track_dnat_answer(const struct ps_tables *tables,
                                                          const struct ps_frame *frame, int family,
                                                          const struct ps_packet *packet,
                                                          struct ps_route *route) {
  const struct ps_end backend = {packet->source, packet->source_port};
  const struct ps_end client = {packet->destination, packet->destination_port};
  const enum ps_reason reason =
      ps_find_dnat_client(tables, frame, family, &backend, &client, packet->protocol, route);
  if (reason) return reason;
  return ps_has_hops(family, packet) ? PS_REASON_NONE : PS_REASON_ttl_expired;
}
