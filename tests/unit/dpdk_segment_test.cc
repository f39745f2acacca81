// SPDX-License-Identifier: Apache-2.0
// The tables' file under DPDK, and how the control plane learns that workers have let go of what
// they read.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "dataplane/dpdk/segment.h"

namespace penstock::dpdk {
namespace {

namespace fs = std::filesystem;

constexpr TableSizes kSizes{.flow_table_entries = 4096, .max_services = 8, .max_backends = 16};

class Tables : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "penstock-test-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path() const { return directory_ / "segment"; }
  Segment made(const TableSizes& sizes = kSizes) const {
    auto segment = Segment::open_or_make(path(), sizes);
    EXPECT_TRUE(segment) << segment.error().message;
    return std::move(*segment);
  }

  fs::path directory_;
};

// Another process takes a lock: 0 when it has it, 1 when it was refused.
int hold_elsewhere(const std::string& path, Holder holder) {
  const pid_t child = fork();
  if (child == 0) {
    auto segment = Segment::open(path);
    _exit(segment && segment->hold(holder) ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

using DpdkSegment = Tables;

TEST_F(DpdkSegment, IsFoundAgainWithWhatWasWrittenIntoIt) {
  {
    const Segment first = made();
    EXPECT_FALSE(first.adopted());
    first.tables().services[3].family = PS_IPV6;
    first.tables().reasons[8 * (kMaxWorkers - 1) + 7].count[1] = 42;  // the very last
  }
  const Segment second = made();
  EXPECT_TRUE(second.adopted());
  EXPECT_EQ(second.tables().services[3].family, PS_IPV6);
  const auto third = Segment::open(path());
  ASSERT_TRUE(third);
  EXPECT_EQ(third->tables().reasons[8 * (kMaxWorkers - 1) + 7].count[1], 42u);
  EXPECT_EQ(third->tables().max_backends, 16u);
}

TEST_F(DpdkSegment, OfOtherSizesIsRefusedAndStaysAsItIs) {
  made().tables().services[3].family = PS_IPV4;
  TableSizes larger = kSizes;
  larger.max_backends = 32;
  const auto refused = Segment::open_or_make(path(), larger);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kConflict);
  EXPECT_NE(refused.error().message.find("max_backends = 16"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(made().tables().services[3].family, PS_IPV4);
}

TEST_F(DpdkSegment, OfAnotherVersionIsRefused) {
  made().report().version = kReportVersion + 1;
  const auto refused = Segment::open_or_make(path(), kSizes);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kConflict);
}

TEST_F(DpdkSegment, ThatItsMakerDidNotFinishIsMadeAnew) {
  made().tables().control->layout_version = 0;
  EXPECT_FALSE(made().adopted());
}

TEST_F(DpdkSegment, CutShortIsMadeAnewWhereItHoldsNoTablesAndRefusedWhereItDoes) {
  made();
  fs::resize_file(path(), fs::file_size(path()) - 4096);
  EXPECT_FALSE(Segment::open(path()));
  fs::resize_file(path(), 100);
  EXPECT_FALSE(made().adopted());
}

TEST_F(DpdkSegment, ThatIsNotThereIsNotFound) {
  const auto none = Segment::open(path());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
}

TEST_F(DpdkSegment, HasOneControlPlaneAndOneForwarderAtATime) {
  Segment segment = made();
  ASSERT_TRUE(segment.hold(Holder::kControlPlane));
  EXPECT_EQ(hold_elsewhere(path(), Holder::kControlPlane), 1);
  EXPECT_EQ(hold_elsewhere(path(), Holder::kForwarder), 0) << "that is another one's place";
  EXPECT_FALSE(segment.is_held(Holder::kForwarder)) << "it ended";
}

TEST_F(DpdkSegment, TellsOfAForwarderAsLongAsItLives) {
  const Segment segment = made();
  EXPECT_FALSE(segment.is_held(Holder::kForwarder));
  {
    auto forwarder = Segment::open(path());
    ASSERT_TRUE(forwarder && forwarder->hold(Holder::kForwarder));
    EXPECT_TRUE(segment.is_held(Holder::kForwarder));
  }
  EXPECT_FALSE(segment.is_held(Holder::kForwarder));
}

TEST(DpdkQuiet, ComesWithTheEndOfThePassThatBeganAfterTheQuestion) {
  const auto report = std::make_unique<ForwarderReport>();
  WorkerReport& worker = report->worker[0];
  go_online(*report, worker);
  uint64_t token = 0;
  {
    const Pass under_way(*report, worker);
    token = ask_for_quiet(*report);
    EXPECT_FALSE(has_passed(worker, token)) << "it may hold what was there before";
  }
  EXPECT_FALSE(has_passed(worker, token)) << "that pass began before the question";
  { const Pass next(*report, worker); }
  EXPECT_TRUE(has_passed(worker, token));
}

TEST(DpdkQuiet, IsAWorkersThatReadsNoTables) {
  const auto report = std::make_unique<ForwarderReport>();
  WorkerReport& worker = report->worker[0];
  go_offline(worker);
  EXPECT_TRUE(has_passed(worker, ask_for_quiet(*report)));
  go_online(*report, worker);
  EXPECT_FALSE(has_passed(worker, ask_for_quiet(*report)));
}

// Two generations; the unused one is broken once nobody can be reading it. A reader that meets a
// broken one has been given too short a grace.
TEST(DpdkQuiet, KeepsReadersOffWhatIsWrittenAnew) {
  const auto report = std::make_unique<ForwarderReport>();
  WorkerReport& worker = report->worker[0];
  std::atomic<uint32_t> generation = 0;
  std::array<std::array<std::atomic<uint64_t>, 64>, 2> tables{};
  std::atomic<bool> ending = false;
  std::atomic<uint64_t> torn = 0;
  std::thread reader([&] {
    go_online(*report, worker);
    while (!ending) {
      const Pass pass(*report, worker);
      const auto& table = tables[generation.load(std::memory_order_acquire)];
      const uint64_t first = table[0].load(std::memory_order_relaxed);
      for (const auto& word : table) torn += word.load(std::memory_order_relaxed) != first;
    }
    go_offline(worker);
  });
  for (uint64_t round = 1; round <= 20'000; round++) {
    const uint32_t unused = generation.load() ^ 1;
    for (auto& word : tables[unused]) word.store(round, std::memory_order_relaxed);
    generation.store(unused, std::memory_order_release);
    const uint64_t token = ask_for_quiet(*report);
    while (!has_passed(worker, token)) std::this_thread::yield();
  }
  ending = true;
  reader.join();
  EXPECT_EQ(torn, 0u);
}

}  // namespace
}  // namespace penstock::dpdk
