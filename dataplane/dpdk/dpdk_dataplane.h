// SPDX-License-Identifier: Apache-2.0
// The DPDK driver's factory: the only thing of it that the control plane may include, beside how
// the forwarder is started.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/dpdk/options.h"

namespace penstock {

struct DpdkOptions {
  std::vector<InterfaceStack> interfaces;
  TableSizes sizes;
  dpdk::ForwarderOptions forwarder;  // a port for every device that the interfaces stand on
};

// Takes over the tables of the segment, or makes them, and the forwarder that runs, or starts one.
// A second daemon is refused (kConflict). Destroying the object leaves the forwarder forwarding;
// remove() ends it.
Result<std::unique_ptr<Dataplane>> open_dpdk_dataplane(const DpdkOptions& options);

// Ends the forwarder and removes the segment, without a running daemon. Nothing there: success.
Result<void> remove_dpdk_dataplane(const std::string& segment);

// kUnsupported: this build has no forwarder; what is missing.
Result<void> check_dpdk();

}  // namespace penstock
