// SPDX-License-Identifier: Apache-2.0
// The way between the kernel and the NICs for all that is not a service's (the exception path):
// ARP, ND, SSH, BGP, health checks. It is walked by the thread that started the workers, which hand
// it frames by a ring a port.
//
//   AF_XDP: frames re-enter the kernel where they came in; the kernel sends by itself.
//   NIC on the bus: both directions go by a TAP.
#pragma once

#include <optional>
#include <vector>

#include "dataplane/af_xdp/steering.h"
#include "dataplane/dpdk/options.h"
#include "dataplane/dpdk/ports.h"
#include "dataplane/dpdk/tap.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace penstock::dpdk {

class KernelPath {
 public:
  // The rings are the caller's, one a port; `steering` is there if a port is AF_XDP's.
  static Result<KernelPath> open(const ForwarderOptions& options, const std::vector<Port>& ports,
                                 const std::vector<rte_ring*>& rings, const Steering* steering);

  // Waits up to a millisecond for something to do, and does it. What the kernel sends goes into
  // `outbound`, with its port's place as its port.
  void turn(const std::vector<rte_ring*>& outbound);

  uint64_t lost() const { return lost_; }  // frames that the kernel did not take

 private:
  struct Way {
    uint32_t interface_index = 0;
    rte_ring* ring = nullptr;
    rte_mempool* pool = nullptr;
    std::optional<Tap> tap;
  };

  bool take_from_workers(const Way& way);
  bool hand_over(const Way& way, const rte_mbuf* frame) const;
  void take_from_kernel(const Way& way, uint16_t place, rte_ring* outbound) const;

  std::vector<Way> ways_;
  const Steering* steering_ = nullptr;
  uint64_t lost_ = 0;
};

}  // namespace penstock::dpdk
