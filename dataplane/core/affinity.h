// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Affinity: a client that was here keeps its backend when the lookup table changes.
//
// Only what the change changed costs anything (just-enough tracking, as in Beamer, JET and Unimog).
// Beside its lookup table a service keeps the earlier ones, each with the clients that were seen
// while it was in use: bits by client hash, in two epochs. A slot that is the same in all tables
// answers as ever. In a contested one a client that an earlier table knows goes where that table
// leads, and takes an entry of its own, which stays while the client is seen: the earlier table can
// be given up later. A bit that is another client's merely keeps a stranger on an earlier backend.
#pragma once

#include "dataplane/core/flow.h"
#include "dataplane/core/select.h"

// Who asks for a backend, in memory for the call.
struct ps_client {
  struct ps_address address;
  struct ps_be16 port;
  __u16 service;
  __u32 generation;
  __u32 now;
  __u8 is_seen;  // the packet shows that the client is there: affinity takes note of it
  // The answer's particulars:
  __u16 selected;  // by the lookup table alone
  __u32 slot;
  __u64 hash;
};

PS_INLINE __u32 ps_epoch_of(const struct ps_service *service, __u32 now) {
  return now >> (service->epoch_shift & 31);
}

PS_INLINE __u32 ps_known_bit(__u64 client_hash) {
  return ps_scale((__u32)client_hash, PS_KNOWN_BITS);
}

// The word that the bit is in; there always is one.
PS_INLINE __u32 *ps_known_word(struct ps_known_epoch *epoch, __u32 bit) {
  __u32 word = bit / 32;
  PS_OPAQUE(word);  // else the compiler finds the place anew, unseen by the BPF verifier
  return word < PS_KNOWN_WORDS ? &epoch->bits[word] : 0;
}

// Of this epoch or the one before; or the next, by a processor whose clock is a tick ahead.
PS_INLINE int ps_epoch_counts(__u32 epoch, __u32 now_epoch) {
  return now_epoch - epoch + 1 <= 2;
}

PS_INLINE int ps_is_known(struct ps_known_clients *known, __u64 client_hash, __u32 now_epoch) {
  const __u32 bit = ps_known_bit(client_hash);
  for (int i = 0; i < 2; i++) {
    const __u32 *word = ps_known_word(&known->epoch[i], bit);
    if (word && ps_epoch_counts(known->epoch[i].epoch, now_epoch) && *word >> (bit & 31) & 1) {
      return 1;
    }
  }
  return 0;
}

// Two processors that begin an epoch at once may lose a bit: the client's next packet sets it.
PS_INLINE void ps_mark_known(struct ps_known_clients *known, __u64 client_hash, __u32 now_epoch) {
  struct ps_known_epoch *epoch = &known->epoch[now_epoch & 1];
  const __u32 before = *(volatile __u32 *)&epoch->epoch;
  if (before != now_epoch &&
      __sync_val_compare_and_swap(&epoch->epoch, before, now_epoch) == before) {
    for (int i = 0; i < PS_KNOWN_WORDS; i++) *(volatile __u32 *)&epoch->bits[i] = 0;
  }
  const __u32 bit = ps_known_bit(client_hash);
  const __u32 mask = 1u << (bit & 31);
  __u32 *word = ps_known_word(epoch, bit);
  if (word && !(*(volatile __u32 *)word & mask)) __sync_fetch_and_or(word, mask);
}

// Client and service in one word; the hash is keyed and of 64 bits, so it stands for the client.
PS_INLINE __u64 ps_affinity_salt(__u16 service) {
  return service * 0x9e3779b97f4a7c15ULL;
}

PS_INLINE __u64 ps_affinity_key(const struct ps_client *client) {
  return client->hash ^ ps_affinity_salt(client->service);
}

PS_INLINE __u16 ps_affinity_backend(__u64 word) {
  return (__u16)(word >> 32);
}
PS_INLINE __u16 ps_affinity_service(__u64 word) {
  return (__u16)(word >> 48);
}

PS_INLINE __u64 ps_affinity_word(__u16 service, __u16 backend, __u32 until) {
  return until | ((__u64)backend << 32) | ((__u64)service << 48);
}

PS_INLINE int ps_affinity_is_over(__u64 word, __u32 now) {
  const __u32 ticks_left = (__u32)word - now;
  return word == 0 || ticks_left >= 0x80000000u;
}

PS_INLINE struct ps_affinity_set *ps_affinity_set_of(const struct ps_tables *tables, __u64 key,
                                                     int choice) {
  const __u64 mixed = ps_mix(key);
  return ps_affinity_set_at(
      tables, ps_scale((__u32)(choice ? mixed >> 32 : mixed), ps_affinity_sets(tables)));
}

// The key's entry, and its word as it was met; nothing: it has none.
PS_INLINE struct ps_affinity *ps_find_affinity(const struct ps_tables *tables, __u64 key, __u32 now,
                                               __u64 *word) {
  for (int choice = 0; choice < 2; choice++) {
    struct ps_affinity_set *set = ps_affinity_set_of(tables, key, choice);
    if (!set) return 0;
    for (int way = 0; way < PS_AFFINITY_WAYS; way++) {
      struct ps_affinity *entry = &set->way[way];
      if (ps_flow_load(&entry->client) != key) continue;
      *word = ps_flow_load(&entry->word);
      if (ps_affinity_backend(*word) && !ps_affinity_is_over(*word, now) &&
          ps_flow_load(&entry->client) == key) {
        return entry;
      }
    }
  }
  return 0;
}

