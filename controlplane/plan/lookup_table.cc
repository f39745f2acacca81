// SPDX-License-Identifier: Apache-2.0
// Members take turns at picking the first free slot of their own permutation. Weights by credit: a
// member earns weight / largest weight a round, and takes a turn for each whole credit.
#include "controlplane/plan/lookup_table.h"

#include <algorithm>

namespace penstock {
namespace {

struct Turn {
  const LookupMember* member;
  uint32_t offset;
  uint32_t factor;
  uint32_t start;
  uint32_t index = 0;  // where it stands in its permutation
  uint64_t credit = 0;
};

// A cube is a permutation of the slots: they are a prime number, and 3 does not divide that less
// one. Maglev's own offset + skip * i lets two members whose skips are related meet again and
// again, see README.md.
static_assert((kLookupTableSlots - 1) % 3 != 0);

uint32_t slot_of(const Turn& turn) {
  const uint64_t x = (uint64_t{turn.start} + turn.index) % kLookupTableSlots;
  const uint64_t cube = x * x % kLookupTableSlots * x % kLookupTableSlots;
  return static_cast<uint32_t>((turn.offset + turn.factor * cube) % kLookupTableSlots);
}

class Dealer {
 public:
  Dealer(const std::vector<LookupMember>& members, const HashKey& key) {
    for (const LookupMember& member : members) {
      if (member.weight == 0) continue;
      const uint64_t hash = siphash(key, member.identity);
      const auto offset = static_cast<uint32_t>((hash >> 40) % kLookupTableSlots);
      const auto start = static_cast<uint32_t>((hash >> 20 & 0xfffff) % kLookupTableSlots);
      const auto factor = static_cast<uint32_t>((hash & 0xfffff) % (kLookupTableSlots - 1) + 1);
      turns_.push_back({&member, offset, factor, start});
      heaviest_ = std::max<uint64_t>(heaviest_, member.weight);
    }
  }

  void keep_those_that_take_clients() {
    std::erase_if(turns_, [](const Turn& turn) { return !turn.member->takes_clients; });
    heaviest_ = 0;
    for (Turn& turn : turns_) {
      turn.index = 0;
      turn.credit = 0;
      heaviest_ = std::max<uint64_t>(heaviest_, turn.member->weight);
    }
  }

  // Gives every free slot (a null) to a member, in turns.
  void deal(std::vector<const LookupMember*>& slots) {
    if (turns_.empty()) return;
    auto free = std::count(slots.begin(), slots.end(), nullptr);
    while (free > 0) {
      for (Turn& turn : turns_) {
        turn.credit += turn.member->weight;
        if (turn.credit < heaviest_) continue;
        turn.credit -= heaviest_;
        while (slots[slot_of(turn)]) turn.index++;
        slots[slot_of(turn)] = turn.member;
        if (--free == 0) return;
      }
    }
  }

 private:
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
