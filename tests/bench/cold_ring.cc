// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/cold_ring.h"

#include <immintrin.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <random>
#include <stdexcept>

#include "dataplane/dpdk/segment.h"
#include "dataplane/dpdk/worker.h"

namespace penstock::bench {
namespace {

uint64_t kept = 0;
uint16_t sink = 0;

uint16_t keep(void* /*queue*/, rte_mbuf** /*frames*/, uint16_t count) {
  kept += count;
  return count;
}

void swap_macs(void* frame) {
  const __m128i swapped = _mm_setr_epi8(6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 12, 13, 14, 15);
  auto* bytes = static_cast<__m128i*>(frame);
  _mm_storeu_si128(bytes, _mm_shuffle_epi8(_mm_loadu_si128(bytes), swapped));
}

}  // namespace

uint64_t processor_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

void keep_transmitted(uint16_t port) {
  sink = port;
  rte_eth_fp_ops[port].tx_pkt_burst = keep;
}

uint64_t transmitted() {
  return kept;
}

ColdRing::ColdRing(rte_mempool* pool, const std::vector<Frame>& frames)
    : frames_(frames), mbufs_(kFrames) {
  for (rte_mbuf*& mbuf : mbufs_) {
    mbuf = rte_pktmbuf_alloc(pool);
    if (!mbuf) throw std::runtime_error("too few mbufs for the ring");
  }
  std::shuffle(mbufs_.begin(), mbufs_.end(), std::mt19937(4));
}

void ColdRing::write_frames() {
  for (uint32_t i = 0; i < kFrames; i++) {
    const Frame& frame = frames_[i % frames_.size()];
    std::memcpy(static_cast<char*>(mbufs_[i]->buf_addr) + RTE_PKTMBUF_HEADROOM, frame.bytes.data(),
                frame.size);
  }
}

void ColdRing::receive(uint32_t at, uint32_t burst) {
  const uint16_t size = frames_.front().size;
  for (uint32_t i = at; i < at + burst; i++) rte_prefetch0(mbufs_[(i + burst) % kFrames]);
  for (uint32_t i = at; i < at + burst; i++) {
    rte_mbuf* mbuf = mbufs_[i];
    mbuf->data_off = RTE_PKTMBUF_HEADROOM;
    mbuf->refcnt = 2;  // one is the ring's own: it stays when the frame is dropped
    mbuf->nb_segs = 1;
    mbuf->port = sink;
    mbuf->ol_flags = 0;
    mbuf->pkt_len = size;
    mbuf->data_len = size;
  }
}

template <typename Step>
Sample ColdRing::once_round(uint32_t burst, Step step) {
  write_frames();
  const uint64_t began = processor_ns();
  for (uint32_t at = 0; at < kFrames; at += burst) {
    receive(at, burst);
    step(&mbufs_[at]);
  }
  return {kFrames, processor_ns() - began};
}

Sample ColdRing::nothing(uint32_t burst) {
  return once_round(burst, [&](rte_mbuf** frames) {
    rte_eth_tx_burst(sink, 0, frames, static_cast<uint16_t>(burst));
  });
}

Sample ColdRing::macswap(uint32_t burst) {
  return once_round(burst, [&](rte_mbuf** frames) {
    for (uint32_t i = 0; i < burst; i++) rte_prefetch0(rte_pktmbuf_mtod(frames[i], void*));
    for (uint32_t i = 0; i < burst; i++) swap_macs(rte_pktmbuf_mtod(frames[i], void*));
    rte_eth_tx_burst(sink, 0, frames, static_cast<uint16_t>(burst));
  });
}

Sample ColdRing::walk(dpdk::Worker& worker, uint32_t burst) {
  return once_round(burst, [&](rte_mbuf** frames) {
    worker.forward(frames, burst, 0, dpdk::now_ticks());
    worker.flush();
  });
}

}  // namespace penstock::bench
