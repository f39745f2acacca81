// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Mode dnat: the destination is translated only, so the backend sees its client, and answers by us
// as its gateway.
//
// A backend that is one service's needs no state: by its address and port its answers find the
// service. Where several services have it, each flow notes which one it is of, in an entry of the
// affinity table. The way back to a client is the default route's next hop; only a client whose
// frames come from elsewhere is remembered (recent.h).
#pragma once

#include "dataplane/core/affinity.h"
#include "dataplane/core/match.h"
#include "dataplane/core/recent.h"

// For how long a client's hop is known without a packet of it: 30 min; and after what age it is
// written anew: 34 s.
#define PS_HOP_UNITS 420
#define PS_HOP_REFRESH_UNITS 8

// An affinity entry that is a flow of mode dnat: in the place of a backend, this and its state
// (enum ps_flow_state).
#define PS_DNAT_FLOW 0x8000

PS_INLINE int ps_is_dnat_flow(__u64 affinity_word) {
  return (ps_affinity_backend(affinity_word) & PS_DNAT_FLOW) != 0;
}

PS_INLINE __u64 ps_hop_key(const struct ps_settings *settings, int family,
                           const struct ps_address *client) {
  const struct ps_tuple tuple = {client, client, {0}, {0}, 0};
  return ps_tuple_hash(settings, family, &tuple);
}

// Takes note of where the client's frames come from. Where there is an entry, however old, it is
// written anew, or it would count as new again when its time wraps.
PS_INLINE void ps_learn_hop(const struct ps_tables *tables, int family,
                            const struct ps_packet *packet, const struct ps_route *route,
                            __u32 now) {
  const __u64 hop = ps_client_hop(packet, route->interface);
  const __u64 key = ps_hop_key(route->settings, family, packet->source);
  struct ps_recent_set *set = ps_recent_set_of(tables, PS_CLIENT_HOPS, key);
  const __u64 known = ps_recall(set, key, now, PS_RECENT_EVER);
  if (known ? (known & PS_RECENT_VALUE) == hop && ps_recent_age(known, now) < PS_HOP_REFRESH_UNITS
            : hop == route->settings->gateway[family == PS_IPV6]) {
    return;
  }
  ps_remember(set, key, hop, now);
}

// 0: neither is the client known nor is there a default route.
PS_INLINE __u64 ps_hop_to(const struct ps_tables *tables, const struct ps_settings *settings,
                          int family, const struct ps_address *client, __u32 now) {
  const __u64 key = ps_hop_key(settings, family, client);
  const __u64 known =
      ps_recall(ps_recent_set_of(tables, PS_CLIENT_HOPS, key), key, now, PS_HOP_UNITS);
  return known ? known & PS_RECENT_VALUE : settings->gateway[family == PS_IPV6];
}

// A flow to a backend that several services have, by one of its packets.
struct ps_dnat_flow {
  __u64 key;
  __u32 now;
  __u16 service;
  __u8 udp;
  __u8 state;  // enum ps_flow_state, as the packet by itself would have it
};

// It stands for the flow, so the client is the remote end: of the local one's address the hash
// keeps less, and two clients that differ in two words would meet under one hash key in 128.
PS_INLINE __u64 ps_dnat_key(const struct ps_settings *settings, int family,
                            const struct ps_backend *backend, const struct ps_address *client,
                            struct ps_be16 client_port) {
  const struct ps_tuple tuple = {client, &backend->address, client_port, backend->port,
                                 backend->protocol};
  return ps_tuple_hash(settings, family, &tuple);
}

PS_INLINE __u8 ps_dnat_state(const struct ps_packet *packet) {
  if (packet->protocol == PS_UDP) return PS_FLOW_ESTABLISHED;
  if (packet->tcp_flags & (PS_TCP_FIN | PS_TCP_RST)) return PS_FLOW_CLOSING;
  return ps_is_opening(packet) ? PS_FLOW_HALF_OPEN : PS_FLOW_ESTABLISHED;
}

// The state after a packet: what closes is closing until it is opened again, what is established
// stays so when a SYN comes again.
PS_INLINE __u8 ps_dnat_state_after(__u8 before, __u8 packet) {
  if (before == PS_FLOW_CLOSING && packet == PS_FLOW_ESTABLISHED) return before;
  if (before == PS_FLOW_ESTABLISHED && packet == PS_FLOW_HALF_OPEN) return before;
  return packet;
}

// Takes the flow's entry, if the packet may open one, or keeps it (enum ps_reason).
PS_CALL int ps_keep_dnat_flow(const struct ps_tables *tables, const struct ps_settings *settings,
                              const struct ps_dnat_flow *flow) {
  if (!tables || !settings || !flow) return PS_REASON_tables_unreadable;
  __u64 word = 0;
  struct ps_affinity *entry = ps_find_affinity(tables, flow->key, flow->now, &word);
  if (entry && ps_affinity_service(word) != flow->service) return PS_REASON_tuple_in_use;
  if (!entry && !flow->udp && flow->state != PS_FLOW_HALF_OPEN) return PS_REASON_no_flow;
  const __u8 before = (__u8)(ps_affinity_backend(word) & 7);
  const __u8 state = entry ? ps_dnat_state_after(before, flow->state) : flow->state;
  const __u32 until = flow->now + settings->timeout_ticks[flow->udp & 1][state & 7];
  const __u64 wanted = ps_affinity_word(flow->service, PS_DNAT_FLOW | state, until);
  if (!entry) {
    return ps_put_affinity(tables, flow->key, wanted, flow->now) ? PS_REASON_NONE
                                                                 : PS_REASON_flow_table_full;
  }
  if (state != before || until - (__u32)word >= PS_REFRESH_TICKS) {
    __sync_val_compare_and_swap(&entry->word, word, wanted);
  }
  return PS_REASON_NONE;
}

