// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/kernel_path.h"

#include <poll.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>

namespace penstock::dpdk {
namespace {

constexpr uint32_t kAtOnce = 32;
constexpr int kPatienceMs = 1;
constexpr size_t kMostFrameBytes = 9216;

}  // namespace

Result<KernelPath> KernelPath::open(const ForwarderOptions& options, const std::vector<Port>& ports,
                                    const std::vector<rte_ring*>& rings, const Steering* steering) {
  KernelPath path;
  path.steering_ = steering;
  for (size_t i = 0; i < ports.size(); i++) {
    Way way{ports[i].interface_index, rings[i], ports[i].pool, std::nullopt};
    if (options.ports[i].device != kAfXdp) {
      auto tap = Tap::open(options.ports[i].interface);
      if (!tap) return tl::unexpected(tap.error());
      way.tap = std::move(*tap);
    }
    path.ways_.push_back(std::move(way));
  }
  return path;
}

// In one piece, whatever it is of.
bool KernelPath::hand_over(const Way& way, const rte_mbuf* frame) const {
  std::array<uint8_t, kMostFrameBytes> copy;
  const uint32_t bytes = rte_pktmbuf_pkt_len(frame);
  if (bytes > copy.size()) return false;
  const void* whole = rte_pktmbuf_read(frame, 0, bytes, copy.data());
  const std::span span(static_cast<const uint8_t*>(whole), bytes);
  return way.tap ? way.tap->write(span) : steering_->pass_to_kernel(way.interface_index, span);
}

bool KernelPath::take_from_workers(const Way& way) {
  std::array<void*, kAtOnce> frames;
  const uint32_t count = rte_ring_sc_dequeue_burst(way.ring, frames.data(), kAtOnce, nullptr);
  for (uint32_t i = 0; i < count; i++) {
    auto* frame = static_cast<rte_mbuf*>(frames[i]);
    lost_ += !hand_over(way, frame);
    rte_pktmbuf_free(frame);
  }
  return count > 0;
}

void KernelPath::take_from_kernel(const Way& way, uint16_t place, rte_ring* outbound) const {
  for (uint32_t i = 0; i < kAtOnce; i++) {
    rte_mbuf* frame = rte_pktmbuf_alloc(way.pool);
    if (!frame) return;
    const std::span room(rte_pktmbuf_mtod(frame, uint8_t*), rte_pktmbuf_tailroom(frame));
    const size_t bytes = way.tap->read(room);
    if (bytes == 0) return rte_pktmbuf_free(frame);
    frame->data_len = static_cast<uint16_t>(bytes);
    frame->pkt_len = static_cast<uint32_t>(bytes);
    frame->port = place;
    if (rte_ring_mp_enqueue(outbound, frame) != 0) rte_pktmbuf_free(frame);
  }
}

void KernelPath::turn(const std::vector<rte_ring*>& outbound) {
  std::array<pollfd, kMaxPorts> waiting{};
  nfds_t taps = 0;
  bool is_busy = false;
  for (const Way& way : ways_) {
    is_busy = take_from_workers(way) || is_busy;
    if (way.tap) waiting[taps++] = {way.tap->descriptor(), POLLIN, 0};
  }
  if (poll(waiting.data(), taps, is_busy ? 0 : kPatienceMs) <= 0) return;
  for (size_t place = 0; place < ways_.size(); place++) {
    if (!ways_[place].tap) continue;
    take_from_kernel(ways_[place], static_cast<uint16_t>(place), outbound[place]);
  }
}

}  // namespace penstock::dpdk
