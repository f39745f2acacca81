// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// What is held back from the kernel while no forwarder lives (bpf/steer.bpf.c).
#pragma once

#include "dataplane/core/types.h"

#define PS_MAX_HELD 8192

struct ps_held_address {
  struct ps_address address;
  __u32 family;  // enum ps_family
};
PS_SIZE_IS(struct ps_held_address, 20);

// first to first + more, in host order.
struct ps_held_ports {
  __u16 first;
  __u16 more;
};
PS_SIZE_IS(struct ps_held_ports, 4);
