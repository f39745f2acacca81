// SPDX-License-Identifier: Apache-2.0
// Keeps the kernel off the source ports of the pool (net.ipv4.ip_local_port_range,
// ip_local_reserved_ports).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/result.h"

namespace penstock {

struct PortSpan {
  uint16_t first = 0;
  uint16_t last = 0;  // inclusive
  bool operator==(const PortSpan&) const = default;
};

// The kernel's list format, "80,8000-8010"; faulty parts are left out. And back.
std::vector<PortSpan> parse_port_spans(const std::string& list);
std::string format_port_spans(const std::vector<PortSpan>& spans);

// Pure: the list with the span in it, or without those of its ports.
std::vector<PortSpan> with_span(std::vector<PortSpan> spans, PortSpan added);
std::vector<PortSpan> without_span(const std::vector<PortSpan>& spans, PortSpan removed);

// Pure: kConflict, with a way out, when the pool holds ports that the kernel hands out itself.
Result<void> check_clear_of(PortSpan pool, PortSpan kernel);

// The same against what the kernel says now.
Result<void> check_ports(uint16_t first, uint16_t last);

// Both are inclusive, and act on the calling thread's network namespace. Releasing also takes what
// somebody else has reserved among these ports.
Result<void> reserve_ports(uint16_t first, uint16_t last);
Result<void> release_ports(uint16_t first, uint16_t last);

}  // namespace penstock
