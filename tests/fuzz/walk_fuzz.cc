// SPDX-License-Identifier: Apache-2.0
// Frames through the packet walk, under libFuzzer: each input is a world and what comes in there
// (steps.h). A frame's memory ends where the frame does, so that the address sanitizer sees a byte
// read past it.
#include "dataplane/core/walk.h"
#include "dataplane/tables/frame_buffer.h"

#include <algorithm>
#include <memory>

#include "tests/fuzz/judge.h"
#include "tests/fuzz/packet_view.h"
#include "tests/fuzz/steps.h"
#include "tests/fuzz/tags.h"
#include "tests/fuzz/worlds.h"

namespace penstock::fuzz {
namespace {

constexpr uint32_t kMaxWalks = 160;          // of one input: more would only be slow
constexpr uint32_t kBeginTicks = 3'725'290;  // of an appliance that is up for 11 days

Action action_of(ps_action action) {
  return action == PS_TRANSMIT ? Action::kTransmit
         : action == PS_DROP   ? Action::kDrop
                               : Action::kPass;
}

void exchange(Bytes& to, size_t at, const Bytes& from, size_t first, size_t bytes) {
  const auto source = from.begin() + static_cast<ptrdiff_t>(first);
  const auto middle = source + static_cast<ptrdiff_t>(bytes);
  const auto rest = std::copy_n(middle, bytes, to.begin() + static_cast<ptrdiff_t>(at));
  std::copy_n(source, bytes, rest);
}

// Addresses and ports are the other way round of those in `left`, so that an input need not guess
// which source port was chosen. Checksums stay, and are as wrong as they were then.
// In TCP's numbers; as far as the headers are there.
void acknowledge(Bytes& frame, size_t at, const Bytes& left, const PacketView& from) {
  if (frame.size() < at + 20 || left.size() < from.transport + 20) return;
  constexpr uint8_t kSyn = 2;
  const bool is_syn = (left[from.transport + 13] & kSyn) != 0;
  store32(frame, at + 4, load32(left, from.transport + 8));
  store32(frame, at + 8, load32(left, from.transport + 4) + is_syn);
}

void make_answer(Bytes& frame, const Bytes& left) {
  const auto to = view_of(frame);
  const auto from = view_of(left);
  if (!to || !from || to->is_ipv4 != from->is_ipv4) return;
  const size_t addresses = to->is_ipv4 ? 12 : 8;
  exchange(frame, to->ip + addresses, left, from->ip + addresses, to->is_ipv4 ? 4 : 16);
  if (!to->has_ports() || !from->has_ports()) return;
  exchange(frame, to->transport, left, from->transport, 2);
  if (to->protocol == 6 && from->protocol == 6) acknowledge(frame, to->transport, left, *from);
}

class Player {
 public:
  explicit Player(World& world) : world_(world) { world_.reset(); }

  void play(const Step& step) {
    now_ticks_ += (1u << step.arrival.time) >> 1;
    if (step.arrival.swaps) world_.swap();
    Bytes frame = step.frame;
    if (step.arrival.answers) make_answer(frame, left_);
    const uint32_t times = 1u << (2 * step.arrival.flood);
    for (uint32_t i = 0; i < times && walks_ < kMaxWalks; i++) {
      walk(with_tags(frame, kArrivingTags[step.arrival.tags]), step.arrival);
      const auto view = view_of(frame);
      if (!view || !view->has_ports()) break;
      if (++frame[view->transport + 1] == 0) ++frame[view->transport];
    }
  }

 private:
  void walk(const Bytes& frame, const Arrival& arrival) {
    walks_++;
    const size_t room = kRoomBytes[arrival.room];
    const auto memory = std::make_unique<uint8_t[]>(room + frame.size());
    std::copy(frame.begin(), frame.end(), memory.get() + room);
    ps_handle buffer{memory.get(), memory.get() + room, memory.get() + room + frame.size()};
    const ps_frame input = {.data = buffer.data,
                            .end = buffer.end,
                            .handle = &buffer,
                            .interface_index = arrival.interface + 1u,
                            .worker = 0,
                            .now_ticks = now_ticks_};
    const uint64_t counted = world_.counted();
    const ps_verdict verdict = ps_walk(&world_.tables(), &input);
    const auto tags = tags_of(frame);
    const bool is_met = tags && (tags->empty() || is_interface(input.interface_index, *tags));
    Passage passage{.in = is_met ? without_tags(frame, tags->size()) : frame,
                    .out = {buffer.data, buffer.end},
                    .ingress = input.interface_index,
                    .action = action_of(verdict.action),
                    .reason = verdict.reason,
                    .egress = verdict.interface_index};
    settle_tags(passage, frame);
    judge(passage, world_.places());
    // Once more, if there is no room for its tags when all else is done.
    const uint64_t times = world_.counted() - counted;
    const bool may_be_twice = verdict.reason == PS_REASON_no_room;
    require(times == (is_met ? 1 : 0) || (is_met && may_be_twice && times == 2),
            "an IP packet is counted once");
    if (passage.action == Action::kTransmit) left_ = passage.out;
  }

  static bool is_interface(uint32_t index, const VlanTags& tags) {
    return std::any_of(kInterfaces.begin(), kInterfaces.end(), [&](const LocalInterface& each) {
      return each.index == index && each.tags == tags;
    });
  }

  // The rules for what comes out are about frames without tags.
  static void settle_tags(Passage& passage, const Bytes& frame) {
    if (passage.action == Action::kPass) {
      require(passage.out == frame, "what is passed keeps its tags");
      passage.out = passage.in;
    } else if (passage.action == Action::kTransmit) {
      const auto tags = tags_of(passage.out);
      require(tags && is_interface(passage.egress, *tags), "a frame leaves with tags of ours");
      passage.out = without_tags(passage.out, tags->size());
    }
  }

  World& world_;
  Bytes left_;  // the last frame that was sent
  uint32_t walks_ = 0;
  uint32_t now_ticks_ = kBeginTicks;
};

}  // namespace
}  // namespace penstock::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::fuzz;
  const Script script = read_script(data, size);
  World& chosen = world(script.world);
  Player player(chosen);
  for (const Step& step : script.steps) player.play(step);
  require(chosen.is_configuration_whole(), "packets change no configuration");
  return 0;
}
