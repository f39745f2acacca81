// SPDX-License-Identifier: Apache-2.0
// A TAP: the kernel's interface that stands for a NIC which a driver of user space has. The
// operator makes it (persistent, of several queues, with the NIC's MAC and its addresses); it
// outlives us.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "dataplane/fd.h"
#include "dataplane/result.h"

namespace penstock::dpdk {

class Tap {
 public:
  // kNotFound: there is no such interface; kSystem: it is no TAP of several queues. The message has
  // the line that makes it.
  static Result<Tap> open(const std::string& interface);

  // Keeps it up while its forwarder is another one's or dead, and takes in nothing: without a
  // process that has it the kernel would say that its cable is out, and forget who is behind it.
  static Result<Tap> hold(const std::string& interface);

  int descriptor() const { return fd_.get(); }  // readable when the kernel has sent a frame
  // The next frame that the kernel sent; 0: none.
  size_t read(std::span<uint8_t> room) const;
  // A frame for the kernel. False: it did not take it.
  bool write(std::span<const uint8_t> frame) const;

 private:
  explicit Tap(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace penstock::dpdk
