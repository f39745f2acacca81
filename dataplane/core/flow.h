// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The flow table: finding a flow from either side, and how a flow lives.
//
// A flow stands once, in the set that its return tuple hashes to, so the way back costs one cache line and a free
// source port is found by finding a free place. The way forth goes through an index of tagged words. Nothing is
// locked: an entry's life is one word, changed by compare-and-swap; nothing is swept: age is judged when an entry is met.
// A half-open flow becomes established only when the client has shown that it got the backend's answer, so
// packets with forged sources never hold a place for long.
#pragma once

#include "dataplane/core/access.h"
#include "dataplane/core/packet.h"
#include "dataplane/core/select.h"

enum {
  PS_FLOW_CLIENT_FIN = 1,
  PS_FLOW_BACKEND_FIN = 2,
  PS_FLOW_ANSWERED = 4,   // the backend has sent something
  PS_FLOW_CONFIRMED = 8,  // and the client has shown that it got that
  PS_FLOW_UDP = 16,
};

// Half-open and closing flows older than this give way when no place is free: 2 s, longer than a handshake takes.
#define PS_EVICTABLE_TICKS 8

// How far a client's first acknowledgement may be past the SYN-ACK: TCP fast open lets a backend send data at once.
#define PS_HANDSHAKE_WINDOW 65536u

struct ps_client_tuple {
  struct ps_address address;
  struct ps_be16 port;
  __u16 service;
};

PS_INLINE __u64 ps_flow_load(const __u64 *word) {
  return *(const volatile __u64 *)word;
}

PS_INLINE __u32 ps_flow_tick(__u64 word) {
  return (__u32)word;
}
PS_INLINE __u32 ps_flow_state(__u64 word) {
  return (word >> 32) & 0x7;
}
PS_INLINE __u32 ps_flow_flags(__u64 word) {
  return (word >> 40) & 0xff;
}
PS_INLINE __u32 ps_flow_snat(__u64 word) {
  return (word >> 48) & (PS_MAX_SNAT_ADDRESSES - 1);
}

PS_INLINE __u64 ps_flow_word(__u32 tick, __u32 state, __u32 flags, __u32 snat, __u64 uses) {
  return tick | ((__u64)state << 32) | ((__u64)flags << 40) | ((__u64)snat << 48) | (uses << 56);
}

PS_INLINE __u32 ps_flow_age_ticks(__u64 word, __u32 now) {
  // Two processors' clocks may differ by one tick: a flow from the future is new.
  const __u32 age = now - ps_flow_tick(word);
  return age > 0x80000000u ? 0 : age;
}

// Free, or silent for longer than its state's timeout. Such an entry matches no packet.
PS_INLINE int ps_flow_is_over(const struct ps_settings *settings, __u64 word, __u32 now) {
  const __u32 state = ps_flow_state(word);
  if (state == PS_FLOW_FREE) return 1;
  const int udp = (ps_flow_flags(word) & PS_FLOW_UDP) != 0;
  return ps_flow_age_ticks(word, now) > settings->timeout_ticks[udp][state];
}

PS_INLINE int ps_flow_is_live(const struct ps_settings *settings, __u64 word, __u32 now) {
  return ps_flow_state(word) != PS_FLOW_CLAIMED && !ps_flow_is_over(settings, word, now);
}

PS_INLINE int ps_flow_is_evictable(__u64 word, __u32 now) {
  const __u32 state = ps_flow_state(word);
  return (state == PS_FLOW_HALF_OPEN || state == PS_FLOW_CLOSING) &&
         ps_flow_age_ticks(word, now) >= PS_EVICTABLE_TICKS;
}

// The word after a packet. `confirms`: this packet of the client's shows that it got the backend's answer.
PS_INLINE __u64 ps_flow_after(__u64 word, __u32 now, int to_backend, __u8 tcp_flags, int confirms) {
  __u32 state = ps_flow_state(word);
  __u32 flags = ps_flow_flags(word);
  const __u32 both_fins = PS_FLOW_CLIENT_FIN | PS_FLOW_BACKEND_FIN;

  if (!to_backend) flags |= PS_FLOW_ANSWERED;
  if (to_backend && confirms && (flags & PS_FLOW_ANSWERED)) flags |= PS_FLOW_CONFIRMED;
  if (state == PS_FLOW_HALF_OPEN && (flags & PS_FLOW_CONFIRMED)) state = PS_FLOW_ESTABLISHED;

  if (tcp_flags & PS_TCP_FIN) flags |= to_backend ? PS_FLOW_CLIENT_FIN : PS_FLOW_BACKEND_FIN;
  if ((tcp_flags & PS_TCP_RST) || (flags & both_fins) == both_fins) {
    state = PS_FLOW_CLOSING;
  } else if (state == PS_FLOW_CLOSING && !to_backend && (flags & PS_FLOW_CONFIRMED)) {
    // The backend goes on after a reset: it did not believe it (RFC 5961), so neither do we.
    state = PS_FLOW_ESTABLISHED;
  }
  return ps_flow_word(now, state, flags, ps_flow_snat(word), word >> 56);
}

