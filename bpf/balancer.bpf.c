// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The XDP driver's forwarder: a frame in, the core's walk, a verdict out. Nothing is decided here.
#include "bpf/tables.bpf.h"
#include "dataplane/core/walk.h"

SEC("xdp.frags")
int penstock_balancer(struct xdp_md *ctx) {
  const struct ps_tables tables = {};
  const struct ps_frame frame = {
      .data = (__u8 *)(long)ctx->data,
      .end = (__u8 *)(long)ctx->data_end,
      .handle = ctx,
      .interface_index = ctx->ingress_ifindex,
      .worker = bpf_get_smp_processor_id(),
      .now_ticks = now_ticks(),
  };
  const struct ps_verdict verdict = ps_walk(&tables, &frame);
  switch (verdict.action) {
    case PS_TRANSMIT:
      if (verdict.interface_index == ctx->ingress_ifindex) return XDP_TX;
      return (int)bpf_redirect(verdict.interface_index, 0);
    case PS_DROP: return XDP_DROP;
    case PS_PASS: break;
  }
  return XDP_PASS;
}

// Not attached: a test run of it tells user space the tick that flows are stamped with.
SEC("xdp")
int penstock_clock(struct xdp_md *ctx) {
  return (int)now_ticks();
}

char _license[] SEC("license") = "GPL";
