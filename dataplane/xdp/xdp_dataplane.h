// SPDX-License-Identifier: Apache-2.0
// The XDP driver's factory: the only thing of it that the control plane may include.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"

namespace penstock {

struct XdpOptions {
  std::vector<InterfaceStack> interfaces;
  std::string pin_path;  // on a bpffs; one below /sys/fs/bpf is mounted when it is not there
  TableSizes sizes;
};

// Takes over the tables and programs pinned below pin_path, or makes them, loads this binary's
// program and attaches it to every device that the interfaces stand on. Holds a lock on pin_path as
// long as the object lives, so a second daemon is refused (kConflict). Destroying the object leaves
// everything pinned and forwarding; remove() ends it.
Result<std::unique_ptr<Dataplane>> open_xdp_dataplane(const XdpOptions& options);

// Detaches and removes what is pinned below pin_path, without a running daemon. Nothing there:
// success.
Result<void> remove_xdp_dataplane(const std::string& pin_path);

}  // namespace penstock