// Writes only when something changes: at most once a tick for a flow in steady state. A lost race is another packet's
// update; a second try joins it, a third is left to the next packet.
PS_INLINE void ps_flow_update(struct ps_flow *flow, __u64 word, __u32 now, int to_backend,
                              __u8 tcp_flags, int confirms) {
  for (int tries = 0; tries < 2; tries++) {
    const __u64 next = ps_flow_after(word, now, to_backend, tcp_flags, confirms);
    if (next == word) return;
    const __u64 seen = __sync_val_compare_and_swap(&flow->word, word, next);
    if (seen == word) return;
    word = seen;
  }
}

PS_INLINE __u32 ps_flow_ways(int family) {
  return family == PS_IPV4 ? PS_FLOW4_WAYS : PS_FLOW6_WAYS;
}

PS_INLINE struct ps_flow *ps_flow_way(struct ps_flow_set *set, int family, __u32 way) {
  return family == PS_IPV4 ? &set->ipv4[way & (PS_FLOW4_WAYS - 1)]
                           : &set->ipv6[way & (PS_FLOW6_WAYS - 1)].flow;
}

PS_INLINE struct ps_flow *ps_flow_at(const struct ps_tables *tables, int family, __u64 place) {
  struct ps_flow_set *set = ps_flow_set_at(tables, family, (__u32)(place / ps_flow_ways(family)));
  return set ? ps_flow_way(set, family, (__u32)place) : 0;
}

PS_INLINE const struct ps_address *ps_flow_client(int family, const struct ps_flow *flow) {
  return family == PS_IPV4 ? (const struct ps_address *)&flow->client_word0
                           : &((const struct ps_flow6 *)flow)->client;
}

PS_INLINE __u64 ps_client_tuple_hash(const struct ps_settings *settings, int family,
                                     const struct ps_address *address, struct ps_be16 port,
                                     __u16 service) {
  const __u64 tail = port.raw | ((__u64)service << 16);
  if (family == PS_IPV4) {
    return ps_mix((address->word[0].raw | (tail << 32)) ^ settings->hash_key[0]);
  }
  __u64 hash = ps_mix(ps_pair(address->word[0], address->word[1]) ^ settings->hash_key[0]);
  hash = ps_mix(hash ^ ps_pair(address->word[2], address->word[3]));
  return ps_mix(hash ^ tail ^ settings->hash_key[1]);
}

PS_INLINE __u64 ps_return_tuple_hash(const struct ps_settings *settings, int family,
                                     const struct ps_address *backend, struct ps_be16 backend_port,
                                     const struct ps_address *snat, struct ps_be16 snat_port,
                                     __u8 protocol) {
  const __u64 ports = backend_port.raw | ((__u64)snat_port.raw << 16) | ((__u64)protocol << 32);
  __u64 hash = ps_pair(backend->word[0], snat->word[0]) ^ settings->hash_key[1];
  if (family == PS_IPV6) {
    hash = ps_mix(hash) ^ ps_pair(backend->word[1], snat->word[1]);
    hash = ps_mix(hash) ^ ps_pair(backend->word[2], snat->word[2]);
    hash = ps_mix(hash) ^ ps_pair(backend->word[3], snat->word[3]);
  }
  return ps_mix(ps_mix(hash) ^ ports);
}

PS_INLINE __u64 ps_index_tag(__u64 hash) {
  return hash >> PS_INDEX_PLACE_BITS;
}

PS_INLINE __u64 ps_index_place(__u64 word) {
  return word & ((1ULL << PS_INDEX_PLACE_BITS) - 1);
}

// A flow may be indexed in either of two sets.
PS_INLINE __u32 ps_index_choice(const struct ps_tables *tables, __u64 hash, int choice) {
  const __u32 part = choice == 0 ? (__u32)hash : (__u32)(hash >> 24) * 0x9e3779b1u;
  return ps_scale(part, ps_index_sets(tables));
}

PS_INLINE int ps_flow_is_clients(int family, const struct ps_flow *flow,
                                 const struct ps_client_tuple *client) {
  return ps_same16(flow->client_port, client->port) && flow->service == client->service &&
         ps_same_address(family, ps_flow_client(family, flow), &client->address);
}

// The client's flow, or nothing; `word` is its life as it was met.
PS_INLINE struct ps_flow *ps_find_in_set(const struct ps_tables *tables,
                                         const struct ps_settings *settings, int family,
                                         const struct ps_client_tuple *client, __u64 hash,
                                         int choice, __u32 now, __u64 *word) {
  struct ps_flow_index *set =
      ps_index_set_at(tables, family, ps_index_choice(tables, hash, choice));
  if (!set) return 0;
  for (int way = 0; way < PS_INDEX_WAYS; way++) {
    const __u64 entry = ps_flow_load(&set->word[way]);
    if (ps_index_tag(entry) != ps_index_tag(hash) || ps_index_place(entry) == 0) continue;
    struct ps_flow *flow = ps_flow_at(tables, family, ps_index_place(entry) - 1);
    if (!flow) continue;
    *word = ps_flow_load(&flow->word);
    if (ps_flow_is_clients(family, flow, client) && ps_flow_is_live(settings, *word, now)) {
      return flow;
    }
  }
  return 0;
}

PS_INLINE struct ps_flow *ps_find_clients_flow(const struct ps_tables *tables,
                                               const struct ps_settings *settings, int family,
                                               const struct ps_client_tuple *client, __u64 hash,
                                               __u32 now, __u64 *word) {
  struct ps_flow *flow =
      ps_find_in_set(tables, settings, family, client, hash, 0, now, word);
  return flow ? flow : ps_find_in_set(tables, settings, family, client, hash, 1, now, word);
}
