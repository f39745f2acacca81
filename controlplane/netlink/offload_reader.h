// SPDX-License-Identifier: Apache-2.0
// Asks the kernel what offloads.h judges: ethtool(8)'s features by ioctl, the other end of a veth
// by rtnetlink, what virtio has negotiated from sysfs.
#pragma once

#include "controlplane/netlink/offloads.h"
#include "dataplane/result.h"

namespace penstock {

// In the calling thread's network namespace. What of a veth's other end cannot be read is left
// out: reading in another namespace takes CAP_SYS_ADMIN, and that it has a name below /run/netns.
Result<InterfaceOffloads> read_offloads(const std::string& interface);

// The problems of an interface, which for a VLAN are those of the device underneath; none if it
// cannot be read: it is gone, or no driver's.
std::vector<OffloadProblem> find_offload_problems(const std::string& interface);

}  // namespace penstock
