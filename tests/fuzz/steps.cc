// SPDX-License-Identifier: Apache-2.0
// A step: time, arrival, the frame's length (little-endian), the frame.
#include "tests/fuzz/steps.h"

#include <algorithm>

namespace penstock::fuzz {
namespace {

constexpr size_t kHeaderBytes = 4;

Arrival read_arrival(uint8_t time, uint8_t how) {
  Arrival arrival;
  arrival.time = time & 15;
  arrival.tags = time >> 4 & 3;
  arrival.interface = how & 3;
  arrival.swaps = (how & 4) != 0;
  arrival.answers = (how & 8) != 0;
  arrival.room = how >> 4 & 3;
  arrival.flood = how >> 6;
  return arrival;
}

uint8_t arrival_byte(const Arrival& arrival) {
  return static_cast<uint8_t>(arrival.interface | arrival.swaps << 2 | arrival.answers << 3 |
                              arrival.room << 4 | arrival.flood << 6);
}

}  // namespace

Script read_script(const uint8_t* data, size_t size) {
  Script script;
  if (size == 0) return script;
  script.world = data[0];
  size_t at = 1;
  while (size - at >= kHeaderBytes && script.steps.size() < kMaxSteps) {
    Step& step = script.steps.emplace_back();
    step.arrival = read_arrival(data[at], data[at + 1]);
    const size_t told = (data[at + 2] | data[at + 3] << 8) & kMaxFrameBytes;
    at += kHeaderBytes;
    const size_t bytes = std::min(told, size - at);
    step.frame.assign(data + at, data + at + bytes);
    at += bytes;
  }
  return script;
}

Bytes write_script(const Script& script) {
  Bytes bytes{script.world};
  for (const Step& step : script.steps) {
    bytes.push_back(static_cast<uint8_t>(step.arrival.time | step.arrival.tags << 4));
    bytes.push_back(arrival_byte(step.arrival));
    bytes.push_back(static_cast<uint8_t>(step.frame.size()));
    bytes.push_back(static_cast<uint8_t>(step.frame.size() >> 8));
    bytes.insert(bytes.end(), step.frame.begin(), step.frame.end());
  }
  return bytes;
}

}  // namespace penstock::fuzz
