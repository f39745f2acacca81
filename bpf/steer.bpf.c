// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// In front of a forwarder in user space: an interface's IP packets, and what has VLAN tags, go to
// its AF_XDP sockets, all else (ARP, neighbour discovery, other protocols) to the kernel.
//
// While no forwarder lives the kernel gets its own packets; what is for a service, or for a source
// port of ours, is dropped: the kernel would reset connections that go on in a moment.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "dataplane/core/headers.h"
#include "dataplane/core/held_ports.h"

#define MAX_QUEUES 64

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, MAX_QUEUES);
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");  // DPDK's driver looks for this name

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, PS_MAX_HELD);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct ps_held_address);
  __type(value, struct ps_held_ports);
} held SEC(".maps");

#define ND_FIRST 133  // router solicitation to redirect (RFC 4861)
#define ND_LAST 137

static __always_inline int is_neighbour_discovery(struct ps_cursor cursor) {
  const struct ps_ipv6 *ip = (struct ps_ipv6 *)ps_take(&cursor, sizeof *ip);
  if (!ip || ip->next_header != PS_PROTOCOL_ICMPV6) return 0;
  const __u8 *type = ps_take(&cursor, 1);
  return type && *type >= ND_FIRST && *type <= ND_LAST;
}

// Of TCP and UDP without options before them, the first part of a datagram.
static __always_inline int is_held(struct ps_cursor cursor, int family) {
  struct ps_held_address address = {};
  __u8 protocol = 0;
  if (family == PS_IPV4) {
    const struct ps_ipv4 *ip = (struct ps_ipv4 *)ps_take(&cursor, sizeof *ip);
    if (!ip || ip->version_and_words != 0x45) return 0;
    address.address.word[0] = ip->destination;
    protocol = ip->protocol;
  } else {
    const struct ps_ipv6 *ip = (struct ps_ipv6 *)ps_take(&cursor, sizeof *ip);
    if (!ip) return 0;
    address.address = ip->destination;
    protocol = ip->next_header;
  }
  const struct ps_udp *ports = (struct ps_udp *)ps_take(&cursor, sizeof *ports);
  if (!ports || (protocol != PS_TCP && protocol != PS_UDP)) return 0;
  address.family = (__u32)family;
  const struct ps_held_ports *range = bpf_map_lookup_elem(&held, &address);
  return range && (__u16)(ps_host16(ports->destination_port) - range->first) <= range->more;
}

SEC("xdp")
int steer(struct xdp_md *ctx) {
  struct ps_cursor cursor = {(__u8 *)(long)ctx->data, (__u8 *)(long)ctx->data_end};
  const struct ps_ethernet *ethernet = (struct ps_ethernet *)ps_take(&cursor, sizeof *ethernet);
  if (!ethernet || ethernet->destination[0] & 1) return XDP_PASS;  // or for a group
  const int family = ps_family_of(ethernet->type);
  if (!family && !ps_is_tag(ethernet->type)) return XDP_PASS;
  if (family == PS_IPV6 && is_neighbour_discovery(cursor)) return XDP_PASS;
  const long taken = bpf_redirect_map(&xsks_map, ctx->rx_queue_index, XDP_PASS);
  if (taken != XDP_PASS) return (int)taken;
  return family && is_held(cursor, family) ? XDP_DROP : XDP_PASS;
}

// Run with a frame that a forwarder leaves to the kernel: it goes on as if it had come in now.
SEC("xdp")
int let_pass(struct xdp_md *ctx) {
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
