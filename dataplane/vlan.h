// SPDX-License-Identifier: Apache-2.0
// VLAN tags, and what an interface stands on, as values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace penstock {

struct VlanTag {
  uint16_t vlan = 0;        // 1 to 4094
  bool is_service = false;  // 802.1ad's (0x88a8); else 802.1Q's (0x8100)
  bool operator==(const VlanTag&) const = default;
};

// The outermost first.
using VlanTags = std::vector<VlanTag>;
constexpr size_t kMaxVlanTags = 2;

// An interface as it is named, and where its frames pass: the device itself, or for a VLAN the one
// underneath, with tags.
struct InterfaceStack {
  std::string name;
  std::string device;
  VlanTags tags;
  bool operator==(const InterfaceStack&) const = default;
};

}  // namespace penstock
