// SPDX-License-Identifier: Apache-2.0
// What runs a frame through a dataplane: one implementation a dataplane. All are asked the same
// cases.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "dataplane/core/walk.h"
#include "dataplane/dataplane.h"
#include "dataplane/result.h"
#include "dataplane/tables/frame_buffer.h"
#include "dataplane/tables/memory.h"
#include "tests/golden/frame.h"

namespace penstock::golden {

constexpr uint32_t kIngress = 1;  // the interface that frames come in on

constexpr uint32_t ticks_of(uint64_t ns) {
  return static_cast<uint32_t>(ns >> PS_TICK_SHIFT);
}

struct Outcome {
  ps_action action = PS_PASS;
  // PS_TRANSMIT: where to. kIngress is always told; of others a dataplane may only tell that it is
  // another one.
  std::optional<uint32_t> interface_index;
  Bytes bytes;
};

class Executor {
 public:
  virtual ~Executor() = default;
  virtual const ps_tables& tables() const = 0;
  // At a time that never goes back. nullopt: this dataplane cannot be given such a frame.
  virtual std::optional<Outcome> run(const Bytes& frame, uint64_t now_ns) = 0;
};

// An executor over empty tables of these sizes. kUnsupported: this machine cannot, and the test is
// skipped.
using OpenExecutor = std::function<Result<std::unique_ptr<Executor>>(const TableSizes&)>;

// A main program: registers a test for each case of the corpus (--corpus PATH, else
// $PENSTOCK_GOLDEN_CORPUS, else the source tree's) and runs them all.
int run_corpus(int argc, char** argv, const char* suite, const OpenExecutor& open);

}  // namespace penstock::golden
