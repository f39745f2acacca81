// SPDX-License-Identifier: Apache-2.0
// Maglev's permutations and turns; weights by credit: a member takes a turn for each whole credit, and earns weight /
// largest weight a round.
#include "controlplane/plan/lookup_table.h"

#include <algorithm>

namespace penstock {
namespace {

// A member's own order of all slots: offset, offset + skip, ... modulo the prime number of slots.
struct Turn {
  const LookupMember* member;
  uint32_t offset;
  uint32_t skip;
  uint32_t next;  // where it stands in its order
  uint64_t credit = 0;
};

class Dealer {
 public:
  Dealer(const std::vector<LookupMember>& members, const HashKey& key) {
    for (const LookupMember& member : members) {
      if (member.weight == 0) continue;
      const uint64_t hash = siphash(key, member.identity);
      const auto offset = static_cast<uint32_t>((hash >> 32) % kLookupTableSlots);
      const auto skip = static_cast<uint32_t>((hash & 0xffffffff) % (kLookupTableSlots - 1) + 1);
      turns_.push_back({&member, offset, skip, offset});
      heaviest_ = std::max<uint64_t>(heaviest_, member.weight);
    }
  }

  void keep_those_that_take_clients() {
    std::erase_if(turns_, [](const Turn& turn) { return !turn.member->takes_clients; });
    heaviest_ = 0;
    for (Turn& turn : turns_) {
      turn.next = turn.offset;
      turn.credit = 0;
      heaviest_ = std::max<uint64_t>(heaviest_, turn.member->weight);
    }
  }

  // Gives every free slot (a null) to a member, in turns.
  void deal(std::vector<const LookupMember*>& slots) {
    auto free = static_cast<size_t>(std::count(slots.begin(), slots.end(), nullptr));
    if (turns_.empty()) return;
    while (free > 0) {
      for (Turn& turn : turns_) {
        turn.credit += turn.member->weight;
        if (turn.credit < heaviest_) continue;
        turn.credit -= heaviest_;
        while (slots[turn.next]) advance(turn);
        slots[turn.next] = turn.member;
        if (--free == 0) return;
      }
    }
  }

 private:
  static void advance(Turn& turn) {
    turn.next += turn.skip;
    if (turn.next >= kLookupTableSlots) turn.next -= kLookupTableSlots;
  }

  std::vector<Turn> turns_;
  uint64_t heaviest_ = 0;
};

}  // namespace

LookupTable build_lookup_table(std::vector<LookupMember> members, const HashKey& hash_key) {
  std::sort(members.begin(), members.end(),
            [](const auto& a, const auto& b) { return a.identity < b.identity; });
  Dealer dealer(members, hash_key);
  std::vector<const LookupMember*> slots(kLookupTableSlots, nullptr);
  dealer.deal(slots);
  for (auto& member : slots) {
    if (member && !member->takes_clients) member = nullptr;
  }
  dealer.keep_those_that_take_clients();
  dealer.deal(slots);

  LookupTable table(kLookupTableSlots, 0);
  std::transform(slots.begin(), slots.end(), table.begin(),
                 [](const LookupMember* member) { return member ? member->id : BackendId{0}; });
  return table;
}

}  // namespace penstock
