// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Fragments: the first one's ports are noted by addresses, protocol and identification; later ones
// take them from there, and then go as any other packet of their connection.
//
// A later fragment that comes before the first, after PS_FRAGMENT_TICKS, or when others have taken
// its place, is dropped and counted: nothing is held back. Which fragments collide cannot be told
// from outside: the key is the tuple's keyed hash.
#pragma once

#include "dataplane/core/flow.h"

// 30 s: as long as a host waits for the rest (RFC 791, RFC 8200 has 60 s).
#define PS_FRAGMENT_TICKS 112

PS_INLINE __u64 ps_fragment_key(const struct ps_settings *settings, int family,
                                const struct ps_packet *packet) {
  const struct ps_be16 low = {(__u16)packet->identification.raw};
  const struct ps_be16 high = {(__u16)(packet->identification.raw >> 16)};
  const struct ps_tuple tuple = {packet->source, packet->destination, low, high, packet->protocol};
  return ps_tuple_hash(settings, family, &tuple);
}

PS_INLINE __u64 ps_fragment_word(__u32 ports, __u32 now) {
  return ports | ((__u64)now << 32);
}

// Never noted, or too long ago. A tick from another processor's future is new.
PS_INLINE int ps_fragment_is_over(__u64 word, __u32 now) {
  return (__u32)word == 0 || now - (__u32)(word >> 32) + 1 > PS_FRAGMENT_TICKS;
}

PS_INLINE struct ps_fragment_set *ps_fragment_set_of(const struct ps_tables *tables, __u64 key) {
  return ps_fragment_set_at(tables, ps_scale((__u32)(key >> 32), PS_FRAGMENT_SETS));
}

PS_INLINE void ps_write_ports(struct ps_fragment_ports *entry, __u64 before, __u64 key,
                              __u64 word) {
  if (__sync_val_compare_and_swap(&entry->word, before, 0) != before) return;
  *(volatile __u64 *)&entry->key = key;
  __sync_val_compare_and_swap(&entry->word, 0, word);
}

// Of a first fragment. Without a free place the oldest gives way.
PS_CALL int ps_note_ports(const struct ps_tables *tables, __u64 key, __u32 ports, __u32 now) {
  if (!tables) return 0;
  struct ps_fragment_set *set = ps_fragment_set_of(tables, key);
  if (!set) return 0;
  int oldest = 0;
  __u32 oldest_age = 0;
  for (int way = 0; way < PS_FRAGMENT_WAYS; way++) {
    const __u64 word = ps_flow_load(&set->way[way].word);
    const int is_free = ps_flow_load(&set->way[way].key) == key || ps_fragment_is_over(word, now);
    const __u32 age = is_free ? 0xffffffffu : now - (__u32)(word >> 32);
    if (age < oldest_age) continue;
    oldest = way;
    oldest_age = age;
  }
  struct ps_fragment_ports *entry = &set->way[oldest & (PS_FRAGMENT_WAYS - 1)];
  ps_write_ports(entry, ps_flow_load(&entry->word), key, ps_fragment_word(ports, now));
  return 0;
}

// Of a later fragment; 0: not known.
PS_CALL __u32 ps_noted_ports(const struct ps_tables *tables, __u64 key, __u32 now) {
  if (!tables) return 0;
  const struct ps_fragment_set *set = ps_fragment_set_of(tables, key);
  if (!set) return 0;
  for (int way = 0; way < PS_FRAGMENT_WAYS; way++) {
    if (ps_flow_load(&set->way[way].key) != key) continue;
    const __u64 word = ps_flow_load(&set->way[way].word);
    if (ps_flow_load(&set->way[way].key) != key || ps_fragment_is_over(word, now)) continue;
    return (__u32)word;
  }
  return 0;
}

// Notes a first fragment's ports, or fills in a later one's.
PS_MUST_USE PS_INLINE enum ps_reason ps_meet_fragment(const struct ps_tables *tables,
                                                      const struct ps_settings *settings,
                                                      int family, enum ps_kind kind,
                                                      struct ps_packet *packet, __u32 now) {
  const __u64 key = ps_fragment_key(settings, family, packet);
  if (kind == PS_FIRST_FRAGMENT) {
    const __u32 own = packet->source_port.raw | ((__u32)packet->destination_port.raw << 16);
    ps_note_ports(tables, key, own, now);
    return PS_REASON_NONE;
  }
  const __u32 ports = ps_noted_ports(tables, key, now);
  packet->source_port.raw = (__u16)ports;
  packet->destination_port.raw = (__u16)(ports >> 16);
  return ports ? PS_REASON_NONE : PS_REASON_fragment_unknown;
}
