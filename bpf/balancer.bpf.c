// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The XDP driver's forwarder: a frame in, the core's walk, a verdict out. Nothing is decided here.
#include "bpf/tables.bpf.h"
#include "dataplane/core/walk.h"

static __always_inline int forward(struct xdp_md *ctx, int family) {
  const struct ps_tables tables = {};
  const struct ps_frame frame = ps_frame_of(ctx);
  const struct ps_verdict verdict = ps_walk_family(&tables, &frame, family);
  switch (verdict.action) {
    case PS_TRANSMIT:
      if (verdict.interface_index == ctx->ingress_ifindex) return XDP_TX;
      return (int)bpf_redirect(verdict.interface_index, 0);
    case PS_DROP: return XDP_DROP;
    case PS_PASS: break;
  }
  return XDP_PASS;
}

// A program of its own: the kernel follows at most a million steps of each.
SEC("xdp.frags")
int penstock_balancer6(struct xdp_md *ctx) {
  return forward(ctx, PS_IPV6);
}

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(__u32));
  __array(values, int(void *));
} programs SEC(".maps") = {.values = {[0] = (void *)&penstock_balancer6}};

SEC("xdp.frags")
int penstock_balancer(struct xdp_md *ctx) {
  const struct ps_frame frame = ps_frame_of(ctx);
  switch (ps_frame_family(&frame)) {
    case PS_IPV4: return forward(ctx, PS_IPV4);
    case PS_IPV6: bpf_tail_call(ctx, &programs, 0);
  }
  return XDP_PASS;
}

// Not attached: a test run of it tells user space the tick that flows are stamped with.
SEC("xdp")
int penstock_clock(struct xdp_md *ctx) {
  return (int)now_ticks();
}

char _license[] SEC("license") = "GPL";