// Whose the backend's flow with that key is; 0: nobody's.
PS_CALL int ps_dnat_flow_service(const struct ps_tables *tables, __u64 key, __u32 now) {
  if (!tables) return 0;
  __u64 word = 0;
  return ps_find_affinity(tables, key, now, &word) ? ps_affinity_service(word) : 0;
}

// Of a client's packet on its way to that backend.
PS_MUST_USE PS_INLINE enum ps_reason ps_note_dnat_client(const struct ps_tables *tables,
                                                         const struct ps_frame *frame, int family,
                                                         const struct ps_packet *packet,
                                                         __u16 backend_id,
                                                         const struct ps_route *route) {
  ps_learn_hop(tables, family, packet, route, frame->now_ticks);
  const struct ps_backend *backend = ps_backend_at(tables, route->generation, backend_id);
  if (!backend || !backend->is_shared) return PS_REASON_NONE;
  struct ps_dnat_flow flow = {};
  flow.key = ps_dnat_key(route->settings, family, backend, packet->source, packet->source_port);
  flow.now = frame->now_ticks;
  flow.service = route->service_id;
  flow.udp = packet->protocol == PS_UDP;
  flow.state = ps_dnat_state(packet);
  return (enum ps_reason)ps_keep_dnat_flow(tables, route->settings, &flow);
}

// The backend with that address and port, of a service in mode dnat; 0: none. The control plane
// places every one within PS_SERVICE_PROBES of its hash.
PS_INLINE __u16 ps_find_dnat_backend(const struct ps_tables *tables, __u32 generation, int family,
                                     const struct ps_address *address, struct ps_be16 port,
                                     __u8 protocol) {
  const __u32 size = ps_backend_index_size(tables);
  const __u32 key = ps_port_key(family, port, protocol);
  __u32 slot = ps_scale(ps_service_hash(family, address, port, protocol), size);
  for (int probe = 0; probe < PS_SERVICE_PROBES; probe++, slot++) {
    const __u16 *id = ps_backend_index_at(tables, generation, slot < size ? slot : slot - size);
    if (!id || *id == 0) return 0;
    const struct ps_backend *backend = ps_backend_at(tables, generation, *id);
    if (!backend) return 0;
    if (ps_load32(&backend->port) == key && ps_same_address(family, &backend->address, address)) {
      return *id;
    }
  }
  return 0;
}

PS_INLINE int ps_is_own(const struct ps_settings *settings, int family,
                        const struct ps_address *address) {
  const int v6 = family == PS_IPV6;
  for (__u32 i = 0; i < PS_MAX_OWN_ADDRESSES && i < settings->own_count[v6]; i++) {
    if (ps_same_address(family, &settings->own[v6][i], address)) return 1;
  }
  return 0;
}

// One end of a flow.
struct ps_end {
  const struct ps_address *address;
  struct ps_be16 port;
};

// Where to, when a backend sends something (or something about a packet to it comes) for a client:
// its service, and the client's hop. Not ours: it is no such backend, or for the appliance itself,
// as the answers to its health checks are.
PS_MUST_USE PS_INLINE enum ps_reason ps_find_dnat_client(const struct ps_tables *tables,
                                                         const struct ps_frame *frame, int family,
                                                         const struct ps_end *backend_end,
                                                         const struct ps_end *client, __u8 protocol,
                                                         struct ps_route *route) {
  const __u16 id = ps_find_dnat_backend(tables, route->generation, family, backend_end->address,
                                        backend_end->port, protocol);
  if (!id || ps_is_own(route->settings, family, client->address)) return PS_REASON_not_ours;
  const struct ps_backend *backend = ps_backend_at(tables, route->generation, id);
  if (!backend) return PS_REASON_tables_unreadable;
  __u16 service = backend->answers_for;
  if (backend->is_shared) {
    const __u64 key = ps_dnat_key(route->settings, family, backend, client->address, client->port);
    service = (__u16)ps_dnat_flow_service(tables, key, frame->now_ticks);
    if (!service) return PS_REASON_not_ours;
  }
  route->service = ps_service_at(tables, route->generation, service);
  if (!route->service || route->service->family != family) return PS_REASON_not_ours;
  route->mode = PS_DNAT;
  route->service_id = service;
  route->backend_id = id;
  route->client_hop = ps_hop_to(tables, route->settings, family, client->address, frame->now_ticks);
  return route->client_hop ? PS_REASON_NONE : PS_REASON_no_way_back;
}
