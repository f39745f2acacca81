// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The walk of frames that are alike (likeness.h) and belong to steady flows (flow_index.h). What is
// not steady stays as it was, for the walk of packets that may have flows.
//
// Clients' are all of one service, so that a client's entry is known by one word:
//
//   ps_seek_entry -> ps_find_entries -> ps_walk_one_forth
//
// Backends' are for one of our addresses; a flow stands in the set that the packet hashes to:
//
//   ps_seek_flow -> ps_walk_one_back
//
// Between these the processor fetches what the next one reads, for all frames at once.
#pragma once

#include "dataplane/core/basis.h"
#include "dataplane/core/likeness.h"

// Of a packet that may have a flow.
struct ps_sought {
  __u64 hash;                    // of its tuple
  __u64 client;                  // a client's: ps_index_entry.client
  struct ps_index_entry *entry;  // of a set the first; once it is found, the client's; or nothing
  struct ps_flow *flow;          // a backend's: of the set where it stands the first
};

// One cache line, or two for IPv6.
PS_INLINE void ps_fetch_set(int family, const void *set) {
  __builtin_prefetch(set);
  if (family == PS_IPV6) __builtin_prefetch((const __u8 *)set + 64);
}

// `sought` has a hash.
PS_INLINE void ps_seek_entry(const struct ps_tables *tables, int family,
                             const struct ps_packet *packet, __u16 service_id,
                             struct ps_sought *sought) {
  const struct ps_tuple tuple = ps_tuple_of(packet);
  sought->client = ps_index_key(family, &tuple, sought->hash) << 16 | service_id;
  sought->entry = ps_index_set_at(tables, family, sought->hash, 0);
  ps_fetch_set(family, sought->entry);
}

// Where in a set a client stands is chance: all its words are compared, without a branch for each.
// A client's is the second of its entry.
PS_INLINE struct ps_index_entry *ps_entry_in_set(int family, struct ps_index_entry *set,
                                                 __u64 client) {
  const int v4 = family == PS_IPV4;
  const int blocks = v4 ? 2 : 4;
  const ps_block *block = (const ps_block *)set;
  __u32 like = 0;
  for (int i = 0; i < blocks; i++) {
    like |= ps_words_like(block + i, client) << (i * PS_BLOCK_WORDS);
  }
  like &= v4 ? 0xaa : 0x2222;
  if (!PS_LIKELY(like)) return 0;
  return (struct ps_index_entry *)((__u64 *)set + __builtin_ctz(like) - 1);
}

// Those that stand in their first set, and with one more look for all, those in their second: with
// two thirds of the entries in use, 7 of 100. Further ones count as not found.
PS_INLINE void ps_find_entries(const struct ps_tables *tables, const struct ps_settings *settings,
                               int family, __u32 now, struct ps_sought *sought, __u32 count) {
  struct ps_sought *further[PS_MAX_BURST];
  __u32 left = 0;
  for (__u32 i = 0; i < count; i++) {
    struct ps_index_entry *set = sought[i].entry;
    if (!set) continue;
    sought[i].entry = ps_entry_in_set(family, set, sought[i].client);
    if (PS_LIKELY(sought[i].entry) || !ps_index_has_spilled(settings, set, now)) continue;
    sought[i].entry = ps_index_set_at(tables, family, sought[i].hash, 1);
    ps_fetch_set(family, sought[i].entry);
    further[left++] = &sought[i];
  }
  for (__u32 i = 0; i < left; i++) {
    struct ps_index_entry *set = further[i]->entry;
    if (set) further[i]->entry = ps_entry_in_set(family, set, further[i]->client);
  }
}

// The client's way onward; 0: it is not steady, or its entry is another's by now.
PS_INLINE __u64 ps_steady_onward(int family, const struct ps_packet *packet,
                                 const struct ps_sought *sought, __u32 now) {
  const __u64 onward = ps_flow_load(&sought->entry->onward);
  if (ps_flow_load(&sought->entry->client) != sought->client) return 0;
  if (family == PS_IPV6 &&
      !ps_same_address(family, ps_index_client(sought->entry), packet->source)) {
    return 0;
  }
  return ps_onward_is_steady(onward, now) ? onward : 0;
}

