// SPDX-License-Identifier: Apache-2.0
// What an interface that the configuration names stands on: where XDP is attached for it, and the
// VLAN tags of its frames there.
#pragma once

#include <string>
#include <vector>

#include "controlplane/netlink/kernel_view.h"
#include "dataplane/result.h"
#include "dataplane/vlan.h"

namespace penstock {

// Down from a VLAN device, or a VLAN on a VLAN, to the device underneath; any other interface
// stands on itself, and so does one that is not there: whoever opens it says so. kUnsupported:
// VLANs that cannot be forwarded on, and what to do instead. Pure.
Result<InterfaceStack> find_stack(const Links& links, const std::string& name);

// 0: no interface of that name.
uint32_t find_index(const Links& links, const std::string& name);

// In the calling thread's network namespace.
Result<std::vector<InterfaceStack>> read_stacks(const std::vector<std::string>& names);

}  // namespace penstock
