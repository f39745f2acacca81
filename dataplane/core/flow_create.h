// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// A place, a source port and an index entry for a new flow.
//
// The candidates are ports of the pool in an order that the client's keyed hash gives (RFC 6056:
// hard to guess from outside). Each names a set: if a place there is free and no live flow has the
// same return tuple, the port is ours. Two processors that take the same port at once both see it
// after publication, and retreat.
#pragma once

#include "dataplane/core/flow.h"

#define PS_PORT_TRIES 64       // ports tried before the pool counts as exhausted
#define PS_FULL_SETS_TRIES 24  // full sets met before the table counts as full

struct ps_new_flow {
  struct ps_address client;
  __u64 client_hash;  // ps_tuple_hash of the client's tuple
  __u64 client_hop;
  __u32 now;
  __u32 generation;
  struct ps_be16 client_port;
  __u16 service;
  __u16 backend;
  __u8 protocol;
  // Filled while a place is looked for:
  __u8 snat;        // place in settings->snat
  __u16 snat_port;  // host order
  __u16 way;
  __u32 set;
  __u32 full_sets;  // met so far
  __u64 random;     // the state of the client's order of ports
};

PS_INLINE int ps_has_return_tuple(const struct ps_flow *flow, __u64 word,
                                  const struct ps_new_flow *wanted) {
  return ps_flow_snat(word) == wanted->snat && ps_host16(flow->snat_port) == wanted->snat_port &&
         flow->backend == wanted->backend;
}

enum ps_place_result { PS_PLACE_TAKEN, PS_PLACE_TUPLE_IN_USE, PS_PLACE_SET_FULL };

// Which way of the set the flow may have: one that is over, else one that is evictable. It goes to
// wanted->way.
PS_INLINE enum ps_place_result ps_pick_way(const struct ps_settings *settings, int family,
                                           struct ps_flow_set *set, struct ps_new_flow *wanted) {
  int over = -1;
  int evictable = -1;
  for (int way = 0; way < (int)ps_flow_ways(family); way++) {
    const struct ps_flow *flow = ps_flow_way(set, family, (__u32)way);
    const __u64 word = ps_flow_load(&flow->word);
    if (ps_flow_is_over(settings, word, wanted->now)) {
      if (over < 0) over = way;
      continue;
    }
    const int gives_way = ps_flow_is_evictable(word, wanted->now);
    if (gives_way) evictable = way;
    if (!ps_has_return_tuple(flow, word, wanted)) continue;
    if (!gives_way) return PS_PLACE_TUPLE_IN_USE;
    over = way;
    break;
  }
  const int way = over >= 0 ? over : evictable;
  wanted->way = (__u16)way;
  return way >= 0 ? PS_PLACE_TAKEN : PS_PLACE_SET_FULL;
}

// Another live flow with our return tuple: taken by another processor at the same time.
PS_INLINE int ps_is_contested(const struct ps_settings *settings, int family,
                              struct ps_flow_set *set, const struct ps_flow *ours,
                              const struct ps_new_flow *wanted) {
  for (__u32 way = 0; way < ps_flow_ways(family); way++) {
    const struct ps_flow *flow = ps_flow_way(set, family, way);
    const __u64 word = ps_flow_load(&flow->word);
    if (flow != ours && !ps_flow_is_over(settings, word, wanted->now) &&
        ps_has_return_tuple(flow, word, wanted)) {
      return 1;
    }
  }
  return 0;
}

PS_INLINE void ps_write_flow(int family, struct ps_flow *flow, const struct ps_new_flow *wanted) {
  flow->client_hop = wanted->client_hop;
  flow->client_word0 = wanted->client.word[0];
  flow->client_port = wanted->client_port;
  flow->snat_port = ps_wire16(wanted->snat_port);
  flow->service = wanted->service;
  flow->backend = wanted->backend;
  flow->expected_ack.raw = 0;
  if (family == PS_IPV6) ((struct ps_flow6 *)flow)->client = wanted->client;
}

// Unless it has changed since it was met as `word`.
PS_INLINE void ps_free_flow(struct ps_flow *flow, __u64 word) {
  __sync_val_compare_and_swap(&flow->word, word, ps_flow_word(0, PS_FLOW_FREE, 0, 0, word >> 56));
}

