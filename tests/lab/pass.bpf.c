// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Passes every packet on. A veth end takes the frames that its peer transmits by XDP only while it
// has an XDP program itself, so the bridge's end of the appliance's link gets this one.
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md* packet) {
  (void)packet;
  return XDP_PASS;
}

char license_text[] SEC("license") = "Dual BSD/GPL";
