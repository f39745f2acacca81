// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The balancer's walk under a load that varies inside one BPF_PROG_TEST_RUN: each run writes the
// next of many tuples into the packet, then walks. A repeated packet would measure the cache.
// `generate` is the same without the walk and `nothing` is a run without a program's work: walk
// less generate plus nothing is the walk by itself. `transmit` is a bare XDP_TX with a MAC swap,
// which it is compared with; `chase` tells what memory costs by itself.
#include "bpf/tables.bpf.h"
#include "dataplane/core/walk.h"

// A packet's addresses and ports, in wire order; IPv4 uses the first word of each address.
struct bench_tuple {
  struct ps_address source;
  struct ps_address destination;
  struct ps_be16 source_port;
  struct ps_be16 destination_port;
  __u32 flags;  // TCP flags, sent as they are
};

PS_TABLE(bench_tuples, struct bench_tuple);

const volatile __u32 ethernet[3] = {};  // destination and source MAC, as they stand in memory

struct bench_state {
  __u64 next;
  __u64 count;        // of tuples in use
  __u64 churned;      // packets since the clock leaps (below); 0: it does not
  int frame_bytes;    // of the packet that the runs begin with
  __u64 transmitted;  // of the walk's verdicts: shows that the load was what it claims to be
};
PS_TABLE(bench_state, struct bench_state);

static __attribute__((always_inline)) int next_packet(struct xdp_md* ctx, int family,
                                                      struct bench_state** state) {
  __u8* data = (__u8*)(long)ctx->data;
  const __u8* end = (__u8*)(long)ctx->data_end;
  *state = PS_ELEMENT(bench_state, 0);
  if (!*state) return 0;
  const __u64 at = (*state)->next;
  (*state)->next = at + 1 < (*state)->count ? at + 1 : 0;
  const struct bench_tuple* tuple = PS_ELEMENT(bench_tuples, (__u32)at);
  if (!tuple) return 0;
  const __u32 ip_bytes = family == PS_IPV4 ? 20 : 40;
  if (data + 14 + ip_bytes + 20 > end) return 0;
  // In words: what is read wider than it was just written would wait for the stores.
  for (int i = 0; i < 3; i++) ps_store32(data + i * 4, ethernet[i]);
  ((struct ps_ethernet*)data)->type = ps_ethertype(family);
  if (family == PS_IPV4) {
    struct ps_ipv4* ip = (struct ps_ipv4*)(data + 14);
    ((struct ps_be16*)&ip->ttl)->raw = 64 | (PS_TCP << 8);
    ip->source = tuple->source.word[0];
    ip->destination = tuple->destination.word[0];
  } else {
    struct ps_ipv6* ip = (struct ps_ipv6*)(data + 14);
    ip->hop_limit = 64;
    ip->source = tuple->source;
    ip->destination = tuple->destination;
  }
  struct ps_tcp* tcp = (struct ps_tcp*)(data + 14 + ip_bytes);
  tcp->source_port = tuple->source_port;
  tcp->destination_port = tuple->destination_port;
  tcp->flags = (__u8)tuple->flags;
  return 1;
}

// Newcomers without end in a table of constant size: with every 1,024th packet the clock leaps past
// all timeouts, so that those before are over.
static __attribute__((always_inline)) __u32 leap_ticks(struct bench_state* state) {
  if (!state->churned) return 0;
  return (__u32)(state->churned++ >> 10) << 15;
}

static __attribute__((always_inline)) int walk(struct xdp_md* ctx, int family) {
  struct bench_state* state;
  if (!next_packet(ctx, family, &state)) return XDP_ABORTED;
  const struct ps_tables tables = {};
  const struct ps_frame frame = {
      .data = (__u8*)(long)ctx->data,
      .end = (__u8*)(long)ctx->data_end,
      .handle = ctx,
      .interface_index = ctx->ingress_ifindex,
      .worker = bpf_get_smp_processor_id(),
      .now_ticks = now_ticks() + leap_ticks(state),
  };
  const struct ps_verdict verdict = ps_walk_family(&tables, &frame, family, PS_WHOLE);
  state->transmitted += verdict.action == PS_TRANSMIT;
  // The next run gets the frame where this one left it.
  const __u8* begin = (const __u8*)(long)ctx->data;
  const __u8* end = (const __u8*)(long)ctx->data_end;
  PS_OPAQUE(begin);  // else they are subtracted in 32 bits, which the verifier refuses
  PS_OPAQUE(end);
  const int longer = (int)(end - begin) - state->frame_bytes;
  if (longer > 0 && bpf_xdp_adjust_head(ctx, longer) != 0) return XDP_ABORTED;
  return XDP_TX;
}

SEC("xdp")
int walk4(struct xdp_md* ctx) {
  return walk(ctx, PS_IPV4);
}

SEC("xdp")
int walk6(struct xdp_md* ctx) {
  return walk(ctx, PS_IPV6);
}

SEC("xdp")
int generate4(struct xdp_md* ctx) {
  struct bench_state* state;
  return next_packet(ctx, PS_IPV4, &state) ? XDP_TX : XDP_ABORTED;
}

SEC("xdp")
int generate6(struct xdp_md* ctx) {
  struct bench_state* state;
  return next_packet(ctx, PS_IPV6, &state) ? XDP_TX : XDP_ABORTED;
}

// A load from a random place of the flow table that cannot begin before that of the run before has
// ended: what memory alone costs, once a packet.
static __attribute__((always_inline)) int chase(int family) {
  struct bench_state* state = PS_ELEMENT(bench_state, 0);
  if (!state) return XDP_ABORTED;
  state->next = ps_mix(state->next + 1);
  const __u32 set = ps_scale((__u32)state->next, flow_sets);
  const struct ps_tables tables = {};
  const struct ps_flow* flow = ps_flow_set_at(&tables, family, set);
  if (!flow) return XDP_ABORTED;
  state->next += ps_flow_load(&flow->client_hop);
  return XDP_TX;
}

SEC("xdp")
int chase4(struct xdp_md* ctx) {
  return chase(PS_IPV4);
}

SEC("xdp")
int chase6(struct xdp_md* ctx) {
  return chase(PS_IPV6);
}

SEC("xdp")
int nothing(struct xdp_md* ctx) {
  return XDP_TX;
}

SEC("xdp")
int transmit(struct xdp_md* ctx) {
  __u8* data = (__u8*)(long)ctx->data;
  if (data + 14 > (__u8*)(long)ctx->data_end) return XDP_ABORTED;
  for (int i = 0; i < 3; i++) {
    const __u16 word = ps_load16(data + i * 2);
    ((struct ps_be16*)(data + i * 2))->raw = ps_load16(data + 6 + i * 2);
    ((struct ps_be16*)(data + 6 + i * 2))->raw = word;
  }
  return XDP_TX;
}

char _license[] SEC("license") = "GPL";
