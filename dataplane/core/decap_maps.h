// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// What the decapsulator's program and its loader share: the layout of its maps.
#pragma once

#include "dataplane/core/types.h"

// A prefix as the kernel's LPM trie wants it. IPv4 addresses stand there as IPv6 ones (RFC 4291,
// 2.5.5.2: ::ffff:0:0/96), so that there is one trie.
struct ps_prefix_key {
  __u32 bits;  // of the 128
  struct ps_address address;
};
PS_SIZE_IS(struct ps_prefix_key, 20);

// Places in the map `counts`, each a __u64 for each processor.
enum ps_decap_count {
  PS_DECAP_TAKEN_OUT,       // inner packets handed to the kernel
  PS_DECAP_FOREIGN_SOURCE,  // tunnel packets that no appliance of ours has sent: left to the kernel
  PS_DECAP_FOREIGN_VIP,     // inner packets for none of the VIPs: dropped
  PS_DECAP_BROKEN,          // what is inside is no packet: dropped
  PS_DECAP_COUNTS
};
