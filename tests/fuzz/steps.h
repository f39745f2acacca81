// SPDX-License-Identifier: Apache-2.0
// The walk's fuzz input as values: which world, and the steps played in it. README.md has the
// bytes. Every input can be read: what is missing at its end is zero or empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock::fuzz {

using Bytes = std::vector<uint8_t>;

// How a step's frame comes in.
struct Arrival {
  uint8_t time = 0;       // bits 0 to 3: n. (2^n / 2) ticks pass before it
  uint8_t tags = 0;       // bits 4 and 5: which VLAN tags are put before it, kArrivingTags
  uint8_t interface = 0;  // bits 0 and 1: 0 and 1 are the world's, the others are unknown
  bool swaps = false;     // bit 2: the world's other configuration is published before it
  bool answers = false;   // bit 3: it is made an answer to the last frame that left
  uint8_t room = 0;       // bits 4 and 5: how much room there is before it, kRoomBytes
  uint8_t flood = 0;      // bits 6 and 7: n. It comes 4^n times, each from the next port
};

constexpr size_t kRoomBytes[] = {256, 0, 28, 48};

struct Step {
  Arrival arrival;
  Bytes frame;
};

struct Script {
  uint8_t world = 0;
  std::vector<Step> steps;
};

constexpr size_t kMaxSteps = 64;
constexpr size_t kMaxFrameBytes = 2047;

Script read_script(const uint8_t* data, size_t size);
Bytes write_script(const Script& script);

}  // namespace penstock::fuzz