// Nothing: it is none that steady packets go to, or frames get tags on their way to it.
PS_INLINE const struct ps_backend *ps_steady_backend(const struct ps_basis *basis, int family,
                                                     const struct ps_packet *packet, __u16 id) {
  const struct ps_backend *backend = ps_backend_of(basis, id);
  if (!backend || backend->family != family || !backend->resolved || backend->tags) return 0;
  if (!backend->interface_index) return 0;
  return ps_leaves(packet, backend) ? 0 : backend;
}

// 0: the packet may change its flow's life, or is not to be read here.
PS_INLINE int ps_parse_steady(const struct ps_frame *frame, int family, __u8 protocol,
                              struct ps_packet *packet) {
  return ps_parse_simple(frame, family, protocol, packet) && ps_is_plain(packet) &&
         ps_has_hops(family, packet);
}

// A client's. Answers by which interface the frame leaves; 0: it is as it was. `seen`: of the
// service.
PS_MUST_USE PS_INLINE __u32 ps_walk_one_forth(const struct ps_basis *basis,
                                              const struct ps_settings *settings,
                                              const struct ps_frame *frame, int family,
                                              __u8 protocol, const struct ps_sought *sought,
                                              struct ps_traffic *seen) {
  struct ps_packet packet = {};
  if (!sought->entry || !ps_parse_steady(frame, family, protocol, &packet)) return 0;
  struct ps_route route = {};
  route.settings = settings;
  route.onward = ps_steady_onward(family, &packet, sought, frame->now_ticks);
  route.backend_id = ps_onward_backend(route.onward);
  route.backend = ps_steady_backend(basis, family, &packet, route.backend_id);
  if (!PS_LIKELY(route.onward && route.backend && ps_has_snat(family, &route))) return 0;
  const struct ps_exit out = ps_translate(family, PS_NAT, 1, &packet, &route);
  ps_count_traffic(seen, 1, &packet, &route);
  ps_count_traffic(basis->backend_traffic + route.backend_id, 1, &packet, &route);
  return out.interface_index;
}

// `sought` has a hash.
PS_INLINE void ps_seek_flow(const struct ps_tables *tables, int family, struct ps_sought *sought) {
  sought->flow = ps_flow_set_of_hash(tables, family, sought->hash);
  ps_fetch_set(family, sought->flow);
}

// Whether the flow is steady and the packet's, from that source address of ours: then what is read
// of it stays.
PS_INLINE int ps_is_steady_answer(const struct ps_basis *basis, const struct ps_frame *frame,
                                  int family, const struct ps_packet *packet,
                                  const struct ps_flow *flow, __u32 snat) {
  if (!ps_flow_is_steady_of(ps_flow_load(&flow->word), snat, frame->now_ticks)) return 0;
  const struct ps_backend *backend = ps_backend_of(basis, flow->backend);
  return backend && ps_is_answer_of(flow, family, packet, backend);
}

// A backend's. Answers as above. `begun`: of all of them.
PS_MUST_USE PS_INLINE __u32 ps_walk_one_back(const struct ps_basis *basis,
                                             const struct ps_route *begun,
                                             const struct ps_frame *frame, int family,
                                             __u8 protocol, struct ps_flow *set) {
  struct ps_packet packet = {};
  if (!set || !ps_parse_steady(frame, family, protocol, &packet)) return 0;
  struct ps_route route = {};
  route.settings = begun->settings;
  route.flow = ps_flow_way(set, family, ps_likely_way(set, family, packet.destination_port));
  if (!ps_is_steady_answer(basis, frame, family, &packet, route.flow, begun->snat)) return 0;
  route.client_hop = ps_flow_load(&route.flow->client_hop);
  route.service_id = route.flow->service;
  route.service = ps_service_of(basis, route.service_id);
  const struct ps_interface *out = ps_client_interface(&route);
  if (!route.service || route.service->family != family || !out->index || out->tags) return 0;
  ps_translate(family, PS_NAT, 0, &packet, &route);
  ps_count_traffic(basis->service_traffic + route.service_id, 0, &packet, &route);
  ps_count_traffic(basis->backend_traffic + route.flow->backend, 0, &packet, &route);
  return out->index;
}
