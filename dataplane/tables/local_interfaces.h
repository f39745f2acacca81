// SPDX-License-Identifier: Apache-2.0
// The machine's interfaces as frames name them: by index, MAC address and tags.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/address.h"
#include "dataplane/result.h"
#include "dataplane/vlan.h"

namespace penstock {

struct LocalInterface {
  uint32_t index = 0;  // for a VLAN that of the device underneath
  MacAddress mac;
  VlanTags tags;
};

// Indices and MACs as they are now. kNotFound for a missing one, naming those there are.
Result<std::vector<LocalInterface>> find_interfaces(const std::vector<InterfaceStack>& stacks);

}  // namespace penstock
