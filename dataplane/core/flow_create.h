// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// A source port and an index entry for a new flow.
//
// The candidates are ports of the pool in an order that the client's keyed hash gives (RFC 6056:
// hard to guess from outside). Each names a set: if a place there is free and no live flow has the
// same return tuple, the port is ours. Two processors that take the same port at once, each another
// place, both see it after publication, and retreat.
#pragma once

#include "dataplane/core/flow_index.h"
#include "dataplane/core/new_flow_limit.h"

#define PS_PORT_TRIES 64       // ports tried before the pool counts as exhausted
#define PS_FULL_SETS_TRIES 32  // full sets met before the table counts as full

// In memory for the calls, in a frame that is nearly as large as the BPF verifier allows.
struct ps_new_flow {
  struct ps_address client;
  __u64 client_hash;   // ps_tuple_hash of the client's tuple
  __u64 index_client;  // ps_index_entry.client
  __u64 client_hop;
  __u32 now;
  struct ps_be16 client_port;
  __u16 service;
  __u16 backend;
  __u8 protocol;
  __u8 flags;               // of the flow's word
  struct ps_be32 sequence;  // ps_flow.sequence
  __u8 generation;
  // Filled while a place is looked for:
  __u8 snat;        // place in settings->snat
  __u8 full_sets;   // met so far
  __u16 snat_port;  // host order
  __u16 way;
  __u64 random;  // the state of the client's order of ports
};

enum ps_place_result { PS_PLACE_TAKEN, PS_PLACE_TUPLE_IN_USE, PS_PLACE_SET_FULL };

PS_INLINE int ps_has_return_tuple(const struct ps_flow *flow, __u64 word,
                                  const struct ps_new_flow *wanted) {
  return ps_flow_snat(word) == wanted->snat && ps_host16(flow->snat_port) == wanted->snat_port &&
         flow->backend == wanted->backend;
}

