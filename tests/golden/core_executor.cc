// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/core_executor.h"

#include "dataplane/tables/layout.h"
#include "tests/walk.h"

namespace penstock::golden {
namespace {

class CoreExecutor : public Executor {
 public:
  explicit CoreExecutor(const TableSizes& sizes) : tables_(sizes, 1) {}

  const ps_tables& tables() const override { return tables_.tables(); }

  // The frame ends where its memory ends, so that a sanitizer sees a byte read past it.
  std::optional<Outcome> run(const Bytes& frame, uint64_t now_ns) override {
    Bytes memory(kRoom);
    memory.insert(memory.end(), frame.begin(), frame.end());
    memory.shrink_to_fit();
    ps_handle buffer{memory.data(), memory.data() + kRoom, memory.data() + memory.size()};
    const ps_frame input = {.data = buffer.data,
                            .end = buffer.end,
                            .handle = &buffer,
                            .interface_index = kIngress,
                            .worker = 0,
                            .now_ticks = ticks_of(now_ns)};
    const ps_verdict verdict = walk(tables_.tables(), input);
    Outcome outcome;
    outcome.bytes = {buffer.data, buffer.end};
    outcome.action = verdict.action;
    if (verdict.action == PS_TRANSMIT) outcome.interface_index = verdict.interface_index;
    return outcome;
  }

 private:
  static constexpr size_t kRoom = 256;  // before the frame, as XDP has

  AnonymousTables tables_;
};

}  // namespace

Result<std::unique_ptr<Executor>> open_core(const TableSizes& sizes) {
  return std::make_unique<CoreExecutor>(sizes);
}

}  // namespace penstock::golden
