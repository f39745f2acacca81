// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Internet checksums, updated and never computed anew (RFC 1624, equation 3: HC' = ~(~HC + ~m +
// m')).
//
// A sum is a 64-bit accumulator of wire words in memory order (RFC 1071: the order of bytes does
// not matter), folded at the end. Corruption on the way in stays visible on the way out.
#pragma once

#include "dataplane/core/types.h"

PS_INLINE __u64 ps_sum_begin(struct ps_be16 checksum) {
  return (__u16)~checksum.raw;
}

PS_INLINE __u64 ps_sum_address(int family, const struct ps_address *address) {
  __u64 sum = address->word[0].raw;
  if (family == PS_IPV6) {
    sum += (__u64)address->word[1].raw + address->word[2].raw + address->word[3].raw;
  }
  return sum;
}

PS_INLINE __u64 ps_sum_without_address(int family, const struct ps_address *address) {
  __u64 sum = (__u32)~address->word[0].raw;
  if (family == PS_IPV6) {
    sum += (__u64)(__u32)~address->word[1].raw + (__u32)~address->word[2].raw +
           (__u32)~address->word[3].raw;
  }
  return sum;
}

// A sum and its halves exchanged, added: the upper half is that of both halves and their carry.
PS_INLINE __u16 ps_sum_fold(__u64 sum) {
  const __u32 words = (__u32)((sum + (sum << 32 | sum >> 32)) >> 32);
  return (__u16)((words + (words << 16 | words >> 16)) >> 16);
}

PS_INLINE struct ps_be16 ps_sum_end(__u64 sum) {
  struct ps_be16 checksum = {(__u16)~ps_sum_fold(sum)};
  return checksum;
}
