// SPDX-License-Identifier: Apache-2.0
// What the forwarder tells, in the segment's first pages: who it is, how its ports came up, what
// each worker has done; and the word by which the control plane learns that nobody reads an old
// generation of the tables any more (quiescent-state-based reclamation, as rte_rcu_qsbr does it; by
// ourselves, since one of its two sides is the control plane, which knows no rte_*).
#pragma once

#include <atomic>
#include <cstdint>

namespace penstock::dpdk {

constexpr uint32_t kMaxWorkers = 16;
constexpr uint32_t kMaxPorts = 8;  // PS_MAX_INTERFACES
constexpr uint64_t kOffline = UINT64_MAX;

// Written by one worker, read by anybody. Two cache lines of its own.
struct alignas(128) WorkerReport {
  // The last token that the worker saw before it ended a pass; kOffline: it reads no tables.
  std::atomic<uint64_t> quiet;
  uint64_t packets;        // taken in from ports
  uint64_t passes;         // over its queues, that found packets
  uint64_t empty_polls;    // passes that found none
  uint64_t busy_cycles;    // of the time stamp counter, in passes that found packets
  uint64_t handed_over;    // frames that leave by a port which another worker sends on
  uint64_t lost_in_rings;  // those whose ring was full, and frames for the kernel whose ring was
  uint64_t unsent;         // frames that a port did not take
  uint32_t cpu;
  uint32_t reserved;
};

struct PortReport {
  char interface[16];  // the kernel's name
  char device[64];     // "af_xdp", or where it is on the bus
  char driver[32];     // of DPDK: "net_virtio"
  char features[96];   // what of the NIC's is used, in words
  uint32_t receive_queues;
  uint32_t transmit_queues;
};

struct ForwarderReport {
  uint32_t version;  // kReportVersion
  uint32_t pid;
  uint32_t is_forwarding;  // 1 from when its workers run
  uint32_t workers;
  uint32_t ports;
  uint32_t reserved;
  uint64_t lost_to_kernel;     // frames that it did not take; written by the thread at its door
  uint64_t cycles_per_second;  // of busy_cycles
  std::atomic<uint64_t> token;
  char command[1024];  // how it was started: another one is another forwarder
  char failure[256];   // why it could not start; empty: it could
  PortReport port[kMaxPorts];
  WorkerReport worker[kMaxWorkers];
};

constexpr uint32_t kReportVersion = 1;
static_assert(std::atomic<uint64_t>::is_always_lock_free, "shared between processes");

// A worker's pass over its queues: between begin and end it may hold on to what it read of the
// tables.
class Pass {
 public:
  explicit Pass(ForwarderReport& report, WorkerReport& worker)
      : worker_(worker), seen_(report.token.load(std::memory_order_acquire)) {}
  ~Pass() { worker_.quiet.store(seen_, std::memory_order_release); }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;

 private:
  WorkerReport& worker_;
  uint64_t seen_;
};

// From here on the worker reads tables; what was published before is what it reads.
inline void go_online(ForwarderReport& report, WorkerReport& worker) {
  worker.quiet.store(report.token.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

inline void go_offline(WorkerReport& worker) {
  worker.quiet.store(kOffline, std::memory_order_release);
}

// What was published before this call is all that a worker reads once has_passed says so for it.
inline uint64_t ask_for_quiet(ForwarderReport& report) {
  return report.token.fetch_add(1, std::memory_order_seq_cst) + 1;
}

inline bool has_passed(const WorkerReport& worker, uint64_t token) {
  return worker.quiet.load(std::memory_order_acquire) >= token;
}

}  // namespace penstock::dpdk
