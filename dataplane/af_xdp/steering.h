// SPDX-License-Identifier: Apache-2.0
// What AF_XDP asks of the kernel (bpf/steer.bpf.c): the program that hands an interface's IP
// packets to a forwarder's sockets, and the way back for those that are the kernel's.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "dataplane/address.h"
#include "dataplane/fd.h"
#include "dataplane/result.h"

struct steer;

namespace penstock {

class Steering {
 public:
  static Result<Steering> load();

  // The program's object, for DPDK's driver to attach; as long as this lives, in this process.
  const std::string& object_path() const { return object_path_; }

  // Hands over a whole Ethernet frame as if it had come in on that interface just now. False: the
  // kernel did not take it.
  bool pass_to_kernel(uint32_t interface_index, std::span<const uint8_t> frame) const;

 private:
  struct Destroy {
    void operator()(steer* skeleton) const;
  };

  Steering(std::unique_ptr<steer, Destroy> skeleton, Fd object);

  std::unique_ptr<steer, Destroy> skeleton_;
  Fd object_;
  std::string object_path_;
};

// kConflict: the interface has an XDP program that is not the steering, or not ours.
Result<void> check_steerable(const std::string& interface, uint32_t index, bool was_ours);

// Which ports of an address, first and last, are held back from the kernel while no forwarder
// lives: of the program that is attached.
using HeldPorts = std::map<IpAddress, std::pair<uint16_t, uint16_t>>;
Result<void> hold_back(uint32_t interface_index, const HeldPorts& ports);
// Of a program that is going to be attached.
Result<void> hold_back_by(int program_fd, const HeldPorts& ports);

// Ends the steering, if there is any. It outlives a forwarder otherwise.
Result<void> detach_steering(uint32_t interface_index);

// How many receive queues an interface has, each of which has a socket of its own.
uint32_t receive_queues(const std::string& interface);

}  // namespace penstock
