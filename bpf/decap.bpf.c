// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The decapsulator of tunnel backends, where the kernel has none: takes a client's packet out of
// the appliance's and hands it to the kernel (RFC 2003, 2473, 4213).
//
// Only appliances are believed: to anybody else a decapsulator is a way around a firewall.
#include "dataplane/core/decap_maps.h"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "dataplane/core/checksum.h"
#include "dataplane/core/headers.h"

#define PS_PREFIXES(name)                 \
  struct {                                \
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);  \
    __uint(map_flags, BPF_F_NO_PREALLOC); \
    __uint(max_entries, 1024);            \
    __type(key, struct ps_prefix_key);    \
    __type(value, __u8);                  \
  } name SEC(".maps")

PS_PREFIXES(sources);
PS_PREFIXES(vips);

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, PS_DECAP_COUNTS);
  __type(key, __u32);
  __type(value, __u64);
} counts SEC(".maps");

#define PS_ECN 3  // of a traffic class; all set: congestion experienced

// The packet inside, of one of two families.
struct inner {
  void *header;
  int family;
  __u32 outer_bytes;
  __u8 outer_class;
};

PS_INLINE int end_with(enum ps_decap_count place, int verdict) {
  const __u32 key = place;
  __u64 *count = bpf_map_lookup_elem(&counts, &key);
  if (count) (*count)++;
  return verdict;
}

PS_INLINE int holds(void *trie, int family, const struct ps_address *address) {
  struct ps_prefix_key key = {.bits = 128};
  if (family == PS_IPV4) {
    key.address.word[2].raw = 0xffff0000;  // as it stands on the wire: 00 00 ff ff
    key.address.word[3] = address->word[0];
  } else {
    key.address = *address;
  }
  return bpf_map_lookup_elem(trie, &key) != 0;
}

// The outer header of a tunnel packet, stepped over; else nothing. A fragment is the kernel's.
PS_INLINE const struct ps_address *take_outer(struct ps_cursor *cursor, int family,
                                              struct inner *inner) {
  __u8 protocol = 0;
  const struct ps_address *source = 0;
  if (family == PS_IPV4) {
    const struct ps_ipv4 *ip = ps_take(cursor, sizeof *ip);
    if (!ip) return 0;
    const __u32 header_bytes = (ip->version_and_words & 0x0fu) * 4;
    if (header_bytes < sizeof *ip || (ip->fragment.raw & ps_wire16(PS_IPV4_FRAGMENTED).raw)) {
      return 0;
    }
    if (!ps_take(cursor, header_bytes - (__u32)sizeof *ip)) return 0;
    protocol = ip->protocol;
    inner->outer_bytes = header_bytes;
    inner->outer_class = ip->tos;
    source = (const struct ps_address *)&ip->source;
  } else {
    const struct ps_ipv6 *ip = ps_take(cursor, sizeof *ip);
    if (!ip) return 0;
    protocol = ip->next_header;
    inner->outer_bytes = sizeof *ip;
    inner->outer_class = ps_ipv6_class(ip);
    source = &ip->source;
  }
  inner->family = protocol == PS_PROTOCOL_IPV4   ? PS_IPV4
                  : protocol == PS_PROTOCOL_IPV6 ? PS_IPV6
                                                 : 0;
  return inner->family ? source : 0;
}

// What a router has marked on the outer packet is said to the inner one's receiver (RFC 6040, 4.2).
// 0: the inner packet's sender could not be told of congestion, so it is a loss.
PS_INLINE int pass_congestion_on(const struct inner *inner) {
  if ((inner->outer_class & PS_ECN) != PS_ECN) return 1;
  if (inner->family == PS_IPV4) {
    struct ps_ipv4 *ip = inner->header;
    const __u8 ecn = ip->tos & PS_ECN;
    if (ecn == 0) return 0;
    // The traffic class is the high byte of its checksummed word, as words are added here.
    ip->checksum = ps_sum_end(ps_sum_begin(ip->checksum) + ((__u64)(PS_ECN - ecn) << 8));
    ip->tos |= PS_ECN;
    return 1;
  }
  struct ps_ipv6 *ip = inner->header;
  const __u32 word = ps_host32(ip->version_class_flow);
  if ((word >> 20 & PS_ECN) == 0) return 0;
  ip->version_class_flow = ps_wire32(word | (__u32)PS_ECN << 20);
  return 1;
}

PS_INLINE int is_for_us(const struct inner *inner) {
  const struct ps_address *destination =
      inner->family == PS_IPV4
          ? (const struct ps_address *)&((struct ps_ipv4 *)inner->header)->destination
          : &((struct ps_ipv6 *)inner->header)->destination;
  return holds(&vips, inner->family, destination);
}

PS_INLINE int take_inner(struct ps_cursor *cursor, struct inner *inner) {
  inner->header = ps_take(cursor, ps_ip_header_bytes(inner->family));
  return inner->header && *(__u8 *)inner->header >> 4 == inner->family;
}

// The Ethernet header moves to before the inner packet.
PS_INLINE int cut_outer(struct xdp_md *ctx, const struct inner *inner) {
  struct ps_cursor before = {(__u8 *)(long)ctx->data, (__u8 *)(long)ctx->data_end};
  const struct ps_ethernet *old = ps_take(&before, sizeof *old);
  if (!old) return 0;
  struct ps_ethernet kept = *old;
  if (bpf_xdp_adjust_head(ctx, (int)inner->outer_bytes) != 0) return 0;
  struct ps_cursor after = {(__u8 *)(long)ctx->data, (__u8 *)(long)ctx->data_end};
  struct ps_ethernet *ethernet = ps_take(&after, sizeof *ethernet);
  if (!ethernet) return 0;
  kept.type = ps_ethertype(inner->family);
  *ethernet = kept;
  return 1;
}

SEC("xdp.frags")
int penstock_decap(struct xdp_md *ctx) {
  struct ps_cursor cursor = {(__u8 *)(long)ctx->data, (__u8 *)(long)ctx->data_end};
  const struct ps_ethernet *ethernet = ps_take(&cursor, sizeof *ethernet);
  const int family = ethernet ? ps_family_of(ethernet->type) : 0;
  if (!family) return XDP_PASS;
  struct inner inner = {};
  const struct ps_address *source = take_outer(&cursor, family, &inner);
  if (!source) return XDP_PASS;
  if (!holds(&sources, family, source)) return end_with(PS_DECAP_FOREIGN_SOURCE, XDP_PASS);
  if (!take_inner(&cursor, &inner)) return end_with(PS_DECAP_BROKEN, XDP_DROP);
  if (!is_for_us(&inner)) return end_with(PS_DECAP_FOREIGN_VIP, XDP_DROP);
  if (!pass_congestion_on(&inner) || !cut_outer(ctx, &inner)) {
    return end_with(PS_DECAP_BROKEN, XDP_DROP);
  }
  return end_with(PS_DECAP_TAKEN_OUT, XDP_PASS);
}

char _license[] SEC("license") = "GPL";
