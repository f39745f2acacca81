// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// 32 bytes compared at once, for drivers that run where there are vectors: one instruction each
// with AVX2, a few more without.
#pragma once

#include "dataplane/core/types.h"

#define PS_BLOCK_WORDS 4

// Anywhere in memory.
typedef __u64 ps_block __attribute__((vector_size(PS_BLOCK_WORDS * 8), aligned(1), may_alias));
typedef double ps_block_signs __attribute__((vector_size(PS_BLOCK_WORDS * 8)));

// A bit for each word that is that one, lowest first. Others may write to it meanwhile, whole
// words.
PS_INLINE __u32 ps_words_like(const ps_block *block, __u64 word) {
  const ps_block read = *(const volatile ps_block *)block;
#ifdef __AVX2__
  return (__u32)__builtin_ia32_movmskpd256((ps_block_signs)(read == word));
#else
  __u32 like = 0;
  for (int i = 0; i < PS_BLOCK_WORDS; i++) like |= (__u32)(read[i] == word) << i;
  return like;
#endif
}

PS_INLINE int ps_is_nothing(const ps_block *block) {
  return ps_words_like(block, 0) == (1u << PS_BLOCK_WORDS) - 1;
}
