// SPDX-License-Identifier: Apache-2.0
// A tunnel backend's own decapsulator (bpf/decap.bpf.c), attached to an interface for as long as
// the object lives.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"

namespace penstock {

struct DecapCounts {
  uint64_t taken_out = 0;       // inner packets handed to the kernel
  uint64_t foreign_source = 0;  // tunnel packets of others, left to the kernel
  uint64_t foreign_vip = 0;     // dropped: for none of the VIPs
  uint64_t broken = 0;          // dropped: what was inside is no packet
};

class Decapsulator {
 public:
  // Tunnel packets from `sources` are taken apart when what is inside is for one of `vips`; none:
  // for whatever address. At most 1024 of each. kNotFound, kConflict, kSystem.
  static Result<std::unique_ptr<Decapsulator>> attach(const std::string& interface,
                                                      const std::vector<IpPrefix>& sources,
                                                      const std::vector<IpPrefix>& vips);
  virtual ~Decapsulator() = default;

  virtual const InterfaceStatus& status() const = 0;
  virtual DecapCounts counts() const = 0;
};

}  // namespace penstock
