// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The flow index: from the client's tuple to its flow.
//
// An entry knows the flow's backend, source address and source port, which is all that a packet on
// its way to the backend needs. While the entry is steady (the flow was established when it was
// last looked at, two seconds ago at most) the flow is not looked at: one cache line, not two that
// wait for each other. Everything else goes by the flow: the return tuple leads to it.
//
// Sets are tried in an order that the tuple's hash gives; an entry stands in the first that was not
// full. A reader may meet a writer, who takes `onward` away before `client` changes and publishes
// it after: who finds his client before and after he reads onward has read his own.
#pragma once

#include "dataplane/core/flow.h"
#include "dataplane/core/select.h"

#define PS_INDEX_STEADY (1ULL << 36)  // the flow was established when it was last looked at
#define PS_INDEX_SPILL_SHIFT 37       // three bits of a set's first entry, see ps_index_epoch
#define PS_INDEX_SPILL (7ULL << PS_INDEX_SPILL_SHIFT)
#define PS_INDEX_CLAIMED 1ULL  // being written: a source port, but no backend

// For how long an entry is steady: shorter than what a flow that closes meanwhile stays for.
#define PS_INDEX_STEADY_TICKS (PS_EVICTABLE_TICKS - 1)

// With four entries a set and two thirds of the entries in use, a flow in 60,000 meets eight full
// sets.
#define PS_INDEX_CHOICES 8

PS_INLINE struct ps_be16 ps_onward_port(__u64 onward) {
  return ps_wire16((__u16)onward);
}
PS_INLINE __u16 ps_onward_backend(__u64 onward) {
  return (__u16)(onward >> 16);
}
PS_INLINE __u32 ps_onward_snat(__u64 onward) {
  return (onward >> 32) & (PS_MAX_SNAT_ADDRESSES - 1);
}

PS_INLINE __u64 ps_onward(__u16 snat_port, __u16 backend, __u32 snat, __u32 now) {
  return snat_port | ((__u64)backend << 16) | ((__u64)snat << 32) | ((__u64)now << 40);
}

// Of 24 bits: an entry from the future, by another processor's clock, is very old.
PS_INLINE __u32 ps_onward_age_ticks(__u64 onward, __u32 now) {
  return (now - (__u32)(onward >> 40)) & 0xffffff;
}

PS_INLINE int ps_onward_is_steady(__u64 onward, __u32 now) {
  return (onward & PS_INDEX_STEADY) && ps_onward_age_ticks(onward, now) < PS_INDEX_STEADY_TICKS;
}

// ps_index_entry.client without the service.
PS_INLINE __u64 ps_index_key(int family, const struct ps_tuple *tuple, __u64 hash) {
  const __u32 word0 = family == PS_IPV4 ? tuple->remote->word[0].raw : (__u32)(hash >> 32);
  return tuple->remote_port.raw | ((__u64)word0 << 16);
}

// The set's first entry; the others follow it.
PS_INLINE struct ps_index_entry *ps_index_set_at(const struct ps_tables *tables, int family,
                                                 __u64 hash, __u32 choice) {
  const __u32 step = (1u << 29) + ((__u32)(hash >> 24) * 0x9e3779b1u >> 4);  // never a near set
  const __u32 set = ps_scale((__u32)hash + choice * step, ps_index_sets(tables));
  if (family == PS_IPV4) {
    struct ps_index_set4 *set4 = ps_index_set4_at(tables, set);
    return set4 ? &set4->way[0] : 0;
  }
  struct ps_index_set6 *set6 = ps_index_set6_at(tables, set);
  return set6 ? &set6->way[0].entry : 0;
}

PS_INLINE struct ps_index_entry *ps_index_way(struct ps_index_entry *set, int family, __u32 way) {
  way &= PS_INDEX_WAYS - 1;
  return family == PS_IPV4 ? set + way : &((struct ps_index_entry6 *)set + way)->entry;
}

