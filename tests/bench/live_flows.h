// SPDX-License-Identifier: Apache-2.0
// Tables in this process with established flows in them, and frames of those flows.
#pragma once

#include <array>
#include <vector>

#include "dataplane/tables/layout.h"

namespace penstock::bench {

// The shortest of Ethernet; an IPv6 one needs more for TCP's header.
struct Frame {
  std::array<uint8_t, 74> bytes{};
  uint16_t size = 0;
};

// What a benchmark's frames are.
struct Traffic {
  Family family;
  uint32_t flows;  // of mode nat in the table, and as many clients of the other modes
  Mode mode;
  bool to_client = false;  // mode nat's answers
};

class LiveFlows {
 public:
  // The flows of mode nat are established in any case, as another service's beside the one that is
  // measured. Tables stand on large pages as on a hugetlbfs, or on small ones.
  LiveFlows(const Traffic& traffic, bool large_pages);

  const ps_tables& tables() const { return tables_.tables(); }
  uint32_t established() const { return static_cast<uint32_t>(clients_.size()); }
  // Each of another flow, in no order; as many as there are flows, at most `count`.
  std::vector<Frame> frames(uint32_t count);

 private:
  bool walk_once(Frame& frame) const;
  bool establish(uint32_t client) const;
  Frame request(uint32_t client, Mode mode, uint8_t tcp_flags) const;
  void turn_round(Frame& frame, uint8_t tcp_flags) const;
  void configure(bool with_flowless);

  const Traffic traffic_;
  AnonymousTables tables_;
  std::vector<uint32_t> clients_;  // whose flows are established
};

}  // namespace penstock::bench
