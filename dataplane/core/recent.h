// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// What was seen lately: from a keyed hash to a value of 51 bits, for things that are small, many
// and of use for a while only. What must not be forgotten has a flow instead.
//
// Nothing is swept: age is judged when an entry is met, and where a set is full its oldest entry
// gives way. What collides cannot be told from outside, for the hashes are keyed.
#pragma once

#include "dataplane/core/flow.h"

#define PS_RECENT_TIME_SHIFT 51
#define PS_RECENT_VALUE ((1ULL << PS_RECENT_TIME_SHIFT) - 1)
#define PS_RECENT_EVER 0x1fff  // an age in units that every entry is within

// Time here: units of 16 ticks (4.3 s), 9.8 hours until they wrap.
PS_INLINE __u64 ps_recent_word(__u64 value, __u32 now) {
  return value | ((__u64)(now >> 4) << PS_RECENT_TIME_SHIFT);
}

// In units, rounded down. What another processor stamped a tick ahead is new.
PS_INLINE __u32 ps_recent_age(__u64 word, __u32 now) {
  const __u32 age = ((now >> 4) - (__u32)(word >> PS_RECENT_TIME_SHIFT)) & 0x1fff;
  return age == 0x1fff ? 0 : age;
}

PS_INLINE struct ps_recent_set *ps_recent_set_of(const struct ps_tables *tables,
                                                 enum ps_recent_table table, __u64 key) {
  const __u32 set = ps_scale((__u32)(key >> 32), PS_RECENT_SETS);
  return ps_recent_set_at(tables, (__u32)table * PS_RECENT_SETS + set);
}

PS_INLINE void ps_write_recent(struct ps_recent *entry, __u64 before, __u64 key, __u64 word) {
  if (__sync_val_compare_and_swap(&entry->word, before, 0) != before) return;
  *(volatile __u64 *)&entry->key = key;
  __sync_val_compare_and_swap(&entry->word, 0, word);
}

// The key's value is that one now, which is not 0. Of two writers of a key one may stay unheard.
PS_CALL int ps_remember(struct ps_recent_set *set, __u64 key, __u64 value, __u32 now) {
  if (!set) return 0;
  int oldest = 0;
  __u32 oldest_age = 0;
  for (int way = 0; way < PS_RECENT_WAYS; way++) {
    const __u64 word = ps_flow_load(&set->way[way].word);
    const int is_free = word == 0 || ps_flow_load(&set->way[way].key) == key;
    const __u32 age = is_free ? 0xffffffffu : ps_recent_age(word, now);
    if (age < oldest_age) continue;
    oldest = way;
    oldest_age = age;
  }
  struct ps_recent *entry = &set->way[oldest & (PS_RECENT_WAYS - 1)];
  ps_write_recent(entry, ps_flow_load(&entry->word), key, ps_recent_word(value, now));
  return 0;
}

// The key's whole word, when it is at most so many units old; else 0.
PS_CALL __u64 ps_recall(const struct ps_recent_set *set, __u64 key, __u32 now, __u32 max_units) {
  if (!set) return 0;
  for (int way = 0; way < PS_RECENT_WAYS; way++) {
    if (ps_flow_load(&set->way[way].key) != key) continue;
    const __u64 word = ps_flow_load(&set->way[way].word);
    if (ps_flow_load(&set->way[way].key) != key || ps_recent_age(word, now) > max_units) continue;
    return word & PS_RECENT_VALUE ? word : 0;
  }
  return 0;
}