PS_INLINE struct ps_address *ps_index_client(struct ps_index_entry *entry) {
  return &((struct ps_index_entry6 *)entry)->client;
}

// A set that was full says when: 1 to 7, in turn, an epoch each; 0: it never was. An epoch is as
// long as the longest of a flow's timeouts, so a flow that went to the next set is found while it
// lives, and a set that is not full any more sends nobody on after two epochs.
PS_INLINE __u64 ps_index_epoch(const struct ps_settings *settings, __u32 now) {
  return (now >> (settings->index_epoch_shift & 31)) % 7 + 1;
}

PS_INLINE int ps_index_has_spilled(const struct ps_settings *settings,
                                   const struct ps_index_entry *set, __u32 now) {
  const __u64 spill = (ps_flow_load(&set->onward) & PS_INDEX_SPILL) >> PS_INDEX_SPILL_SHIFT;
  if (spill == 0) return 0;
  // This epoch or the one before; or the next, by a processor whose clock is a tick ahead.
  const __u64 epochs_ago = (ps_index_epoch(settings, now) + 7 - spill) % 7;
  return epochs_ago <= 1 || epochs_ago == 6;
}

// A lost race is left to the next packet.
PS_INLINE void ps_index_spill(const struct ps_settings *settings, struct ps_index_entry *set,
                              __u32 now) {
  const __u64 before = ps_flow_load(&set->onward);
  const __u64 spill = ps_index_epoch(settings, now) << PS_INDEX_SPILL_SHIFT;
  const __u64 after = (before & ~PS_INDEX_SPILL) | spill;
  if (after != before) __sync_val_compare_and_swap(&set->onward, before, after);
}

// What the index knows of a client's packet; no entry: nothing.
struct ps_known_flow {
  __u64 hash;  // of the client's tuple
  struct ps_index_entry *entry;
  __u64 onward;  // the entry's words, as they were met
  __u64 client;
  const struct ps_service *service;
  __u32 now;  // when it was met
};

PS_INLINE int ps_is_vip_of(int family, const struct ps_service *service,
                           const struct ps_tuple *tuple) {
  return ps_load32(&service->port) == ps_port_key(family, tuple->local_port, tuple->protocol) &&
         ps_same_address(family, &service->vip, tuple->local);
}

PS_INLINE int ps_know_by_entry(const struct ps_tables *tables, __u32 generation, int family,
                               const struct ps_tuple *tuple, __u64 key,
                               struct ps_index_entry *entry, struct ps_known_flow *known) {
  const __u64 client = ps_flow_load(&entry->client);
  const __u64 onward = ps_flow_load(&entry->onward);
  if (client >> 16 != key || ps_onward_backend(onward) == 0 ||
      client != ps_flow_load(&entry->client)) {
    return 0;
  }
  if (family == PS_IPV6 && !ps_same_address(family, ps_index_client(entry), tuple->remote)) {
    return 0;
  }
  const struct ps_service *service = ps_service_at(tables, generation, (__u16)client);
  if (!service || !ps_is_vip_of(family, service, tuple)) return 0;
  known->entry = entry;
  known->service = service;
  known->onward = onward;
  known->client = client;
  return 1;
}

// Where in a set a client stands is chance, so a loop that ends there would be mispredicted every
// time: all are compared. More than one (a client of two services from one port) is rare.
PS_INLINE void ps_find_in_set(const struct ps_tables *tables, __u32 generation, int family,
                              const struct ps_tuple *tuple, __u64 key, struct ps_index_entry *set,
                              struct ps_known_flow *known) {
  __u64 likely = 0;
  __u64 matches = 0;
  PS_UNROLL
  for (__u32 way = 0; way < PS_INDEX_WAYS; way++) {
    const __u64 client = ps_flow_load(&ps_index_way(set, family, way)->client);
    const __u64 same = ps_is_zero((client >> 16) ^ key);
    likely |= way & (0 - same);
    matches += same;
  }
  PS_OPAQUE(likely);  // else the compiler drops ps_index_way's mask, which the BPF verifier needs
  if (PS_LIKELY(matches <= 1)) {
    if (matches) {
      ps_know_by_entry(tables, generation, family, tuple, key,
                       ps_index_way(set, family, (__u32)likely), known);
    }
    return;
  }
  for (__u32 way = 0; way < PS_INDEX_WAYS; way++) {
    if (ps_know_by_entry(tables, generation, family, tuple, key, ps_index_way(set, family, way),
                         known)) {
      return;
    }
  }
}

