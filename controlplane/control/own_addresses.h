// SPDX-License-Identifier: Apache-2.0
// Which addresses the appliance has, and whether they are enough for its services.
#pragma once

#include <vector>

#include "controlplane/config/config.h"
#include "dataplane/address.h"
#include "dataplane/result.h"

namespace penstock {

struct OwnAddresses {
  std::vector<IpAddress> all;  // of the interfaces
  // Where translated packets come from: the configured ones, else the first 16 of each family.
  std::vector<IpAddress> snat;
};

// As they are now. kNotFound: an interface is not there.
Result<OwnAddresses> find_own_addresses(const DataplaneConfig& config);

// kInvalid, saying what to do, when a service needs an address of a family that there is none of,
// or in mode dnat too many.
Result<void> check_addresses(const Config& config, const OwnAddresses& addresses);

}  // namespace penstock