// Claims a way of the set, writes the flow and publishes it as half-open; the exchange orders the
// writes before it.
PS_INLINE enum ps_place_result ps_take_place(const struct ps_settings *settings, int family,
                                             struct ps_flow_set *set, struct ps_new_flow *wanted) {
  const enum ps_place_result result = ps_pick_way(settings, family, set, wanted);
  if (result != PS_PLACE_TAKEN) return result;

  struct ps_flow *flow = ps_flow_way(set, family, wanted->way);
  const __u64 before = ps_flow_load(&flow->word);
  const __u32 flags = wanted->protocol == PS_UDP ? PS_FLOW_UDP : 0;
  const __u64 uses = (before >> 56) + 1;
  const __u64 claimed = ps_flow_word(wanted->now, PS_FLOW_CLAIMED, flags, wanted->snat, uses);
  const __u64 open = ps_flow_word(wanted->now, PS_FLOW_HALF_OPEN, flags, wanted->snat, uses);
  if (!ps_flow_is_over(settings, before, wanted->now) &&
      !ps_flow_is_evictable(before, wanted->now)) {
    return PS_PLACE_TUPLE_IN_USE;
  }
  if (__sync_val_compare_and_swap(&flow->word, before, claimed) != before) {
    return PS_PLACE_TUPLE_IN_USE;
  }
  ps_write_flow(family, flow, wanted);
  if (__sync_val_compare_and_swap(&flow->word, claimed, open) != claimed) {
    return PS_PLACE_TUPLE_IN_USE;
  }
  if (!ps_is_contested(settings, family, set, flow, wanted)) return PS_PLACE_TAKEN;
  ps_free_flow(flow, open);
  return PS_PLACE_TUPLE_IN_USE;
}

PS_INLINE enum ps_place_result ps_try_port_of(const struct ps_tables *tables,
                                              const struct ps_settings *settings, int family,
                                              const struct ps_backend *backend,
                                              struct ps_new_flow *wanted) {
  const int v6 = family == PS_IPV6;
  const __u64 random = ps_mix(wanted->random + 0x9e3779b97f4a7c15ULL);
  wanted->random = random;
  wanted->snat_port =
      (__u16)(settings->snat_port_first + ps_scale((__u32)random, settings->snat_port_count));
  wanted->snat = (__u8)(ps_scale((__u32)(random >> 32), settings->snat_count[v6]) &
                        (PS_MAX_SNAT_ADDRESSES - 1));
  const struct ps_tuple tuple = {&backend->address, &settings->snat[v6][wanted->snat],
                                 backend->port, ps_wire16(wanted->snat_port), wanted->protocol};
  const __u64 hash = ps_tuple_hash(settings, family, &tuple);
  wanted->set = ps_scale((__u32)(hash >> 32), ps_flow_sets(tables, family));
  struct ps_flow_set *set = ps_flow_set_at(tables, family, wanted->set);
  if (!set) return PS_PLACE_SET_FULL;
  const enum ps_place_result result = ps_take_place(settings, family, set, wanted);
  wanted->full_sets += result == PS_PLACE_SET_FULL;
  return result;
}

// The next port of the client's order, and a place in the set that it names (enum ps_place_result).
PS_CALL int ps_try_port(const struct ps_tables *tables, const struct ps_settings *settings,
                        int family, const struct ps_backend *backend, struct ps_new_flow *wanted) {
  if (!tables || !settings || !backend || !wanted) return PS_PLACE_SET_FULL;
  return family == PS_IPV4 ? ps_try_port_of(tables, settings, PS_IPV4, backend, wanted)
                           : ps_try_port_of(tables, settings, PS_IPV6, backend, wanted);
}

PS_INLINE enum ps_reason ps_place_flow(const struct ps_tables *tables,
                                       const struct ps_settings *settings, int family,
                                       const struct ps_backend *backend,
                                       struct ps_new_flow *wanted) {
  wanted->random = wanted->client_hash ^ settings->hash_key[1];
  for (int tries = 0; tries < PS_PORT_TRIES; tries++) {
    if (ps_try_port(tables, settings, family, backend, wanted) == PS_PLACE_TAKEN) {
      return PS_REASON_NONE;
    }
    if (wanted->full_sets == PS_FULL_SETS_TRIES) break;
  }
  return wanted->full_sets == PS_FULL_SETS_TRIES ? PS_REASON_flow_table_full
                                                 : PS_REASON_snat_ports_exhausted;
}

