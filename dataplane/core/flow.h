// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The flow table: how a flow lives, and where it stands.
//
// A flow stands once, in the set that its return tuple hashes to: the way back costs one look, and
// a free source port is found by finding a free place. The way forth goes through flow_index.h.
// Nothing is locked: an entry's life is one word, changed by compare-and-swap; nothing is swept:
// age is judged when an entry is met. A half-open flow becomes established only when the client has
// shown that it got the backend's answer, so packets with forged sources never hold a place for
// long.
#pragma once

#include "dataplane/core/access.h"
#include "dataplane/core/packet.h"

enum {
  PS_FLOW_CLIENT_FIN = 1,
  PS_FLOW_BACKEND_FIN = 2,
  PS_FLOW_ANSWERED = 4,   // the backend has sent something; TCP: its SYN-ACK
  PS_FLOW_CONFIRMED = 8,  // and the client has shown that it got that
  PS_FLOW_UDP = 16,
  PS_FLOW_COOKIE = 32,  // begun by a SYN cookie: sequence numbers are translated (cookie_flow.h)
};

// Half-open and closing flows older than this give way when no place is free: 2 s, longer than a
// handshake takes.
#define PS_EVICTABLE_TICKS 8

// A flow's time is written anew when it is older than this: 1 s. A write a packet would cost more
// than the rest.
#define PS_REFRESH_TICKS 4

// How far a client's first acknowledgement may be past the SYN-ACK: TCP fast open lets a backend
// send data at once.
#define PS_HANDSHAKE_WINDOW 65536u

#define PS_FLOW_SCALE_SHIFT 35

// What windows of ours are scaled by, towards a client that scales its own and has a SYN cookie.
#define PS_OUR_SCALE 7

// A 5-tuple as seen from us: the packet's source is remote, its destination local. What finds a
// flow is the hash of its client's tuple (client to VIP), or of its return tuple (backend to source
// port).
struct ps_tuple {
  const struct ps_address *remote;
  const struct ps_address *local;
  struct ps_be16 remote_port;
  struct ps_be16 local_port;
  __u8 protocol;
};

PS_INLINE struct ps_tuple ps_tuple_of(const struct ps_packet *packet) {
  const struct ps_tuple tuple = {packet->source, packet->destination, packet->source_port,
                                 packet->destination_port, packet->protocol};
  return tuple;
}

PS_INLINE __u64 ps_flow_load(const __u64 *word) {
  return *(const volatile __u64 *)word;
}

PS_INLINE __u32 ps_flow_tick(__u64 word) {
  return (__u32)word;
}
PS_INLINE __u32 ps_flow_state(__u64 word) {
  return (word >> 32) & 0x7;
}
// Of a flow begun by a SYN cookie: what its backend's windows are scaled by.
PS_INLINE __u8 ps_flow_scale(__u64 word) {
  return (word >> PS_FLOW_SCALE_SHIFT) & 0xf;
}
PS_INLINE __u32 ps_flow_flags(__u64 word) {
  return (word >> 40) & 0xff;
}
PS_INLINE int ps_is_of_cookie(__u64 word) {
  return (ps_flow_flags(word) & PS_FLOW_COOKIE) != 0;
}
PS_INLINE int ps_is_answered(__u64 word) {
  return (ps_flow_flags(word) & PS_FLOW_ANSWERED) != 0;
}
PS_INLINE __u32 ps_flow_snat(__u64 word) {
  return (word >> 48) & (PS_MAX_SNAT_ADDRESSES - 1);
}

PS_INLINE __u64 ps_flow_word(__u32 tick, __u32 state, __u32 flags, __u32 snat, __u64 uses) {
  return tick | ((__u64)state << 32) | ((__u64)flags << 40) | ((__u64)snat << 48) | (uses << 56);
}

// The same flow with other particulars.
PS_INLINE __u64 ps_flow_with(__u64 word, __u32 tick, __u32 state, __u32 flags) {
  const __u64 kept = ~ps_flow_word(0xffffffff, 0x7, 0xff, 0, 0);
  return (word & kept) | ps_flow_word(tick, state, flags, 0, 0);
}

