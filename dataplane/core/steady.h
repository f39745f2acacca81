// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The walk of clients' frames that are alike (likeness.h) and belong to steady flows
// (flow_index.h). All are of one service, so that a client's entry is known by one word:
//
//   ps_seek_first -> ps_find_entries -> ps_walk_one_steady
//
// Between these the processor fetches what the next one reads, for all frames at once. What is not
// steady stays as it was, for the walk of packets that may have flows.
#pragma once

#include "dataplane/core/likeness.h"
#include "dataplane/core/outcome.h"

// Of a packet that may have a flow.
struct ps_sought {
  __u64 hash;                    // of its tuple
  __u64 client;                  // ps_index_entry.client
  struct ps_index_entry *entry;  // of a set the first; once it is found, the client's; or nothing
};

// One cache line, or two for IPv6.
PS_INLINE void ps_fetch_set(int family, const void *set) {
  __builtin_prefetch(set);
  if (family == PS_IPV6) __builtin_prefetch((const __u8 *)set + 64);
}

// `sought` has a hash.
PS_INLINE void ps_seek_first(const struct ps_tables *tables, int family,
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

// What the walk of such frames reads for each, found once for all.
struct ps_steady {
  const struct ps_settings *settings;
  const struct ps_backend *backends;  // of the generation, by their ids
  struct ps_traffic *traffic;         // of the worker, likewise
  __u32 backend_count;
  __u32 now_ticks;
};

// 0: those frames have no flows, or something is missing in the tables.
PS_INLINE int ps_find_steady(const struct ps_tables *tables, const struct ps_route *route,
                             const struct ps_frame *frame, struct ps_steady *steady) {
  if (!route->service || !route->service->has_flows) return 0;
  steady->settings = route->settings;
  steady->backends = ps_backend_at(tables, route->generation, 0);
  steady->traffic = ps_backend_traffic_at(tables, frame->worker, 0);
  steady->backend_count = ps_backend_count(tables);
  steady->now_ticks = frame->now_ticks;
  return steady->backends && steady->traffic;
}

// The client's way onward; 0: it is not steady, or its entry is another's by now.
PS_INLINE __u64 ps_steady_onward(const struct ps_steady *steady, int family,
                                 const struct ps_packet *packet, const struct ps_sought *sought) {
  const __u64 onward = ps_flow_load(&sought->entry->onward);
  if (ps_flow_load(&sought->entry->client) != sought->client) return 0;
  if (family == PS_IPV6 &&
      !ps_same_address(family, ps_index_client(sought->entry), packet->source)) {
    return 0;
  }
  return ps_onward_is_steady(onward, steady->now_ticks) ? onward : 0;
}

// Nothing: it is none that steady packets go to, or frames get tags on their way to it.
PS_INLINE const struct ps_backend *ps_steady_backend(const struct ps_steady *steady, int family,
                                                     const struct ps_packet *packet,
                                                     __u16 backend_id) {
  if (backend_id >= steady->backend_count) return 0;
  const struct ps_backend *backend = steady->backends + backend_id;
  if (backend->family != family || !backend->resolved || backend->tags) return 0;
  if (!backend->interface_index) return 0;
  return ps_leaves(packet, backend) ? 0 : backend;
}

// Answers by which interface the frame leaves; 0: it is as it was. `seen`: of the service.
PS_MUST_USE PS_INLINE __u32 ps_walk_one_steady(const struct ps_steady *steady,
                                               const struct ps_frame *frame, int family,
                                               __u8 protocol, const struct ps_sought *sought,
                                               struct ps_traffic *seen) {
  struct ps_packet packet = {};
  if (!sought->entry || !ps_parse_simple(frame, family, protocol, &packet) ||
      !ps_is_plain(&packet) || !ps_has_hops(family, &packet)) {
    return 0;
  }
  struct ps_route route = {};
  route.settings = steady->settings;
  route.onward = ps_steady_onward(steady, family, &packet, sought);
  route.backend_id = ps_onward_backend(route.onward);
  route.backend = ps_steady_backend(steady, family, &packet, route.backend_id);
  if (!PS_LIKELY(route.onward && route.backend && ps_has_snat(family, &route))) return 0;
  const struct ps_exit out = ps_translate(family, PS_NAT, 1, &packet, &route);
  struct ps_traffic *traffic = steady->traffic + route.backend_id;
  traffic->packets_to_backend++;
  traffic->bytes_to_backend += packet.ip_bytes;
  seen->packets_to_backend++;
  seen->bytes_to_backend += packet.ip_bytes;
  return out.interface_index;
}
