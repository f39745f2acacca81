// SPDX-License-Identifier: Apache-2.0
// The golden packets through the core, compiled into this process.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "dataplane/tables/layout.h"
#include "tests/golden/executor.h"

namespace penstock::golden {
namespace {

class CoreExecutor : public Executor {
 public:
  explicit CoreExecutor(const TableSizes& sizes) : tables_(sizes, 1) {}

  const ps_tables& tables() const override { return tables_.tables(); }

  // The frame ends where its memory ends, so that a sanitizer sees a byte read past it.
  std::optional<Outcome> run(const Bytes& frame) override {
    Bytes memory(kRoom);
    memory.insert(memory.end(), frame.begin(), frame.end());
    memory.shrink_to_fit();
    ps_frame_buffer buffer{memory.data(), memory.data() + kRoom, memory.data() + memory.size()};
    const ps_frame input = {.data = buffer.data,
                            .end = buffer.end,
                            .handle = &buffer,
                            .interface_index = kIngress,
                            .worker = 0,
                            .now_ticks = kNowTicks};
    const ps_verdict verdict = ps_walk(&tables_.tables(), &input);
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

TEST(Corpus, IsWhatTheCasesSay) {
  if (std::system("/usr/bin/python3 -c 'import scapy' 2>/dev/null") != 0) {
    GTEST_SKIP() << "needs python3-scapy to generate the corpus";
  }
  std::FILE* pipe = popen("/usr/bin/python3 -B " PENSTOCK_GOLDEN_DIRECTORY "/cases.py", "r");
  ASSERT_NE(pipe, nullptr);
  std::string generated;
  char part[65536];
  while (const size_t bytes = std::fread(part, 1, sizeof part, pipe)) generated.append(part, bytes);
  ASSERT_EQ(pclose(pipe), 0);
  std::ifstream file(PENSTOCK_GOLDEN_DIRECTORY "/corpus.json");
  const std::string committed{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(generated == committed) << "run tests/golden/cases.py > tests/golden/corpus.json";
}

}  // namespace
}  // namespace penstock::golden

int main(int argc, char** argv) {
  using namespace penstock;
  return golden::run_corpus(argc, argv, "GoldenCore", [](const TableSizes& sizes) {
    return Result<std::unique_ptr<golden::Executor>>(std::make_unique<golden::CoreExecutor>(sizes));
  });
}
