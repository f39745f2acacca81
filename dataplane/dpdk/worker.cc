// SPDX-License-Identifier: Apache-2.0
// The DPDK driver's forwarder: a burst in, the core's walk for each frame, verdicts out. Nothing is
// decided here.
#include "dataplane/dpdk/worker.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include <cstring>
#include <ctime>

#include "dataplane/dpdk/mbuf_frame.h"
#include "dataplane/dpdk/segment.h"
#include "dataplane/tables/memory.h"

#include "dataplane/core/burst.h"

namespace penstock::dpdk {
namespace {

constexpr uint32_t kPatientPasses = 256;  // that found nothing, before a worker rests
constexpr uint16_t kMostHeaderBytes = 256;
static_assert(kMaxBurst == PS_MAX_BURST);

}  // namespace

Worker::Worker(const WorkerSetup& setup)
    : setup_(setup), report_(setup.report->worker[setup.number]), bursts_(setup.exits.size()) {
  for (size_t place = 0; place < setup_.exits.size(); place++) {
    gathered_[place].exit = setup_.exits[place];
  }
}

Worker::~Worker() = default;

// Member by member where it stands: a copy would be read in wider words than it was written in a
// moment before, which the processor waits for.
PS_INLINE void place_frame(ps_frame& frame, rte_mbuf* mbuf) {
  // Headers in one piece; of what has no room for that the walk says that it is truncated.
  if (!PS_LIKELY(mbuf->nb_segs == 1) && mbuf->data_len < kMostHeaderBytes) {
    rte_pktmbuf_linearize(mbuf);
  }
  frame.handle = mbuf;
  ps_frame_moved(&frame);
}

// Whether each is as the one before it.
bool leave_together(const uint32_t* leaves_by, uint32_t count) {
  return std::memcmp(leaves_by, leaves_by + 1, (count - 1) * sizeof *leaves_by) == 0;
}

void Worker::forward(rte_mbuf** frames, uint32_t count, uint32_t place, uint32_t now_ticks) {
  ps_burst& burst = bursts_[place];
  for (uint32_t i = 0; i < count; i++) {
    place_frame(burst.frame[i], frames[i]);
    rte_prefetch0(burst.frame[i].data);
  }
  const ps_origin origin = {setup_.exits[place].interface_index, setup_.number, now_ticks};
  ps_begin_burst(setup_.tables, &origin, &burst);
  ps_look_ahead(&burst, count);
  ps_walk_burst(&burst, count);
  if (count == setup_.burst && leave_together(burst.leaves_by, count) &&
      transmit_whole(frames, burst.leaves_by[0])) {
    return;
  }
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t leaves_by = burst.leaves_by[i];
    if (leaves_by == PS_DROPPED) {
      rte_pktmbuf_free(frames[i]);
    } else if (leaves_by == PS_TO_KERNEL) {
      give(frames[i], setup_.exits[place].kernel);
    } else {
      transmit(frames[i], leaves_by);
    }
  }
}

// Most leave where those before them did.
Worker::Gathered* Worker::gathered_for(uint32_t interface_index) {
  if (PS_LIKELY(likely_->exit.interface_index == interface_index)) return likely_;
  for (size_t place = 0; place < setup_.exits.size(); place++) {
    if (gathered_[place].exit.interface_index != interface_index) continue;
    likely_ = &gathered_[place];
    return likely_;
  }
  return nullptr;
}

// A full burst needs no gathering. False: it is not for one port that is ours, or others are to go
// before it.
bool Worker::transmit_whole(rte_mbuf** frames, uint32_t interface_index) {
  Gathered* gathered = gathered_for(interface_index);
  if (!gathered || gathered->exit.inbox || gathered->count) return false;
  send(gathered->exit, frames, setup_.burst);
  return true;
}

void Worker::transmit(rte_mbuf* frame, uint32_t interface_index) {
  if (Gathered* gathered = gathered_for(interface_index)) return gather(frame, *gathered);
  report_.unsent++;
  rte_pktmbuf_free(frame);
}

void Worker::gather(rte_mbuf* frame, Gathered& gathered) {
  if (PS_LIKELY(!gathered.exit.inbox)) {
    gathered.frames[gathered.count++] = frame;
    if (gathered.count == setup_.burst) flush(gathered);
    return;
  }
  frame->port = static_cast<uint16_t>(&gathered - gathered_.data());
  report_.handed_over++;
  give(frame, gathered.exit.inbox);
}

void Worker::give(rte_mbuf* frame, rte_ring* ring) {
  if (ring && rte_ring_mp_enqueue(ring, frame) == 0) return;
  report_.lost_in_rings++;
  rte_pktmbuf_free(frame);
}

void Worker::send(const Exit& exit, rte_mbuf** frames, uint32_t count) {
  const uint16_t sent =
      rte_eth_tx_burst(exit.port, exit.queue, frames, static_cast<uint16_t>(count));
  for (uint32_t i = sent; i < count; i++) rte_pktmbuf_free(frames[i]);
  report_.unsent += count - sent;
}

void Worker::flush(Gathered& gathered) {
  send(gathered.exit, gathered.frames.data(), gathered.count);
  gathered.count = 0;
}

void Worker::flush() {
  for (size_t place = 0; place < setup_.exits.size(); place++) {
    if (gathered_[place].count) flush(gathered_[place]);
  }
}

uint32_t Worker::take_handed_over() {
  std::array<void*, kMaxBurst> frames;
  const uint32_t count =
      rte_ring_sc_dequeue_burst(setup_.inbox, frames.data(), setup_.burst, nullptr);
  for (uint32_t i = 0; i < count; i++) {
    auto* frame = static_cast<rte_mbuf*>(frames[i]);
    gather(frame, gathered_[frame->port]);
  }
  return count;
}

// Every queue once. The frames that came in, and those that others handed over.
uint32_t Worker::pass() {
  const Pass pass(*setup_.report, report_);
  const uint32_t now = now_ticks();
  uint32_t packets = 0;
  for (const ReceiveQueue& queue : setup_.queues) {
    std::array<rte_mbuf*, kMaxBurst> burst;
    const uint16_t count = rte_eth_rx_burst(queue.port, queue.queue, burst.data(),
                                            static_cast<uint16_t>(setup_.burst));
    if (count == 0) continue;
    packets += count;
    forward(burst.data(), count, queue.place, now);
  }
  report_.packets += packets;
  packets += take_handed_over();
  flush();
  return packets;
}

void Worker::rest() {
  if (++idle_passes_ < kPatientPasses || setup_.idle_sleep_us == 0) return rte_pause();
  const timespec nap{0, static_cast<long>(setup_.idle_sleep_us) * 1000};
  clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, nullptr);
}

void Worker::run(const std::atomic<bool>& ending) {
  go_online(*setup_.report, report_);
  uint64_t began = rte_rdtsc();
  while (!ending.load(std::memory_order_relaxed)) {
    if (pass() == 0) {
      report_.empty_polls++;
      rest();
      began = rte_rdtsc();
      continue;
    }
    idle_passes_ = 0;
    const uint64_t now = rte_rdtsc();
    report_.passes++;
    report_.busy_cycles += now - began;
    began = now;
  }
  go_offline(report_);
}

}  // namespace penstock::dpdk
