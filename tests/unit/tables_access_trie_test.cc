// SPDX-License-Identifier: Apache-2.0
// Access lists as the core looks them up, against the same rules read one by one.
#include "dataplane/tables/access_trie.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "dataplane/core/access_list.h"
#include "dataplane/tables/convert.h"
#include "dataplane/tables/memory.h"

namespace penstock {
namespace {

IpPrefix prefix(const std::string& text) {
  return IpPrefix::parse(text).value();
}

IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}

class AccessLists : public ::testing::Test {
 protected:
  void build(const AccessRules& rules) { entry_ = trie_.add(rules); }

  // By a copy of the nodes that is no longer than they are: a sanitizer sees what lies outside.
  int ask(const IpAddress& client) const {
    std::vector<ps_access_node> nodes = table();
    return ask(nodes, client);
  }
  int ask(std::vector<ps_access_node>& nodes, const IpAddress& client) const {
    ps_tables tables{};
    tables.access_nodes = nodes.data();
    tables.max_access_nodes = static_cast<uint32_t>(nodes.size() / PS_GENERATIONS);
    ps_service service{};
    service.access = entry_;
    const ps_address wire = to_wire(client);
    return ps_ask_access(&tables, &service, &wire);
  }
  std::vector<ps_access_node> table() const {
    std::vector<ps_access_node> nodes(kFirst);
    nodes.insert(nodes.end(), trie_.nodes().begin(), trie_.nodes().end());
    nodes.resize((nodes.size() + 1) / 2 * 2);
    return nodes;
  }
  bool lets_in(const std::string& client) const { return ask(ip(client)) == PS_REASON_NONE; }

