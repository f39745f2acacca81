// SPDX-License-Identifier: Apache-2.0
#include "dataplane/access_rules.h"

#include <algorithm>

namespace penstock {

std::optional<IpPrefix> longest_match(const std::vector<IpPrefix>& prefixes,
                                      const IpAddress& address) {
  std::optional<IpPrefix> longest;
  for (const IpPrefix& prefix : prefixes) {
    if (prefix.has(address) && (!longest || prefix.bits > longest->bits)) longest = prefix;
  }
  return longest;
}

}  // namespace penstock
