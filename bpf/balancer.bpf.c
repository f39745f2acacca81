// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The XDP driver's forwarder: a frame in, the core's walk, a verdict out. Nothing is decided here.
#include "bpf/tables.bpf.h"
#include "dataplane/core/walk.h"

// Tests set a clock that stands still; 0: the kernel's coarse monotonic clock (a tick is 268 ms, it is off by 4 at most).
const volatile __u64 fixed_clock_ns = 0;

static __u32 now_ticks(void) {
  const __u64 now_ns = fixed_clock_ns ? fixed_clock_ns : bpf_ktime_get_coarse_ns();
  return (__u32)(now_ns >> PS_TICK_SHIFT);
}

SEC("xdp.frags")
int penstock_balancer(struct xdp_md *ctx) {
  const struct ps_tables tables = {};
  const struct ps_frame frame = {
      .data = (__u8 *)(long)ctx->data,
      .end = (__u8 *)(long)ctx->data_end,
      .length_bytes = (__u32)bpf_xdp_get_buff_len(ctx),
      .interface_index = ctx->ingress_ifindex,
      .worker = bpf_get_smp_processor_id(),
      .now_ticks = now_ticks(),
  };
  const struct ps_verdict verdict = ps_walk(&tables, &frame);
  switch (verdict.action) {
    case PS_TRANSMIT:
      if (verdict.interface_index == ctx->ingress_ifindex) return XDP_TX;
      return (int)bpf_redirect(verdict.interface_index, 0);
    case PS_DROP:
      return XDP_DROP;
    case PS_PASS:
      break;
  }
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
