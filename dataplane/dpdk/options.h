// SPDX-License-Identifier: Apache-2.0
// How penstock-dpdk is started: what the configuration's [dpdk] says, as a command line. Written by
// the control plane, read by the forwarder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace penstock::dpdk {

// Of an interface that has no NIC bound to a driver of user space.
constexpr const char* kAfXdp = "af_xdp";

struct PortOptions {
  std::string interface;  // the kernel's: the NIC itself for kAfXdp, else a TAP that stands for it
  std::string device = kAfXdp;  // or a PCI address
  bool operator==(const PortOptions&) const = default;
};

struct ForwarderOptions {
  std::string segment = "/dev/shm/penstock";
  std::vector<uint32_t> cpus;  // a worker each
  std::vector<PortOptions> ports;
  bool hugepages = false;
  uint32_t memory_mb = 256;
  uint32_t burst = 32;
  uint32_t descriptors = 1024;
  uint32_t idle_sleep_us = 50;
  std::vector<std::string> eal;  // passed on as they are
  bool operator==(const ForwarderOptions&) const = default;
};

// Without the program's name.
std::vector<std::string> to_arguments(const ForwarderOptions& options);

// Of what to_arguments has made. Ends the process with a message otherwise.
ForwarderOptions parse_arguments(int argc, char** argv);

}  // namespace penstock::dpdk