// An index word may be taken over when its flow is over, or stands there no more.
PS_INLINE int ps_index_is_stale(const struct ps_tables *tables, const struct ps_settings *settings,
                                int family, __u64 entry, const struct ps_new_flow *wanted) {
  const struct ps_flow *flow = ps_flow_at(tables, family, ps_index_place(entry) - 1);
  if (!flow || ps_flow_is_over(settings, ps_flow_load(&flow->word), wanted->now)) return 1;
  const struct ps_service *service = ps_service_at(tables, wanted->generation, flow->service);
  if (!service) return 1;
  const struct ps_tuple tuple = {ps_flow_client(family, flow), &service->vip, flow->client_port,
                                 service->port, service->protocol};
  return ps_index_tag(ps_tuple_hash(settings, family, &tuple)) != ps_index_tag(entry);
}

PS_INLINE __u64 ps_new_flow_place(int family, const struct ps_new_flow *wanted) {
  return (__u64)wanted->set * ps_flow_ways(family) + wanted->way;
}

PS_INLINE int ps_index_put(const struct ps_tables *tables, const struct ps_settings *settings,
                           int family, const struct ps_new_flow *wanted, int choice) {
  const __u64 entry = (ps_index_tag(wanted->client_hash) << PS_INDEX_PLACE_BITS) |
                      (ps_new_flow_place(family, wanted) + 1);
  struct ps_flow_index *set =
      ps_index_set_at(tables, family, ps_index_choice(tables, wanted->client_hash, choice));
  if (!set) return 0;
  for (int way = 0; way < PS_INDEX_WAYS; way++) {
    const __u64 before = ps_flow_load(&set->word[way]);
    if (ps_index_place(before) != 0 &&
        !ps_index_is_stale(tables, settings, family, before, wanted)) {
      continue;
    }
    const __u64 after = entry | (before & PS_INDEX_SPILLED);
    if (__sync_val_compare_and_swap(&set->word[way], before, after) == before) return 1;
  }
  __sync_fetch_and_or(&set->word[0], PS_INDEX_SPILLED);
  return 0;
}

PS_INLINE int ps_index_flow_of(const struct ps_tables *tables, const struct ps_settings *settings,
                               int family, const struct ps_new_flow *wanted) {
  for (int choice = 0; choice < PS_INDEX_CHOICES; choice++) {
    if (ps_index_put(tables, settings, family, wanted, choice)) return 1;
  }
  return 0;
}

// Makes the flow findable from the client's side. 0: all its sets are full of live flows.
PS_CALL int ps_index_flow(const struct ps_tables *tables, const struct ps_settings *settings,
                          int family, const struct ps_new_flow *wanted) {
  if (!tables || !settings || !wanted) return 0;
  return family == PS_IPV4 ? ps_index_flow_of(tables, settings, PS_IPV4, wanted)
                           : ps_index_flow_of(tables, settings, PS_IPV6, wanted);
}

// The same client opens the flow that was met as `word` to the same backend anew: place and port
// are kept. It is another use, so that late packets of the one before do not touch it.
PS_INLINE void ps_reopen_flow(struct ps_flow *flow, __u64 word, __u32 now) {
  for (int tries = 0; tries < 2; tries++) {
    const __u64 open =
        ps_flow_word(now, PS_FLOW_HALF_OPEN, 0, ps_flow_snat(word), (word >> 56) + 1);
    const __u64 seen = __sync_val_compare_and_swap(&flow->word, word, open);
    if (seen == word || !ps_flow_is_same_use(seen, word)) return;
    word = seen;
  }
}

// The client's new flow, found by its place (ps_new_flow_place), or why there is none (enum
// ps_reason). When two processors open the same flow at once, each makes its own: the client's next
// packet goes by the one that the index names first, the other stays half-open and gives way.
PS_CALL int ps_create_flow(const struct ps_tables *tables, const struct ps_settings *settings,
                           int family, const struct ps_backend *backend,
                           struct ps_new_flow *wanted) {
  if (!tables || !settings || !backend || !wanted) return PS_REASON_tables_unreadable;
  const enum ps_reason reason = ps_place_flow(tables, settings, family, backend, wanted);
  if (reason) return reason;
  struct ps_flow *flow = ps_flow_at(tables, family, ps_new_flow_place(family, wanted));
  if (!flow) return PS_REASON_tables_unreadable;
  if (!ps_index_flow(tables, settings, family, wanted)) {
    ps_free_flow(flow, ps_flow_load(&flow->word));
    return PS_REASON_flow_table_full;
  }
  return PS_REASON_NONE;
}