  static constexpr uint32_t kFirst = 7;
  AccessTrie trie_{kFirst};
  uint32_t entry_ = 0;
};

bool has(const IpPrefix& prefix, const IpAddress& address) {
  for (size_t bit = 0; bit < prefix.bits; bit++) {
    const int mask = 0x80 >> bit % 8;
    if ((prefix.address.bytes[bit / 8] & mask) != (address.bytes[bit / 8] & mask)) return false;
  }
  return true;
}

int longest_of(const std::vector<IpPrefix>& prefixes, const IpAddress& address) {
  int longest = -1;
  for (const IpPrefix& each : prefixes) {
    if (has(each, address)) longest = std::max<int>(longest, each.bits);
  }
  return longest;
}

bool is_let_in(const AccessRules& rules, const IpAddress& address) {
  const int allowed = longest_of(rules.allow, address);
  const int denied = longest_of(rules.deny, address);
  return allowed == denied ? rules.allow.empty() : allowed > denied;
}

TEST_F(AccessLists, WithoutARuleLetEverybodyIn) {
  build({});
  EXPECT_EQ(entry_, PS_ACCESS_LET_IN);
  EXPECT_EQ(trie_.nodes().size(), 0u);
}

TEST_F(AccessLists, DenyLetsOthersIn) {
  build({{}, {prefix("198.51.100.0/24")}});
  EXPECT_FALSE(lets_in("198.51.100.0"));
  EXPECT_FALSE(lets_in("198.51.100.255"));
  EXPECT_TRUE(lets_in("198.51.99.255"));
  EXPECT_TRUE(lets_in("198.51.101.0"));
}

TEST_F(AccessLists, AllowKeepsOthersOut) {
  build({{prefix("2001:db8::/33")}, {}});
  EXPECT_TRUE(lets_in("2001:db8:7fff::1"));
  EXPECT_FALSE(lets_in("2001:db8:8000::1"));
  EXPECT_FALSE(lets_in("::"));
}

TEST_F(AccessLists, FollowTheLongestPrefix) {
  build({{prefix("10.0.0.0/8"), prefix("10.1.2.3")}, {prefix("10.1.0.0/16")}});
  EXPECT_TRUE(lets_in("10.2.0.1"));
  EXPECT_FALSE(lets_in("10.1.2.2"));
  EXPECT_TRUE(lets_in("10.1.2.3"));
  EXPECT_FALSE(lets_in("11.0.0.1"));
}

TEST_F(AccessLists, OfTheWholeFamilyNeedNoNode) {
  build({{}, {prefix("0.0.0.0/0"), prefix("10.0.0.0/8")}});
  EXPECT_EQ(entry_, PS_ACCESS_DENIED);
  EXPECT_EQ(trie_.nodes().size(), 0u);
  EXPECT_FALSE(lets_in("198.51.100.1"));
}

TEST_F(AccessLists, ThatAreTheSameHaveTheSameNodes) {
  const AccessRules rules{{}, {prefix("198.51.100.0/24"), prefix("192.0.2.0/27")}};
  build(rules);
  const uint32_t entry = entry_;
  const size_t nodes = trie_.nodes().size();
  build(rules);
  EXPECT_EQ(entry_, entry);
  EXPECT_EQ(trie_.nodes().size(), nodes);
}

TEST_F(AccessLists, ThatLeadOutsideTheTableLetNobodyIn) {
  build({{}, {prefix("198.51.100.0/24")}});
  std::vector<ps_access_node> cut = table();
  cut.resize(kFirst + trie_.nodes().size() - 1);
  EXPECT_EQ(ask(cut, ip("198.51.100.1")), PS_REASON_access_denied);
}

// Prefixes in a small part of the family, so that they are within each other often, and clients at
// their edges.
class RandomAccessLists : public AccessLists, public ::testing::WithParamInterface<Family> {
 protected:
  IpAddress random_address() {
    IpAddress address{GetParam(), {}};
    const size_t bytes = address.is_ipv4() ? 4 : 16;
    address.bytes[0] = 0x20;
    for (size_t i = 1; i < bytes; i++) address.bytes[i] = random_byte();
    return address;
  }
  IpPrefix random_prefix() {
    const int most = GetParam() == Family::kIpv4 ? 32 : 128;
    IpPrefix made{random_address(), 0};
    if (!made_.empty() && random_() % 2) made.address = made_[random_() % made_.size()].address;
    made.bits = static_cast<uint8_t>(random_() % static_cast<uint32_t>(most + 1));
    if (random_() % 8) made.bits = std::max<uint8_t>(made.bits, 12);
    made_.push_back(made);
    for (size_t bit = made.bits; bit < 128; bit++) {
      made.address.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
    }
    return made;
  }
  AccessRules random_rules(size_t count) {
    AccessRules rules;
    std::set<IpPrefix> known;
    while (known.size() < count) {
      const IpPrefix made = random_prefix();
      if (!known.insert(made).second) continue;
      (random_() % 2 ? rules.allow : rules.deny).push_back(made);
    }
    return rules;
  }
  // The first or last address of a rule's prefix, or the one before or behind.
  IpAddress at_an_edge(const IpPrefix& of) {
    IpAddress address = of.address;
    const size_t bits = GetParam() == Family::kIpv4 ? 32 : 128;
    const bool last = random_() % 2;
    for (size_t bit = of.bits; last && bit < bits; bit++) {
      address.bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> bit % 8);
    }
    if (random_() % 2) return address;
    for (size_t byte = bits / 8; byte-- > 0;) {
      address.bytes[byte] = static_cast<uint8_t>(address.bytes[byte] + (last ? 1 : -1));
      if (address.bytes[byte] != (last ? 0 : 0xff)) break;
    }
    return address;
  }

  uint8_t random_byte() { return static_cast<uint8_t>(random_()); }
  std::mt19937 random_{42};
  std::vector<IpPrefix> made_;
};

INSTANTIATE_TEST_SUITE_P(Families, RandomAccessLists,
                         ::testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& parameter) {
                           return std::string(to_string(parameter.param));
                         });

TEST_P(RandomAccessLists, SayWhatTheirRulesSay) {
  for (const size_t count : {1u, 2u, 5u, 40u, 4000u}) {
    SCOPED_TRACE(count);
    const AccessRules rules = random_rules(count);
    build(rules);
    std::vector<ps_access_node> nodes = table();
    int let_in = 0;
    for (int i = 0; i < 3000; i++) {
      const auto& list = random_() % 2 && !rules.allow.empty() ? rules.allow : rules.deny;
      const bool is_near = !list.empty() && random_() % 4;
      const IpAddress client =
          is_near ? at_an_edge(list[random_() % list.size()]) : random_address();
      const bool expected = is_let_in(rules, client);
      let_in += expected;
      ASSERT_EQ(ask(nodes, client), expected ? PS_REASON_NONE : PS_REASON_access_denied)
          << to_string(client);
    }
    EXPECT_GT(let_in, 0);
    EXPECT_LT(let_in, 3000);
  }
}

}  // namespace
}  // namespace penstock
