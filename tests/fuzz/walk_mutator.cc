// SPDX-License-Identifier: Apache-2.0
// Mutations that know where steps and frames begin: bytes that are inserted anywhere would make
// another input of all that follows them.
#include <algorithm>
#include <cstring>
#include <random>

#include "tests/fuzz/packet_view.h"
#include "tests/fuzz/steps.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace penstock::fuzz {
namespace {

using Random = std::minstd_rand;

size_t below(Random& random, size_t limit) {
  return random() % limit;
}

void store16(Bytes& frame, size_t at, size_t value) {
  frame.at(at) = static_cast<uint8_t>(value >> 8);
  frame.at(at + 1) = static_cast<uint8_t>(value);
}

// The IP header tells how long the frame is now but for its last bytes, and a UDP header too.
void settle_lengths(Bytes& frame, size_t padding) {
  if (frame.size() < kEthernetBytes + 40 + padding) return;
  const bool is_ipv4 = load16(frame, 12) == 0x0800;
  const size_t bytes = frame.size() - kEthernetBytes - padding;
  store16(frame, kEthernetBytes + (is_ipv4 ? 2 : 4), is_ipv4 ? bytes : bytes - 40);
  const auto view = view_of(frame);
  if (view && view->protocol == 17 && view->has_ports()) {
    store16(frame, view->transport + 4, view->end - view->transport);
  }
}

void mutate_frame(Bytes& frame, Random& random) {
  const size_t size = frame.size();
  frame.resize(std::min(kMaxFrameBytes, size + 64));
  frame.resize(LLVMFuzzerMutate(frame.data(), size, frame.size()));
  if (below(random, 2) == 0) settle_lengths(frame, 0);
}

void mutate_arrival(Arrival& arrival, Random& random) {
  switch (below(random, 7)) {
    case 0: arrival.time = static_cast<uint8_t>(below(random, 16)); break;
    case 1: arrival.interface = static_cast<uint8_t>(below(random, 4)); break;
    case 2: arrival.swaps = !arrival.swaps; break;
    case 3: arrival.answers = !arrival.answers; break;
    case 4: arrival.room = static_cast<uint8_t>(below(random, 4)); break;
    case 5: arrival.tags = static_cast<uint8_t>(below(random, 4)); break;
    default: arrival.flood = static_cast<uint8_t>(below(random, 4)); break;
  }
}

void mutate(Script& script, Random& random) {
  auto& steps = script.steps;
  if (steps.empty()) steps.emplace_back();
  const size_t at = below(random, steps.size());
  const auto place = steps.begin() + static_cast<ptrdiff_t>(at);
  switch (below(random, 10)) {
    case 0: script.world = static_cast<uint8_t>(below(random, 16)); break;
    case 1: steps.erase(place); break;
    case 2:
      steps.insert(steps.begin() + static_cast<ptrdiff_t>(below(random, steps.size())),
                   Step(*place));
      break;
    case 3: std::swap(*place, steps[below(random, steps.size())]); break;
    case 4: settle_lengths(place->frame, below(random, 24)); break;
    case 5:
    case 6: mutate_arrival(place->arrival, random); break;
    default: mutate_frame(place->frame, random); break;
  }
}

size_t write(const Script& script, uint8_t* data, size_t max_size) {
  const Bytes bytes = write_script(script);
  const size_t size = std::min(bytes.size(), max_size);
  std::memcpy(data, bytes.data(), size);
  return size;
}

}  // namespace
}  // namespace penstock::fuzz

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  using namespace penstock::fuzz;
  Random random(seed);
  Script script = read_script(data, size);
  mutate(script, random);
  return write(script, data, max_size);
}

// The first steps of the one and the last of the other.
extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* data1, size_t size1,
                                            const uint8_t* data2, size_t size2, uint8_t* out,
                                            size_t max_out_size, unsigned int seed) {
  using namespace penstock::fuzz;
  Random random(seed);
  Script script = read_script(data1, size1);
  const Script other = read_script(data2, size2);
  script.steps.resize(below(random, script.steps.size() + 1));
  const auto rest = static_cast<ptrdiff_t>(below(random, other.steps.size() + 1));
  script.steps.insert(script.steps.end(), other.steps.begin() + rest, other.steps.end());
  return write(script, out, max_out_size);
}
