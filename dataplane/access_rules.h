// SPDX-License-Identifier: Apache-2.0
// Which clients a service lets in, and how many flows they may open: what the configuration says
// and the tables hold.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/address.h"

namespace penstock {

// The longest prefix that has a client decides; one that none has is let in unless there is an
// `allow`. All of one family; none is in both.
struct AccessRules {
  std::vector<IpPrefix> allow;
  std::vector<IpPrefix> deny;

  bool empty() const { return allow.empty() && deny.empty(); }
  bool operator==(const AccessRules&) const = default;
};

// A token bucket for each prefix of so many bits.
struct NewFlowLimit {
  uint32_t per_second = 0;  // 1 to 100,000; 0: no limit
  uint32_t burst = 0;       // at least per_second
  uint8_t prefix_bits = 0;  // of the VIP's family
  bool operator==(const NewFlowLimit&) const = default;
};

// Of those prefixes the longest that has the address. Takes a look at each.
std::optional<IpPrefix> longest_match(const std::vector<IpPrefix>& prefixes,
                                      const IpAddress& address);

}  // namespace penstock
