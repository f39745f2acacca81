// SPDX-License-Identifier: Apache-2.0
// The NICs: DPDK's environment, the ports and their queues, and who has which.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/dpdk/options.h"
#include "dataplane/dpdk/report.h"
#include "dataplane/result.h"

struct rte_mempool;

namespace penstock::dpdk {

struct Port {
  uint16_t id = 0;               // DPDK's
  uint32_t interface_index = 0;  // the kernel's
  uint16_t receive_queues = 0;
  uint16_t transmit_queues = 0;
  rte_mempool* pool = nullptr;  // that its frames are taken from
};

// Starts DPDK's environment with the devices of these options; `steering_object` is what AF_XDP
// ports attach. Answers nothing that lives: it is the process's.
Result<void> start_environment(const ForwarderOptions& options, const std::string& steering_object);

// Memory for the frames of each port, in the order of the options. Owned by DPDK.
Result<std::vector<rte_mempool*>> make_pools(const ForwarderOptions& options);

// Configures and starts the ports, in the order of the options, and writes down how they came up.
// kNotFound, kInvalid, kSystem: naming the port.
Result<std::vector<Port>> start_ports(const ForwarderOptions& options,
                                      const std::vector<rte_mempool*>& pools,
                                      ForwarderReport& report);

void stop_ports(const std::vector<Port>& ports);

}  // namespace penstock::dpdk
