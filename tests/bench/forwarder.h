// SPDX-License-Identifier: Apache-2.0
// penstock's DPDK worker between one port and itself, on lcore 1.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "dataplane/dpdk/worker.h"
#include "dataplane/tables/memory.h"
#include "tests/bench/testpmd.h"

namespace penstock::bench {

inline void must(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

// The calling thread sleeps meanwhile.
void on_lcore(const std::function<void()>& work);

class Forwarder {
 public:
  Forwarder(const ps_tables& tables, uint16_t port, rte_ring* inbox, uint32_t burst);

  dpdk::Worker& worker() { return worker_; }
  uint64_t packets() const { return report_->worker[0].packets; }  // taken in so far

  // As penstock-dpdk does, for as long.
  Sample forward(std::chrono::milliseconds duration);
  // That not every packet was sent on, and why; nothing when all were.
  std::string remark(uint64_t walked, uint64_t sent) const;

 private:
  const ps_tables& tables_;
  std::unique_ptr<dpdk::ForwarderReport> report_;
  dpdk::Worker worker_;
};

}  // namespace penstock::bench