// Which way of the set the flow may have: one that is over, else one that is evictable. It goes to
// wanted->way.
PS_INLINE enum ps_place_result ps_pick_way(const struct ps_settings *settings, int family,
                                           struct ps_flow *set, struct ps_new_flow *wanted) {
  int over = -1;
  int evictable = -1;
  for (int way = 0; way < PS_FLOW_WAYS; way++) {
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

// The other place of the set has a live flow with our return tuple: another processor took it at
// the same time.
PS_INLINE int ps_is_contested(const struct ps_settings *settings, int family, struct ps_flow *set,
                              const struct ps_new_flow *wanted) {
  const struct ps_flow *other = ps_flow_way(set, family, wanted->way ^ 1u);
  const __u64 word = ps_flow_load(&other->word);
  return !ps_flow_is_over(settings, word, wanted->now) && ps_has_return_tuple(other, word, wanted);
}

PS_INLINE void ps_write_flow(int family, struct ps_flow *flow, const struct ps_new_flow *wanted) {
  flow->client_hop = wanted->client_hop;
  flow->client_word0 = wanted->client.word[0];
  flow->client_port = wanted->client_port;
  flow->snat_port = ps_wire16(wanted->snat_port);
  flow->service = wanted->service;
  flow->backend = wanted->backend;
  flow->sequence = wanted->sequence;
  if (family == PS_IPV6) ((struct ps_flow6 *)flow)->client = wanted->client;
}

// Claims a way of the set, writes the flow and publishes it as half-open; the exchange orders the
// writes before it.
PS_INLINE enum ps_place_result ps_take_place(const struct ps_settings *settings, int family,
                                             struct ps_flow *set, struct ps_new_flow *wanted) {
  const enum ps_place_result result = ps_pick_way(settings, family, set, wanted);
  if (result != PS_PLACE_TAKEN) return result;

  struct ps_flow *flow = ps_flow_way(set, family, wanted->way);
  const __u64 before = ps_flow_load(&flow->word);
  const __u64 uses = (before >> 56) + 1;
  const __u64 claimed =
      ps_flow_word(wanted->now, PS_FLOW_CLAIMED, wanted->flags, wanted->snat, uses);
  const __u64 open =
      ps_flow_word(wanted->now, PS_FLOW_HALF_OPEN, wanted->flags, wanted->snat, uses);
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
  if (!ps_is_contested(settings, family, set, wanted)) return PS_PLACE_TAKEN;
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
  const struct ps_tuple tuple =
      ps_return_tuple(settings, family, backend, wanted->snat, ps_wire16(wanted->snat_port));
  struct ps_flow *set = ps_flow_set_of(tables, settings, family, &tuple);
  if (!set) return PS_PLACE_SET_FULL;
  const enum ps_place_result result = ps_take_place(settings, family, set, wanted);
  if (result == PS_PLACE_SET_FULL) wanted->full_sets++;
  return result;
}

// The next port of the client's order, and a place in the set that it names (enum ps_place_result).
PS_CALL int ps_try_port(const struct ps_tables *tables, const struct ps_settings *settings,
                        int family, const struct ps_backend *backend, struct ps_new_flow *wanted) {
  if (!tables || !settings || !backend || !wanted) return PS_PLACE_SET_FULL;
  return family == PS_IPV4 ? ps_try_port_of(tables, settings, PS_IPV4, backend, wanted)
                           : ps_try_port_of(tables, settings, PS_IPV6, backend, wanted);
}

// A place and a source port for the flow, which are in `wanted` then, or why there are none (enum
// ps_reason).
PS_CALL int ps_place_flow(const struct ps_tables *tables, const struct ps_settings *settings,
                          int family, const struct ps_backend *backend,
                          struct ps_new_flow *wanted) {
  if (!tables || !settings || !backend || !wanted) return PS_REASON_tables_unreadable;
  if (wanted->protocol == PS_UDP || wanted->flags & PS_FLOW_COOKIE) {
    const struct ps_service *service = ps_service_at(tables, wanted->generation, wanted->service);
    const int reason = ps_take_new_flow(tables, settings, service, &wanted->client, wanted->now);
    if (reason) return reason;
  }
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

// An entry may be taken over when it leads to no live flow, or to one that gives way: that ends.
PS_INLINE int ps_index_gives_way(const struct ps_tables *tables, const struct ps_settings *settings,
                                 int family, struct ps_index_entry *entry, __u64 onward,
                                 const struct ps_new_flow *wanted) {
  __u64 word = 0;
  struct ps_flow *flow = ps_flow_of_entry(tables, settings, wanted->generation, family, entry,
                                          onward, wanted->now, &word);
  if (!flow) return 1;
  return ps_flow_is_evictable(word, wanted->now) && ps_free_flow(flow, word);
}

// Nobody's; or its writer was stopped amid writing.
PS_INLINE int ps_index_is_free(__u64 onward, __u32 now) {
  if (ps_onward_backend(onward)) return 0;
  return !(onward & PS_INDEX_CLAIMED) || ps_onward_age_ticks(onward, now) >= PS_EVICTABLE_TICKS;
}

PS_INLINE int ps_index_is_of(int family, struct ps_index_entry *entry,
                             const struct ps_new_flow *wanted) {
  if (ps_flow_load(&entry->client) != wanted->index_client) return 0;
  return family == PS_IPV4 || ps_same_address(family, ps_index_client(entry), &wanted->client);
}

// Takes `onward` away, writes the client and publishes; 0: somebody else was there first.
PS_INLINE int ps_index_write(int family, struct ps_index_entry *entry, __u64 before,
                             const struct ps_new_flow *wanted) {
  const __u64 spill = before & PS_INDEX_SPILL;
  const __u64 claimed = PS_INDEX_CLAIMED | spill | ps_onward(0, 0, 0, wanted->now);
  const __u64 onward =
      spill | ps_onward(wanted->snat_port, wanted->backend, wanted->snat, wanted->now);
  if (__sync_val_compare_and_swap(&entry->onward, before, claimed) != before) return 0;
  *(volatile __u64 *)&entry->client = wanted->index_client;
  if (family == PS_IPV6) *ps_index_client(entry) = wanted->client;
  return __sync_val_compare_and_swap(&entry->onward, claimed, onward) == claimed;
}

PS_INLINE int ps_index_put(const struct ps_tables *tables, const struct ps_settings *settings,
                           int family, const struct ps_new_flow *wanted, __u32 choice) {
  struct ps_index_entry *set = ps_index_set_at(tables, family, wanted->client_hash, choice);
  if (!set) return 0;
  // What the client left behind, else a free one: these cost no look at a flow.
  for (__u32 way = 0; way < PS_INDEX_WAYS; way++) {
    struct ps_index_entry *entry = ps_index_way(set, family, way);
    const __u64 onward = ps_flow_load(&entry->onward);
    if ((ps_index_is_free(onward, wanted->now) || ps_index_is_of(family, entry, wanted)) &&
        ps_index_write(family, entry, onward, wanted)) {
      return 1;
    }
  }
  for (__u32 way = 0; way < PS_INDEX_WAYS; way++) {
    struct ps_index_entry *entry = ps_index_way(set, family, way);
    const __u64 onward = ps_flow_load(&entry->onward);
    if (ps_index_gives_way(tables, settings, family, entry, onward, wanted) &&
        ps_index_write(family, entry, onward, wanted)) {
      return 1;
    }
  }
  ps_index_spill(settings, set, wanted->now);
  return 0;
}

// The flow that was just made cannot be found from the client's side: it goes.
PS_INLINE void ps_give_back(const struct ps_tables *tables, const struct ps_settings *settings,
                            int family, const struct ps_backend *backend,
                            const struct ps_new_flow *wanted) {
  const struct ps_tuple tuple =
      ps_return_tuple(settings, family, backend, wanted->snat, ps_wire16(wanted->snat_port));
  struct ps_flow *set = ps_flow_set_of(tables, settings, family, &tuple);
  if (!set) return;
  struct ps_flow *flow = ps_flow_way(set, family, wanted->way);
  ps_free_flow(flow, ps_flow_load(&flow->word));
}

PS_INLINE int ps_index_flow_of(const struct ps_tables *tables, const struct ps_settings *settings,
                               int family, const struct ps_backend *backend,
                               const struct ps_new_flow *wanted) {
  for (__u32 choice = 0; choice < PS_INDEX_CHOICES; choice++) {
    if (ps_index_put(tables, settings, family, wanted, choice)) return 1;
  }
  ps_give_back(tables, settings, family, backend, wanted);
  return 0;
}

// Makes the flow findable from the client's side. 0: all its sets are full of live flows, and the
// flow is gone.
PS_CALL int ps_index_flow(const struct ps_tables *tables, const struct ps_settings *settings,
                          int family, const struct ps_backend *backend,
                          const struct ps_new_flow *wanted) {
  if (!tables || !settings || !backend || !wanted) return 0;
  return family == PS_IPV4 ? ps_index_flow_of(tables, settings, PS_IPV4, backend, wanted)
                           : ps_index_flow_of(tables, settings, PS_IPV6, backend, wanted);
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

// The client's new flow, whose source port is in `wanted` then. When two processors open the same
// flow at once, each makes its own: the client's next packet goes by the one that the index names,
// the other stays half-open and gives way.
PS_MUST_USE PS_INLINE enum ps_reason ps_create_flow(const struct ps_tables *tables,
                                                    const struct ps_settings *settings, int family,
                                                    const struct ps_backend *backend,
                                                    struct ps_new_flow *wanted) {
  const int reason = ps_place_flow(tables, settings, family, backend, wanted);
  if (reason) return (enum ps_reason)reason;
  return ps_index_flow(tables, settings, family, backend, wanted) ? PS_REASON_NONE
                                                                  : PS_REASON_flow_table_full;
}
