// SPDX-License-Identifier: Apache-2.0
// Builds the nodes of access lists (core/access_list.h). Pure.
//
// Equal nodes are one (trie-folding: Retvari et al., "Compressing IP Forwarding Tables", 2013), of
// all lists together: a list that several services have costs as much as one, and the last steps to
// scattered prefixes are shared.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "dataplane/access_rules.h"
#include "dataplane/core/tables.h"

namespace penstock {

class AccessTrie {
 public:
  // Its first node is to be at that place.
  explicit AccessTrie(uint32_t first) : first_(first) {}

  // What ps_service.access is for these rules.
  uint32_t add(const AccessRules& rules);
  const std::vector<ps_access_node>& nodes() const { return nodes_; }

 private:
  using Entries = std::array<uint32_t, 16>;
  struct Rule {
    IpPrefix prefix;
    uint32_t leaf = PS_ACCESS_LET_IN;
  };
  using RuleIterator = std::vector<Rule>::const_iterator;
  struct HashEntries {
    size_t operator()(const Entries& entries) const;
  };

  // The entry for what the rules say behind `depth` nodes, where `inherited` is said of the rest.
  uint32_t entry_of(RuleIterator first, RuleIterator last, uint32_t depth, uint32_t inherited);
  uint32_t place_of(const Entries& entries);

  uint32_t first_;
  std::vector<ps_access_node> nodes_;
  std::unordered_map<Entries, uint32_t, HashEntries> places_;
};

}  // namespace penstock
