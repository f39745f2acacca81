// SPDX-License-Identifier: Apache-2.0
// Rules sorted by address, shorter ones first: whoever comes later is within an earlier one or
// beside it, and the rules of one subtree stand together.
#include "dataplane/tables/access_trie.h"

#include <algorithm>
#include <string_view>

namespace penstock {
namespace {

constexpr uint32_t kBitsOfNode = 4;

uint32_t digit(const IpPrefix& prefix, uint32_t depth) {
  const uint8_t byte = prefix.address.bytes[depth / 2];
  return depth % 2 == 0 ? byte >> 4 : byte & 0xf;
}

}  // namespace

size_t AccessTrie::HashEntries::operator()(const Entries& entries) const {
  const auto* bytes = reinterpret_cast<const char*>(entries.data());
  return std::hash<std::string_view>()({bytes, sizeof entries});
}

uint32_t AccessTrie::add(const AccessRules& rules) {
  std::vector<Rule> sorted;
  sorted.reserve(rules.allow.size() + rules.deny.size());
  for (const IpPrefix& prefix : rules.allow) sorted.push_back({prefix, PS_ACCESS_LET_IN});
  for (const IpPrefix& prefix : rules.deny) sorted.push_back({prefix, PS_ACCESS_DENIED});
  std::sort(sorted.begin(), sorted.end(),
            [](const Rule& a, const Rule& b) { return a.prefix < b.prefix; });
  const uint32_t others = rules.allow.empty() ? PS_ACCESS_LET_IN : PS_ACCESS_DENIED;
  return entry_of(sorted.begin(), sorted.end(), 0, others);
}

uint32_t AccessTrie::entry_of(RuleIterator first, RuleIterator last, uint32_t depth,
                              uint32_t inherited) {
  Entries entries;
  entries.fill(inherited);
  const uint32_t end_bit = (depth + 1) * kBitsOfNode;
  while (first != last) {
    const uint32_t at = digit(first->prefix, depth);
    if (first->prefix.bits <= end_bit) {
      std::fill_n(entries.begin() + at, 1u << (end_bit - first->prefix.bits), first->leaf);
      first++;
      continue;
    }
    const auto next = std::find_if(
        first, last, [&](const Rule& rule) { return digit(rule.prefix, depth) != at; });
    entries[at] = entry_of(first, next, depth + 1, entries[at]);
    first = next;
  }
  return place_of(entries);
}

// The same answer everywhere needs no node.
uint32_t AccessTrie::place_of(const Entries& entries) {
  const uint32_t first = entries.front();
  const bool is_leaf =
      first < PS_ACCESS_FIRST_NODE &&
      std::all_of(entries.begin(), entries.end(), [&](uint32_t entry) { return entry == first; });
  if (is_leaf) return first;
  const auto place = static_cast<uint32_t>(first_ + nodes_.size());
  const auto [known, is_new] = places_.try_emplace(entries, place);
  if (is_new) std::copy(entries.begin(), entries.end(), nodes_.emplace_back().entry);
  return known->second;
}

}  // namespace penstock