// Whether two words are of the same flow: its place was not given to another one between them.
PS_INLINE int ps_flow_is_same_use(__u64 a, __u64 b) {
  return (a ^ b) >> 56 == 0;
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

// The word after a packet. `confirms`: this packet of the client's shows that it got the backend's
// answer.
PS_INLINE __u64 ps_flow_after(__u64 word, __u32 now, int to_backend, __u8 tcp_flags, int confirms) {
  __u32 state = ps_flow_state(word);
  __u32 flags = ps_flow_flags(word);
  const __u32 both_fins = PS_FLOW_CLIENT_FIN | PS_FLOW_BACKEND_FIN;
  const __u8 syn_ack = PS_TCP_SYN | PS_TCP_ACK;

  if (!to_backend && ((flags & PS_FLOW_UDP) || (tcp_flags & syn_ack) == syn_ack)) {
    flags |= PS_FLOW_ANSWERED;
  }
  if (to_backend && confirms && (flags & PS_FLOW_ANSWERED)) flags |= PS_FLOW_CONFIRMED;
  if (state == PS_FLOW_HALF_OPEN && (flags & PS_FLOW_CONFIRMED)) state = PS_FLOW_ESTABLISHED;

  if (tcp_flags & PS_TCP_FIN) flags |= to_backend ? PS_FLOW_CLIENT_FIN : PS_FLOW_BACKEND_FIN;
  if ((tcp_flags & PS_TCP_RST) || (flags & both_fins) == both_fins) {
    state = PS_FLOW_CLOSING;
  } else if (state == PS_FLOW_CLOSING && !to_backend && (flags & PS_FLOW_CONFIRMED) &&
             ps_flow_age_ticks(word, now) >= PS_REFRESH_TICKS) {
    // The backend goes on a second after a reset, which is more than packets in flight: it did not
    // believe it (RFC 5961), so neither do we.
    state = PS_FLOW_ESTABLISHED;
  }
  const __u64 same = ps_flow_with(word, ps_flow_tick(word), state, flags);
  if (same == word && ps_flow_age_ticks(word, now) < PS_REFRESH_TICKS) return word;
  // A client's packets prolong no reset: how long ago it was tells whether the backend believed it.
  if (same == word && state == PS_FLOW_CLOSING && to_backend) return word;
  return ps_flow_with(word, now, state, flags);
}

// Of what a flow's word says, the parts that `deciding` has ones in are as in `wanted`, and it was
// just seen.
PS_INLINE int ps_flow_is_fresh(__u64 word, __u64 deciding, __u64 wanted, __u32 now) {
  return (word & deciding) == wanted && now - ps_flow_tick(word) < PS_REFRESH_TICKS;
}

// Established, confirmed and just seen: a packet without SYN, FIN or RST changes nothing in it.
PS_INLINE int ps_flow_is_steady(__u64 word, __u32 now) {
  const __u32 confirmed = PS_FLOW_ANSWERED | PS_FLOW_CONFIRMED;
  return ps_flow_is_fresh(word, ps_flow_word(0, 0x7, confirmed, 0, 0),
                          ps_flow_word(0, PS_FLOW_ESTABLISHED, confirmed, 0, 0), now);
}

// And with that source address, in the sequence numbers of its backend.
PS_INLINE int ps_flow_is_steady_of(__u64 word, __u32 snat, __u32 now) {
  const __u32 confirmed = PS_FLOW_ANSWERED | PS_FLOW_CONFIRMED;
  return ps_flow_is_fresh(
      word, ps_flow_word(0, 0x7, confirmed | PS_FLOW_COOKIE, PS_MAX_SNAT_ADDRESSES - 1, 0),
      ps_flow_word(0, PS_FLOW_ESTABLISHED, confirmed, snat, 0), now);
}

// Writes only when something changes: about once a second for a flow in steady state. A lost race
// is another packet's update; a second try joins it, a third is left to the next packet. Answers
// the word as the packet leaves it.
PS_INLINE __u64 ps_flow_update(struct ps_flow *flow, __u64 word, __u32 now, int to_backend,
                               __u8 tcp_flags, int confirms) {
  for (int tries = 0; tries < 2; tries++) {
    const __u64 next = ps_flow_after(word, now, to_backend, tcp_flags, confirms);
    if (next == word) return next;
    const __u64 seen = __sync_val_compare_and_swap(&flow->word, word, next);
    if (seen == word || !ps_flow_is_same_use(seen, word)) return next;
    word = seen;
  }
  return word;
}

// The set's first flow; the other follows it.
PS_INLINE struct ps_flow *ps_flow_set_at(const struct ps_tables *tables, int family, __u32 set) {
  if (family == PS_IPV4) {
    struct ps_flow_set4 *set4 = ps_flow_set4_at(tables, set);
    return set4 ? &set4->way[0] : 0;
  }
  struct ps_flow_set6 *set6 = ps_flow_set6_at(tables, set);
  return set6 ? &set6->way[0].flow : 0;
}

PS_INLINE struct ps_flow *ps_flow_way(struct ps_flow *set, int family, __u32 way) {
  way &= PS_FLOW_WAYS - 1;
  return family == PS_IPV4 ? set + way : &((struct ps_flow6 *)set + way)->flow;
}

PS_INLINE const struct ps_address *ps_flow_client(int family, const struct ps_flow *flow) {
  return family == PS_IPV4 ? (const struct ps_address *)&flow->client_word0
                           : &((const struct ps_flow6 *)flow)->client;
}

// Multilinear hashing: words times secret odd factors, summed (Lemire and Kaser 2014), then
// finished. Which tuples collide cannot be told from outside, and the multiplications run side by
// side.
PS_INLINE __u64 ps_finish_hash(__u64 sum) {
  sum ^= sum >> 32;
  sum *= 0x9e3779b97f4a7c15ULL;
  return sum ^ (sum >> 29);
}

PS_INLINE __u64 ps_tuple_hash(const struct ps_settings *settings, int family,
                              const struct ps_tuple *tuple) {
  const __u64 *factor = settings->flow_factors;
  const struct ps_be32 *remote = tuple->remote->word;
  const struct ps_be32 *local = tuple->local->word;
  __u64 remote_port = tuple->remote_port.raw;
  PS_BY_ITSELF(remote_port);
  const __u64 ports =
      remote_port | ((__u64)tuple->local_port.raw << 16) | ((__u64)tuple->protocol << 32);
  __u64 sum = ports * factor[0] + ps_pair(remote[0], local[0]) * factor[1];
  if (family == PS_IPV6) {
    sum += ps_pair(remote[1], local[1]) * factor[2] + ps_pair(remote[2], local[2]) * factor[3] +
           ps_pair(remote[3], local[3]) * factor[4];
  }
  return ps_finish_hash(sum);
}

PS_INLINE struct ps_tuple ps_return_tuple(const struct ps_settings *settings, int family,
                                          const struct ps_backend *backend, __u32 snat,
                                          struct ps_be16 snat_port) {
  const struct ps_tuple tuple = {
      &backend->address, &settings->snat[family == PS_IPV6][snat & (PS_MAX_SNAT_ADDRESSES - 1)],
      backend->port, snat_port, backend->protocol};
  return tuple;
}

// Where the flow stands whose return tuple has this hash, or would.
PS_INLINE struct ps_flow *ps_flow_set_of_hash(const struct ps_tables *tables, int family,
                                              __u64 hash) {
  return ps_flow_set_at(tables, family, ps_scale((__u32)(hash >> 32), ps_flow_sets(tables)));
}

PS_INLINE struct ps_flow *ps_flow_set_of(const struct ps_tables *tables,
                                         const struct ps_settings *settings, int family,
                                         const struct ps_tuple *return_tuple) {
  return ps_flow_set_of_hash(tables, family, ps_tuple_hash(settings, family, return_tuple));
}

// 1 when x is zero, without a branch; x below 2^63.
PS_INLINE __u64 ps_is_zero(__u64 x) {
  __u64 zero = (x - 1) >> 63;
  PS_OPAQUE(zero);
  return zero;
}

// The way of the set to look at first: the one with this port, found without a branch, for which
// way it is is chance. Both are read side by side.
PS_INLINE __u32 ps_likely_way(struct ps_flow *set, int family, struct ps_be16 snat_port) {
  const __u16 first = ps_flow_way(set, family, 0)->snat_port.raw;
  const __u16 second = ps_flow_way(set, family, 1)->snat_port.raw;
  __u64 likely = ps_is_zero(second ^ snat_port.raw) | (ps_is_zero(first ^ snat_port.raw) ^ 1);
  PS_OPAQUE(likely);  // else the compiler drops ps_flow_way's mask, which the BPF verifier needs
  return (__u32)likely;
}

// Unless it has changed since it was met as `word`: then 0.
PS_INLINE int ps_free_flow(struct ps_flow *flow, __u64 word) {
  const __u64 free = ps_flow_word(0, PS_FLOW_FREE, 0, 0, word >> 56);
  return __sync_val_compare_and_swap(&flow->word, word, free) == word;
}