// Who is looked for further than in the first set, in memory for the call: the tuple's copy.
struct ps_search {
  struct ps_address remote;
  struct ps_address local;
  struct ps_be16 remote_port;
  struct ps_be16 local_port;
  __u32 generation;
  __u32 now;
  __u64 hash;
  __u8 protocol;
};

PS_INLINE int ps_find_further_of(const struct ps_tables *tables, const struct ps_settings *settings,
                                 int family, const struct ps_search *search) {
  const struct ps_tuple tuple = {&search->remote, &search->local, search->remote_port,
                                 search->local_port, search->protocol};
  const __u64 key = ps_index_key(family, &tuple, search->hash);
  struct ps_known_flow known = {};
  for (__u32 choice = 1; choice < PS_INDEX_CHOICES; choice++) {
    struct ps_index_entry *set = ps_index_set_at(tables, family, search->hash, choice);
    if (!set) return 0;
    for (__u32 way = 0; way < PS_INDEX_WAYS; way++) {
      if (ps_know_by_entry(tables, search->generation, family, &tuple, key,
                           ps_index_way(set, family, way), &known)) {
        return (int)(choice * PS_INDEX_WAYS + way);
      }
    }
    if (!ps_index_has_spilled(settings, set, search->now)) return 0;
  }
  return 0;
}

// The place of the client's entry: its choice of set, times PS_INDEX_WAYS, and the way. 0: nowhere.
PS_CALL int ps_find_further(const struct ps_tables *tables, const struct ps_settings *settings,
                            int family, const struct ps_search *search) {
  if (!tables || !settings || !search) return 0;
  return family == PS_IPV4 ? ps_find_further_of(tables, settings, PS_IPV4, search)
                           : ps_find_further_of(tables, settings, PS_IPV6, search);
}

// Of `known`, hash and now are given. 1: it may be found further.
PS_INLINE int ps_find_first(const struct ps_tables *tables, const struct ps_settings *settings,
                            __u32 generation, int family, const struct ps_tuple *tuple,
                            struct ps_known_flow *known) {
  const __u64 key = ps_index_key(family, tuple, known->hash);
  struct ps_index_entry *set = ps_index_set_at(tables, family, known->hash, 0);
  if (!set) return 0;
  ps_find_in_set(tables, generation, family, tuple, key, set, known);
  return !PS_LIKELY(known->entry || !ps_index_has_spilled(settings, set, known->now));
}

// By what ps_find_further answered.
PS_INLINE void ps_know_by_place(const struct ps_tables *tables, __u32 generation, int family,
                                const struct ps_tuple *tuple, int place,
                                struct ps_known_flow *known) {
  const __u32 choice = ((__u32)place / PS_INDEX_WAYS) & (PS_INDEX_CHOICES - 1);
  struct ps_index_entry *set = ps_index_set_at(tables, family, known->hash, choice);
  if (!set) return;
  ps_know_by_entry(tables, generation, family, tuple, ps_index_key(family, tuple, known->hash),
                   ps_index_way(set, family, (__u32)place), known);
}

PS_INLINE void ps_find_client(const struct ps_tables *tables, const struct ps_settings *settings,
                              __u32 generation, int family, const struct ps_tuple *tuple,
                              struct ps_known_flow *known) {
  if (PS_LIKELY(!ps_find_first(tables, settings, generation, family, tuple, known))) return;
  struct ps_search search = {};
  ps_set_address(family, &search.remote, tuple->remote);
  ps_set_address(family, &search.local, tuple->local);
  search.remote_port = tuple->remote_port;
  search.local_port = tuple->local_port;
  search.protocol = tuple->protocol;
  search.generation = generation;
  search.now = known->now;
  search.hash = known->hash;
  const int place = ps_find_further(tables, settings, family, &search);
  if (place) ps_know_by_place(tables, generation, family, tuple, place, known);
}

