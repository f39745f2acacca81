// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The integer types of the wire and the few macros by which one text compiles as BPF C and as C++.
//
// Multi-byte fields in network order have types of their own, so that comparing a port on the wire
// with a host-order 80 does not compile. The core includes nothing but <linux/types.h>.
#pragma once

#include <linux/types.h>

#define PS_INLINE static inline __attribute__((always_inline))

// A call of its own, for what is long and rare. The BPF verifier checks it once, by itself, and
// takes any pointer that it is given for one that may be null.
#ifdef __bpf__
#define PS_CALL __attribute__((noinline))
#else
#define PS_CALL static __attribute__((noinline, unused))
#endif

#define PS_MUST_USE __attribute__((warn_unused_result))
#define PS_LIKELY(x) __builtin_expect(!!(x), 1)

// The compiler knows nothing of x after this: it makes no branch of what was computed without one,
// and drops no mask of it.
#define PS_OPAQUE(x) __asm__("" : "+r"(x))

// The same, for a bound of x that only the BPF verifier needs to be told.
#ifdef __bpf__
#define PS_UNBOUND(x) PS_OPAQUE(x)
#else
#define PS_UNBOUND(x) ((void)0)
#endif

// GCC would read x together with its neighbour in memory, in one wider word than either was written
// in a moment before: the processor waits for such stores to reach its cache.
#ifdef __bpf__
#define PS_BY_ITSELF(x) ((void)0)
#else
#define PS_BY_ITSELF(x) PS_OPAQUE(x)
#endif

// Before a loop of a few constant rounds: unrolled whole.
#ifdef __clang__
#define PS_UNROLL _Pragma("unroll")
#else
#define PS_UNROLL _Pragma("GCC unroll 8")
#endif

// Wire structs sit at any address. BPF's target loads unaligned words as they are but would split
// those of a packed struct into bytes; everywhere else packed is what makes an unaligned access
// defined.
#ifdef __bpf__
#define PS_WIRE
#else
#define PS_WIRE __attribute__((packed))
#endif

#ifdef __cplusplus
#define PS_SIZE_IS(type, bytes) static_assert(sizeof(type) == (bytes), #type)
#else
#define PS_SIZE_IS(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#endif

struct PS_WIRE ps_be16 {
  __u16 raw;
};
struct PS_WIRE ps_be32 {
  __u32 raw;
};
PS_SIZE_IS(struct ps_be16, 2);
PS_SIZE_IS(struct ps_be32, 4);

// An address of either family as wire words; IPv4 uses the first, the others are zero.
struct PS_WIRE ps_address {
  struct ps_be32 word[4];
};
PS_SIZE_IS(struct ps_address, 16);

enum ps_family { PS_IPV4 = 4, PS_IPV6 = 6 };
enum ps_protocol { PS_TCP = 6, PS_UDP = 17 };  // IANA protocol numbers

PS_INLINE __u16 ps_host16(struct ps_be16 wire) {
  return __builtin_bswap16(wire.raw);
}

PS_INLINE __u32 ps_host32(struct ps_be32 wire) {
  return __builtin_bswap32(wire.raw);
}

PS_INLINE struct ps_be16 ps_wire16(__u16 host) {
  struct ps_be16 wire = {__builtin_bswap16(host)};
  return wire;
}

PS_INLINE struct ps_be32 ps_wire32(__u32 host) {
  struct ps_be32 wire = {__builtin_bswap32(host)};
  return wire;
}

PS_INLINE int ps_same16(struct ps_be16 a, struct ps_be16 b) {
  return a.raw == b.raw;
}

PS_INLINE int ps_same_address(int family, const struct ps_address *a, const struct ps_address *b) {
  if (a->word[0].raw != b->word[0].raw) return 0;
  if (family == PS_IPV4) return 1;
  return a->word[1].raw == b->word[1].raw && a->word[2].raw == b->word[2].raw &&
         a->word[3].raw == b->word[3].raw;
}

// IPv4: the first word only.
PS_INLINE void ps_set_address(int family, struct ps_address *field,
                              const struct ps_address *value) {
  field->word[0] = value->word[0];
  if (family == PS_IPV4) return;
  field->word[1] = value->word[1];
  field->word[2] = value->word[2];
  field->word[3] = value->word[3];
}

// Two wire words as one number, for hashing and comparing only.
PS_INLINE __u64 ps_pair(struct ps_be32 low, struct ps_be32 high) {
  return low.raw | ((__u64)high.raw << 32);
}

PS_INLINE __u16 ps_load16(const void *at) {
  return ((const struct ps_be16 *)at)->raw;
}

PS_INLINE __u32 ps_load32(const void *at) {
  return ((const struct ps_be32 *)at)->raw;
}

PS_INLINE __u64 ps_load64(const void *at) {
  return ps_pair(((const struct ps_be32 *)at)[0], ((const struct ps_be32 *)at)[1]);
}

PS_INLINE void ps_store32(void *at, __u32 raw) {
  ((struct ps_be32 *)at)->raw = raw;
}

// Six bytes of a MAC address as a number, the first byte lowest.
PS_INLINE __u64 ps_load_mac(const __u8 *at) {
  return ps_load32(at) | ((__u64)ps_load16(at + 4) << 32);
}

// A 32-bit hash to 0 .. count - 1 without a division (Lemire's multiply-shift).
PS_INLINE __u32 ps_scale(__u32 hash, __u32 count) {
  return (__u32)(((__u64)hash * count) >> 32);
}
