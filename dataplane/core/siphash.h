// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// SipHash-1-3 (Aumasson and Bernstein, 2012) of 4 or 16 bytes, a client's address, and of 2 more,
// its port.
//
// Keyed by the configuration's seed, so that nobody outside can aim at a backend, and standard, so
// that any other implementation can tell which backend a client meets.
#pragma once

#include "dataplane/core/types.h"

struct ps_sip {
  __u64 v0, v1, v2, v3;
};

#define PS_ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

// A macro, since the state is one of words or one of vectors of words (siphash_lanes.h).
#define PS_SIP_ROUND(s)                         \
  do {                                          \
    (s)->v0 += (s)->v1;                         \
    (s)->v1 = PS_ROTATE((s)->v1, 13) ^ (s)->v0; \
    (s)->v0 = PS_ROTATE((s)->v0, 32);           \
    (s)->v2 += (s)->v3;                         \
    (s)->v3 = PS_ROTATE((s)->v3, 16) ^ (s)->v2; \
    (s)->v0 += (s)->v3;                         \
    (s)->v3 = PS_ROTATE((s)->v3, 21) ^ (s)->v0; \
    (s)->v2 += (s)->v1;                         \
    (s)->v1 = PS_ROTATE((s)->v1, 17) ^ (s)->v2; \
    (s)->v2 = PS_ROTATE((s)->v2, 32);           \
  } while (0)

PS_INLINE void ps_sip_absorb(struct ps_sip *s, __u64 word) {
  s->v3 ^= word;
  PS_SIP_ROUND(s);
  s->v0 ^= word;
}

PS_INLINE void ps_sip_begin(struct ps_sip *s, const __u64 key[2]) {
  s->v0 = key[0] ^ 0x736f6d6570736575ULL;
  s->v1 = key[1] ^ 0x646f72616e646f6dULL;
  s->v2 = key[0] ^ 0x6c7967656e657261ULL;
  s->v3 = key[1] ^ 0x7465646279746573ULL;
}

PS_INLINE __u64 ps_sip_end(struct ps_sip *s) {
  s->v2 ^= 0xff;
  PS_SIP_ROUND(s);
  PS_SIP_ROUND(s);
  PS_SIP_ROUND(s);
  return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

// What SipHash absorbs last: the length in the high byte, and the bytes that make no whole word.
PS_INLINE __u64 ps_sip_last(__u64 bytes, __u64 rest) {
  return (bytes << 56) | rest;
}

#define PS_CLIENT_WORDS 3  // at most

PS_INLINE int ps_client_word_count(int family) {
  return family == PS_IPV4 ? 1 : PS_CLIENT_WORDS;
}

// What SipHash absorbs of a client: its bytes as they stand on the wire, of the address 4 or 16 by
// family, then with a port two.
PS_INLINE void ps_client_words(int family, const struct ps_address *address, int with_port,
                               struct ps_be16 port, __u64 word[PS_CLIENT_WORDS]) {
  const __u64 port_raw = with_port ? port.raw : 0;
  const __u64 port_bytes = with_port ? 2 : 0;
  if (family == PS_IPV4) {
    word[0] = ps_sip_last(4 + port_bytes, address->word[0].raw | (port_raw << 32));
    return;
  }
  word[0] = ps_pair(address->word[0], address->word[1]);
  word[1] = ps_pair(address->word[2], address->word[3]);
  word[2] = ps_sip_last(16 + port_bytes, port_raw);
}

PS_INLINE __u64 ps_siphash_client(const __u64 key[2], int family, const struct ps_address *address,
                                  int with_port, struct ps_be16 port) {
  __u64 word[PS_CLIENT_WORDS];
  struct ps_sip s;
  ps_client_words(family, address, with_port, port, word);
  ps_sip_begin(&s, key);
  PS_UNROLL
  for (int i = 0; i < ps_client_word_count(family); i++) ps_sip_absorb(&s, word[i]);
  return ps_sip_end(&s);
}

PS_INLINE __u64 ps_siphash_address(const __u64 key[2], int family,
                                   const struct ps_address *address) {
  const struct ps_be16 none = {0};
  return ps_siphash_client(key, family, address, 0, none);
}
