// SPDX-License-Identifier: Apache-2.0
// What one processor does all the time: takes frames in, walks them, sends them on.
//
// A worker never allocates, blocks or logs; all memory is made before it runs. Tables are shared
// with the other workers as XDP's processors share theirs, so a flow has no owner: its two
// directions may be two workers'. What has one is a port's transmit queue, when there are fewer
// than workers: frames for it are handed over by the owner's inbox.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/dpdk/report.h"

struct ps_burst;
struct ps_tables;
struct rte_mbuf;
struct rte_ring;

namespace penstock::dpdk {

constexpr uint32_t kMaxBurst = 64;

struct ReceiveQueue {
  uint16_t port = 0;  // DPDK's
  uint16_t queue = 0;
  uint32_t place = 0;  // of its port among the exits
};

// Of one port, as this worker sees it.
struct Exit {
  uint32_t interface_index = 0;  // the kernel's
  uint16_t port = 0;
  uint16_t queue = 0;
  rte_ring* inbox = nullptr;   // not ours: of the worker that sends there
  rte_ring* kernel = nullptr;  // frames that come in there and are the kernel's
};

struct WorkerSetup {
  uint32_t number = 0;  // whose counters are written
  const ps_tables* tables = nullptr;
  ForwarderReport* report = nullptr;
  std::vector<ReceiveQueue> queues;
  std::vector<Exit> exits;     // at most kMaxPorts
  rte_ring* inbox = nullptr;   // frames to send, each with its exit's place as its port
  uint32_t burst = 32;         // at most kMaxBurst
  uint32_t idle_sleep_us = 0;  // how long to sleep when there is nothing to do; 0: not at all
};

class Worker {
 public:
  explicit Worker(const WorkerSetup& setup);
  ~Worker();

  // Until `ending`.
  void run(const std::atomic<bool>& ending);

  // Walks what came in by the port at that place and sends it on; owns the frames from then on.
  void forward(rte_mbuf** frames, uint32_t count, uint32_t place, uint32_t now_ticks);
  // Sends what is gathered.
  void flush();

 private:
  // Frames on their way out, by the place of their exit.
  struct Gathered {
    Exit exit;
    std::array<rte_mbuf*, kMaxBurst> frames{};
    uint32_t count = 0;
  };

  uint32_t pass();
  uint32_t take_handed_over();
  void rest();
  bool transmit_whole(rte_mbuf** frames, uint32_t interface_index);
  void transmit(rte_mbuf* frame, uint32_t interface_index);
  Gathered* gathered_for(uint32_t interface_index);
  void gather(rte_mbuf* frame, Gathered& gathered);
  void send(const Exit& exit, rte_mbuf** frames, uint32_t count);
  void flush(Gathered& gathered);
  void give(rte_mbuf* frame, rte_ring* ring);

  const WorkerSetup setup_;
  WorkerReport& report_;
  // By the place of the port that they came in by: in hand, and what is known from those before.
  std::vector<ps_burst> bursts_;
  std::array<Gathered, kMaxPorts> gathered_{};
  Gathered* likely_ = gathered_.data();  // the one that was used last
  uint32_t idle_passes_ = 0;
};

}  // namespace penstock::dpdk
