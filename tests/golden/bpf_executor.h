// SPDX-License-Identifier: Apache-2.0
// The XDP program in the kernel, by BPF_PROG_TEST_RUN; needs root. Attaches to nothing.
//
// A test run without a context comes in on the loopback interface, whose index is 1. A frame has at
// least an Ethernet header there, and a redirect does not say where to.
#pragma once

#include "tests/golden/executor.h"

namespace penstock::golden {

// The loaded programs, one for each size of the flow table. They outlive the executors, of which
// there is one at a time.
class BpfPrograms {
 public:
  virtual ~BpfPrograms() = default;
  virtual Result<std::unique_ptr<Executor>> open(const TableSizes& sizes) = 0;
};

std::unique_ptr<BpfPrograms> bpf_programs();

}  // namespace penstock::golden
