// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// SYN cookies (Bernstein 1996; RFC 4987, 3.6): the sequence number of the answer to a SYN says all
// that has to be known of it, so that nothing is kept for a client that may be forged.
//
// - bits 31 to 29: the largest of eight segment sizes that is not above the client's
// - bits 28 to 25: its window scale; PS_NO_SCALE: it scales none
// - bit 24: 0
// - bits 23 to 0: of a keyed hash over tuple, client's sequence number, these bits and the time
//
// A cookie is good for 69 to 137 s. Who does not see the answers guesses one in 2^23. The key is
// the configuration's, so appliances with one hash_seed take each other's cookies.
#pragma once

#include "dataplane/core/flow.h"
#include "dataplane/core/siphash.h"
#include "dataplane/core/tcp_options.h"

#define PS_COOKIE_TERMS_SHIFT 24
#define PS_COOKIE_HASH ((1u << PS_COOKIE_TERMS_SHIFT) - 1)
#define PS_COOKIE_EPOCH_SHIFT 8  // of ticks: 69 s

// 536: what is sent to a client that says nothing (RFC 9293, 3.7.1).
PS_INLINE __u16 ps_cookie_mss_of_class(__u32 class_number) {
  switch (class_number & 7) {
    case 0: return 536;
    case 1: return 1220;
    case 2: return 1300;
    case 3: return 1360;
    case 4: return 1400;
    case 5: return 1440;
    case 6: return 1460;
    default: return 8940;
  }
}

// Of the largest size that is not above the client's.
PS_INLINE __u32 ps_cookie_mss_class(__u16 mss) {
  __u32 class_number = 0;
  for (__u32 i = 1; i < 8; i++) class_number += mss >= ps_cookie_mss_of_class(i);
  return class_number;
}

PS_INLINE __u32 ps_cookie_terms(__u16 mss, __u8 scale) {
  return ps_cookie_mss_class(mss) << 5 | (__u32)scale << 1;
}
PS_INLINE __u16 ps_cookie_mss(__u32 cookie) {
  return ps_cookie_mss_of_class(cookie >> 29);
}
PS_INLINE __u8 ps_cookie_scale(__u32 cookie) {
  return (cookie >> 25) & 0xf;
}

// SipHash of the two addresses' words in turns, then of ports, first sequence number, epoch and
// terms. The addresses' part is the same for every try.
PS_INLINE struct ps_sip ps_cookie_begin(const struct ps_settings *settings, int family,
                                        const struct ps_tuple *tuple) {
  struct ps_sip s;
  ps_sip_begin(&s, settings->hash_key);
  for (int i = 0; i < (family == PS_IPV4 ? 1 : 4); i++) {
    ps_sip_absorb(&s, ps_pair(tuple->remote->word[i], tuple->local->word[i]));
  }
  return s;
}

PS_INLINE __u32 ps_cookie_hash(struct ps_sip s, int family, const struct ps_tuple *tuple,
                               __u32 client_sequence, __u32 terms, __u32 epoch) {
  const __u64 ports = tuple->remote_port.raw | ((__u64)tuple->local_port.raw << 16);
  ps_sip_absorb(&s, ports | ((__u64)client_sequence << 32));
  ps_sip_absorb(&s, ps_sip_last(family == PS_IPV4 ? 21 : 45, epoch | ((__u64)terms << 32)));
  return (__u32)ps_sip_end(&s) & PS_COOKIE_HASH;
}

PS_INLINE __u32 ps_make_cookie(const struct ps_settings *settings, int family,
                               const struct ps_tuple *tuple, __u32 client_sequence, __u32 terms,
                               __u32 now) {
  const struct ps_sip s = ps_cookie_begin(settings, family, tuple);
  return terms << PS_COOKIE_TERMS_SHIFT |
         ps_cookie_hash(s, family, tuple, client_sequence, terms, now >> PS_COOKIE_EPOCH_SHIFT);
}

// What shows that a client got a cookie: a segment that acknowledges it and begins where the client
// does, whatever it carries; or one byte before, a probe of the window that it was not offered.
enum ps_shown { PS_SHOWS_NOTHING, PS_SHOWS_BY_SEGMENT, PS_SHOWS_BY_PROBE };

// `sequence` and `cookie`: of a client's segment. Made lately, in this epoch or the one before.
PS_INLINE int ps_shows(const struct ps_settings *settings, int family, const struct ps_tuple *tuple,
                       __u32 sequence, __u32 cookie, __u32 now) {
  const __u32 terms = cookie >> PS_COOKIE_TERMS_SHIFT;
  const __u32 epoch = now >> PS_COOKIE_EPOCH_SHIFT;
  const struct ps_sip s = ps_cookie_begin(settings, family, tuple);
  for (__u32 tries = 0; tries < 4; tries++) {
    PS_OPAQUE(tries);  // one loop's code: the BPF stack is short
    const __u32 is_probe = tries & 1;
    const __u32 hash =
        ps_cookie_hash(s, family, tuple, sequence - 1 + is_probe, terms, epoch - (tries >> 1));
    if (hash == (cookie & PS_COOKIE_HASH)) {
      return is_probe ? PS_SHOWS_BY_PROBE : PS_SHOWS_BY_SEGMENT;
    }
  }
  return PS_SHOWS_NOTHING;
}
