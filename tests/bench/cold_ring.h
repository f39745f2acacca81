// SPDX-License-Identifier: Apache-2.0
// Frames in a ring of mbufs that is larger than the processor's caches of its own, in no order of
// memory: where a NIC's frames stand when a forwarder that is busy meets them.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/bench/live_flows.h"
#include "tests/bench/testpmd.h"

struct rte_mbuf;
struct rte_mempool;

namespace penstock::dpdk {
class Worker;
}

namespace penstock::bench {

class ColdRing {
 public:
  static constexpr uint32_t kFrames = 131'072;

  // All of the pool's; the frames in turn. Throws when the pool has fewer.
  ColdRing(rte_mempool* pool, const std::vector<Frame>& frames);

  // Once round, in bursts, on the calling lcore. What is timed is taking the frames in as a driver
  // does (their mbufs written, those of the next burst prefetched), what is named here, and
  // sending. What is not is that every frame was written anew before, which leaves all but the last
  // in the cache that processors share: where a NIC puts them too.
  Sample nothing(uint32_t burst);
  Sample macswap(uint32_t burst);
  Sample walk(dpdk::Worker& worker, uint32_t burst);

 private:
  void write_frames();
  void receive(uint32_t at, uint32_t burst);
  template <typename Step>
  Sample once_round(uint32_t burst, Step step);

  const std::vector<Frame> frames_;
  std::vector<rte_mbuf*> mbufs_;
};

// From here on frames that this port is given are counted and left as they are, by whoever owns
// them; what that costs is a call a burst.
void keep_transmitted(uint16_t port);
uint64_t transmitted();

// Of the calling thread.
uint64_t processor_ns();

}  // namespace penstock::bench
