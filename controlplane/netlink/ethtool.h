// SPDX-License-Identifier: Apache-2.0
// The two questions of ethtool(8) that penstock has, by its ioctl, which needs no privilege.
#pragma once

#include "controlplane/netlink/offloads.h"
#include "dataplane/result.h"

namespace penstock {

struct Features {
  FeatureNames on;
  FeatureNames changeable;
};

// Both in the calling thread's network namespace.
Result<Features> read_features(const std::string& interface);
Result<std::string> read_driver(const std::string& interface);

}  // namespace penstock
