// SPDX-License-Identifier: Apache-2.0
// How DPDK's AF_XDP driver attaches its program, in the forwarder's process.
#pragma once

#include "dataplane/af_xdp/steering.h"

namespace penstock {

// What every program is to hold back that is attached from now on, before its first packet.
void hold_back_at_attach(HeldPorts ports);

}  // namespace penstock
