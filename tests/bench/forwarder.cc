// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/forwarder.h"

#include <fmt/format.h>
#include <rte_launch.h>

#include <atomic>
#include <future>
#include <thread>

#include "tests/bench/cold_ring.h"

namespace penstock::bench {
namespace {

const char* name_of(uint32_t reason) {
  switch (reason) {
#define PS_REASON_NAME(name, verdict, text) \
  case PS_REASON_##name: return #name;
    PS_REASONS(PS_REASON_NAME)
#undef PS_REASON_NAME
  }
  return "?";
}

}  // namespace

// rte_eal_wait_lcore by itself would spin.
void on_lcore(const std::function<void()>& work) {
  struct Call {
    const std::function<void()>& work;
    std::promise<void> done;
  } call{work, {}};
  const auto run = [](void* what) {
    auto* of = static_cast<Call*>(what);
    of->work();
    of->done.set_value();
    return 0;
  };
  must(rte_eal_remote_launch(run, &call, 1) == 0, "lcore 1 does not start");
  call.done.get_future().wait();
  rte_eal_wait_lcore(1);
}

Forwarder::Forwarder(const ps_tables& tables, uint16_t port, rte_ring* inbox, uint32_t burst)
    : tables_(tables),
      report_(std::make_unique<dpdk::ForwarderReport>()),
      worker_({.tables = &tables,
               .report = report_.get(),
               .queues = {{port, 0, 0}},
               .exits = {{1, port, 0, nullptr, nullptr}},
               .inbox = inbox,
               .burst = burst}) {}

Sample Forwarder::forward(std::chrono::milliseconds duration) {
  std::atomic<bool> ending = false;
  Sample sample;
  const uint64_t before = packets();
  std::thread timer([&] {
    std::this_thread::sleep_for(duration);
    ending = true;
  });
  on_lcore([&] {
    const uint64_t began = processor_ns();
    worker_.run(ending);
    sample.ns = processor_ns() - began;
  });
  timer.join();
  sample.packets = packets() - before;
  return sample;
}

std::string Forwarder::remark(uint64_t walked, uint64_t sent) const {
  if (walked == sent) return {};
  std::string text = fmt::format("  only {} of {} transmitted", sent, walked);
  const dpdk::WorkerReport& report = report_->worker[0];
  if (report.unsent) text += fmt::format(", {} unsent", report.unsent);
  if (report.lost_in_rings) text += fmt::format(", {} for the kernel", report.lost_in_rings);
  for (uint32_t reason = 1; reason < PS_REASON_COUNT; reason++) {
    uint64_t count = 0;
    for (uint32_t service = 0; service < tables_.max_services; service++) {
      count += ps_reasons_at(&tables_, 0, service)->count[reason];
    }
    if (count) text += fmt::format(", {}: {}", name_of(reason), count);
  }
  return text;
}

}  // namespace penstock::bench