// Whether the flow is the one that the entry names: its return tuple, and its client.
PS_INLINE int ps_is_flow_of(int family, const struct ps_flow *flow, __u64 word,
                            struct ps_index_entry *entry, __u64 onward) {
  const __u64 client = ps_flow_load(&entry->client);
  if (!ps_same16(flow->snat_port, ps_onward_port(onward)) ||
      flow->backend != ps_onward_backend(onward) || ps_flow_snat(word) != ps_onward_snat(onward) ||
      flow->service != (__u16)client || flow->client_port.raw != (__u16)(client >> 16)) {
    return 0;
  }
  return family == PS_IPV4
             ? flow->client_word0.raw == (__u32)(client >> 32)
             : ps_same_address(family, ps_flow_client(family, flow), ps_index_client(entry));
}

// The live flow that an entry leads to, and its word; nothing: it is over, or others stand there.
PS_INLINE struct ps_flow *ps_flow_of_entry(const struct ps_tables *tables,
                                           const struct ps_settings *settings, __u32 generation,
                                           int family, struct ps_index_entry *entry, __u64 onward,
                                           __u32 now, __u64 *word) {
  const struct ps_backend *backend = ps_backend_at(tables, generation, ps_onward_backend(onward));
  if (!backend || backend->family != family) return 0;
  const struct ps_tuple tuple =
      ps_return_tuple(settings, family, backend, ps_onward_snat(onward), ps_onward_port(onward));
  struct ps_flow *set = ps_flow_set_of(tables, settings, family, &tuple);
  if (!set) return 0;
  for (__u32 way = 0; way < PS_FLOW_WAYS; way++) {
    struct ps_flow *flow = ps_flow_way(set, family, way);
    *word = ps_flow_load(&flow->word);
    if (ps_flow_is_live(settings, *word, now) &&
        ps_is_flow_of(family, flow, *word, entry, onward)) {
      return flow;
    }
  }
  return 0;
}

// After a look at the flow. A lost race is left to the next packet.
PS_INLINE void ps_index_note(const struct ps_known_flow *known, int steady) {
  const __u64 onward = known->onward;
  if (!steady && !(onward & PS_INDEX_STEADY)) return;
  const __u64 kept = onward & (PS_INDEX_STEADY - 1 + PS_INDEX_SPILL);
  const __u64 next = kept | (steady ? PS_INDEX_STEADY : 0) | ((__u64)known->now << 40);
  __sync_val_compare_and_swap(&known->entry->onward, onward, next);
}

// The sets before the one that a living flow's entry stands in go on sending its packets there.
PS_INLINE void ps_keep_spilled_of(const struct ps_tables *tables,
                                  const struct ps_settings *settings, int family,
                                  const struct ps_known_flow *known) {
  for (__u32 choice = 0; choice < PS_INDEX_CHOICES; choice++) {
    struct ps_index_entry *set = ps_index_set_at(tables, family, known->hash, choice);
    if (!set) return;
    for (__u32 way = 0; way < PS_INDEX_WAYS; way++) {
      if (ps_flow_load(&ps_index_way(set, family, way)->client) == known->client) return;
    }
    ps_index_spill(settings, set, known->now);
  }
}

PS_CALL int ps_index_keep_spilled(const struct ps_tables *tables,
                                  const struct ps_settings *settings, int family,
                                  const struct ps_known_flow *known) {
  if (!tables || !settings || !known) return 0;
  if (family == PS_IPV4) {
    ps_keep_spilled_of(tables, settings, PS_IPV4, known);
  } else {
    ps_keep_spilled_of(tables, settings, PS_IPV6, known);
  }
  return 0;
}