// Claims a place, writes the client and publishes; 0: somebody else was there first. A claim whose
// writer was stopped is over soon.
PS_INLINE int ps_write_affinity(struct ps_affinity *entry, __u64 key, __u64 before, __u64 after,
                                __u32 now) {
  const __u64 claimed = ps_affinity_word(0, 0, now + PS_EVICTABLE_TICKS);
  if (__sync_val_compare_and_swap(&entry->word, before, claimed) != before) return 0;
  *(volatile __u64 *)&entry->client = key;
  return __sync_val_compare_and_swap(&entry->word, claimed, after) == claimed;
}

// 0: both of the key's sets are full of others.
PS_INLINE int ps_put_affinity(const struct ps_tables *tables, __u64 key, __u64 word, __u32 now) {
  for (int choice = 0; choice < 2; choice++) {
    struct ps_affinity_set *set = ps_affinity_set_of(tables, key, choice);
    if (!set) return 0;
    for (int way = 0; way < PS_AFFINITY_WAYS; way++) {
      const __u64 before = ps_flow_load(&set->way[way].word);
      if (ps_affinity_is_over(before, now) &&
          ps_write_affinity(&set->way[way], key, before, word, now)) {
        return 1;
      }
    }
  }
  return 0;
}

// Whether clients may stay there, whoever takes new ones.
PS_INLINE int ps_may_stay(const struct ps_tables *tables, __u32 generation, __u16 id) {
  const struct ps_backend *backend = id ? ps_backend_at(tables, generation, id) : 0;
  return backend && backend->family && backend->resolved && !backend->down;
}

// Where an earlier table leads a client that it knows; 0: there is no such table, or nobody is left
// there. `has_moved`: such a table led elsewhere than the one of today.
PS_INLINE __u16 ps_select_earlier(const struct ps_tables *tables, const struct ps_service *service,
                                  const struct ps_client *client, int *has_moved) {
  const __u32 epoch = ps_epoch_of(service, client->now);
  __u16 chosen = 0;
  for (int i = 0; i < PS_EARLIER_TABLES && service->earlier[i]; i++) {
    const __u32 place = service->earlier[i];
    __u32 slot = client->slot;
    PS_OPAQUE(slot);  // as in ps_look_up
    struct ps_known_clients *known = ps_known_clients_at(tables, place, slot);
    const struct ps_lookup_table *table = ps_lookup_table_at(tables, place);
    if (!known || !table || slot >= PS_LOOKUP_SLOTS) return chosen;
    if (!ps_is_known(known, client->hash, epoch)) continue;
    const __u16 backend = table->slots[slot] & (__u16)~PS_CONTESTED;
    if (backend != client->selected) *has_moved = 1;
    if (!chosen && ps_may_stay(tables, client->generation, backend)) chosen = backend;
  }
  return chosen;
}

PS_INLINE void ps_note_client(const struct ps_tables *tables, const struct ps_service *service,
                              const struct ps_client *client) {
  struct ps_known_clients *known = ps_known_clients_at(tables, service->lookup_table, client->slot);
  if (known) ps_mark_known(known, client->hash, ps_epoch_of(service, client->now));
}

PS_INLINE void ps_prolong(struct ps_affinity *entry, __u64 word, __u32 until) {
  if (until - (__u32)word < PS_REFRESH_TICKS) return;
  __sync_val_compare_and_swap(&entry->word, word, (word & ~0xffffffffULL) | until);
}

// In a contested slot: the backend of the client's entry; else the one that the first earlier table
// that knows the client leads to; else the one of today. Who was led elsewhere before gets an
// entry.
PS_INLINE __u16 ps_select_contested(const struct ps_tables *tables,
                                    const struct ps_service *service,
                                    const struct ps_client *client) {
  __u64 word = 0;
  const __u32 until = client->now + service->affinity_ticks;
  struct ps_affinity *entry = ps_find_affinity(tables, ps_affinity_key(client), client->now, &word);
  if (entry && ps_may_stay(tables, client->generation, ps_affinity_backend(word))) {
    if (client->is_seen) {
      ps_prolong(entry, word, until);
      ps_note_client(tables, service, client);
    }
    return ps_affinity_backend(word);
  }
  int has_moved = 0;
  const __u16 earlier = ps_select_earlier(tables, service, client, &has_moved);
  const __u16 chosen = earlier ? earlier : client->selected;
  if (!client->is_seen || !chosen) return chosen;
  const __u64 wanted = ps_affinity_word(client->service, chosen, until);
  // Without a place it goes on by the earlier table, which knows it.
  const int is_kept = entry ? __sync_val_compare_and_swap(&entry->word, word, wanted) == word
                      : has_moved
                          ? ps_put_affinity(tables, ps_affinity_key(client), wanted, client->now)
                          : 1;
  if (is_kept) ps_note_client(tables, service, client);
  return chosen;
}

PS_INLINE __u16 ps_select_of(const struct ps_tables *tables, const struct ps_settings *settings,
                             int family, const struct ps_service *service,
                             struct ps_client *client) {
  client->hash = ps_client_hash(settings, family, service, &client->address, client->port);
  client->slot = ps_lookup_slot(client->hash);
  const __u16 held = ps_look_up(tables, service, client->hash);
  client->selected = held & (__u16)~PS_CONTESTED;
  if (!service->affinity_ticks) return client->selected;
  if (held & PS_CONTESTED) return ps_select_contested(tables, service, client);
  if (client->is_seen && held) ps_note_client(tables, service, client);
  return client->selected;
}

// The client's backend (its id); 0: nobody takes clients.
PS_CALL int ps_select(const struct ps_tables *tables, const struct ps_settings *settings,
                      const struct ps_service *service, struct ps_client *client) {
  if (!tables || !settings || !service || !client) return 0;
  return service->family == PS_IPV4 ? ps_select_of(tables, settings, PS_IPV4, service, client)
                                    : ps_select_of(tables, settings, PS_IPV6, service, client);
}
