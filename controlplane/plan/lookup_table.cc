// SPDX-License-Identifier: Apache-2.0
// Members take turns at picking the first free slot of their own permutation. Weights by credit: a
// member earns weight / largest weight a round, and takes a turn for each whole credit.
#include "controlplane/plan/lookup_table.h"

#include <algorithm>
#include <utility>

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

std::vector<Turn> turns_of(const std::vector<LookupMember>& members, const HashKey& key) {
  std::vector<Turn> turns;
  for (const LookupMember& member : members) {
    if (member.weight == 0) continue;
    const uint64_t hash = siphash(key, member.identity);
    const auto offset = static_cast<uint32_t>((hash >> 40) % kLookupTableSlots);
    const auto start = static_cast<uint32_t>((hash >> 20 & 0xfffff) % kLookupTableSlots);
    const auto factor = static_cast<uint32_t>((hash & 0xfffff) % (kLookupTableSlots - 1) + 1);
    turns.push_back({&member, offset, factor, start});
  }
  return turns;
}

// Gives every free slot (a null) to a member, in turns.
void deal(std::vector<const LookupMember*>& slots, std::vector<Turn> turns) {
  if (turns.empty()) return;
  uint32_t heaviest = 0;
  for (const Turn& turn : turns) heaviest = std::max(heaviest, turn.member->weight);
  auto free = std::count(slots.begin(), slots.end(), nullptr);
  while (free > 0) {
    for (Turn& turn : turns) {
      turn.credit += turn.member->weight;
      if (turn.credit < heaviest) continue;
      turn.credit -= heaviest;
      while (slots[slot_of(turn)]) turn.index++;
      slots[slot_of(turn)] = turn.member;
      if (--free == 0) return;
    }
  }
}

}  // namespace

LookupTable build_lookup_table(std::vector<LookupMember> members, const HashKey& hash_key) {
  std::sort(members.begin(), members.end(),
            [](const auto& a, const auto& b) { return a.identity < b.identity; });
  std::vector<Turn> turns = turns_of(members, hash_key);
  std::vector<const LookupMember*> slots(kLookupTableSlots, nullptr);
  deal(slots, turns);
  for (auto& member : slots) {
    if (member && !member->takes_clients) member = nullptr;
  }
  std::erase_if(turns, [](const Turn& turn) { return !turn.member->takes_clients; });
  deal(slots, std::move(turns));

  LookupTable table(kLookupTableSlots, 0);
  std::transform(slots.begin(), slots.end(), table.begin(),
                 [](const LookupMember* member) { return member ? member->id : BackendId{0}; });
  return table;
}

}  // namespace penstock
