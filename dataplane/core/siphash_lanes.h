// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// SipHash of many clients side by side, for drivers that have a burst of frames in hand: what
// siphash.h says of each, in two thirds of the time with AVX2 and in one third with AVX-512.
#pragma once

#include "dataplane/core/siphash.h"

#define PS_LANES 4  // in a vector: with 8, AVX2 has too few registers

typedef __u64 ps_lanes __attribute__((vector_size(PS_LANES * 8), may_alias));

struct ps_sip_lanes {
  ps_lanes v0, v1, v2, v3;
};

#define PS_SIP_ABSORB(s, words) \
  do {                          \
    (s)->v3 ^= (words);         \
    PS_SIP_ROUND(s);            \
    (s)->v0 ^= (words);         \
  } while (0)

// For a function with such vectors: chosen when the program starts, by what the processor has.
#ifdef __x86_64__
#define PS_BY_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "default")))
#else
#define PS_BY_PROCESSOR
#endif

// Of PS_LANES clients. `begun`: with the key; `word`: that many arrays of `stride` words (a
// multiple of PS_LANES), with a word of each client in each. It and `hash` are at multiples of 32
// bytes.
PS_INLINE void ps_siphash_lanes(const struct ps_sip *begun, int words, const __u64 *word,
                                __u32 stride, ps_lanes *hash) {
  const ps_lanes zero = {0};
  struct ps_sip_lanes s = {zero + begun->v0, zero + begun->v1, zero + begun->v2, zero + begun->v3};
  for (int i = 0; i < words; i++) {
    PS_SIP_ABSORB(&s, *(const ps_lanes *)(word + (__u32)i * stride));
  }
  s.v2 ^= 0xff;
  PS_SIP_ROUND(&s);
  PS_SIP_ROUND(&s);
  PS_SIP_ROUND(&s);
  *hash = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
