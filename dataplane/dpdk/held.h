// SPDX-License-Identifier: Apache-2.0
// What the kernel is not to get while no forwarder lives: packets for services, and for the source
// ports of ours that backends answer to.
#pragma once

#include "dataplane/af_xdp/steering.h"
#include "dataplane/tables/memory.h"

namespace penstock::dpdk {

// Of the generation that is published now. An address that has several services has them all, and
// what is between their ports. While the tables are written twice meanwhile it may be wrong, until
// it is asked again.
HeldPorts held_ports(const ps_tables& tables);

}  // namespace penstock::dpdk
