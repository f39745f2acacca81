// SPDX-License-Identifier: Apache-2.0
// What access lists cost: nodes, the time to build them, and a look at one, each of which waits for
// the one before as packets do not.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

#include "dataplane/core/access_list.h"
#include "dataplane/tables/access_trie.h"
#include "dataplane/tables/convert.h"
#include "dataplane/tables/memory.h"

namespace penstock {
namespace {

constexpr int kBuilds = 11;
constexpr uint32_t kLooks = 1 << 20;
using Clock = std::chrono::steady_clock;

struct List {
  const char* name;
  Family family;
  uint8_t bits;
  uint8_t scattered_from;  // bits before this one are the same of 16 blocks
};

IpPrefix random_prefix(const List& list, std::mt19937& random) {
  IpPrefix prefix{{list.family, {}}, list.bits};
  std::mt19937 block(random() % 16);
  for (size_t bit = 0; bit < list.bits; bit++) {
    const bool is_set = (bit < list.scattered_from ? block : random)() % 2;
    if (is_set) prefix.address.bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> bit % 8);
  }
  return prefix;
}

double build_ms(const AccessRules& rules) {
  std::vector<double> times;
  for (int i = 0; i < kBuilds; i++) {
    const auto begin = Clock::now();
    AccessTrie trie(PS_ACCESS_FIRST_NODE);
    trie.add(rules);
    const std::chrono::duration<double, std::milli> time = Clock::now() - begin;
    times.push_back(time.count());
  }
  std::nth_element(times.begin(), times.begin() + kBuilds / 2, times.end());
  return times[kBuilds / 2];
}

// Clients within the rules' prefixes: the longest way. Where a look begins is told by the one
// before.
double look_ns(const ps_tables& tables, uint32_t entry, const AccessRules& rules) {
  std::mt19937 random(7);
  std::vector<ps_address> clients;
  for (uint32_t i = 0; i < kLooks; i++) {
    clients.push_back(to_wire(rules.deny[random() % rules.deny.size()].address));
  }
  ps_service service{};
  service.access = entry;
  const auto begin = Clock::now();
  for (const ps_address& client : clients) {
    service.access = entry + (ps_ask_access(&tables, &service, &client) == PS_REASON_NONE);
  }
  const std::chrono::duration<double, std::nano> time = Clock::now() - begin;
  return service.access == entry ? time.count() / kLooks : 0;
}

void measure(const List& list, uint32_t count) {
  std::mt19937 random(42);
  AccessRules rules;
  for (uint32_t i = 0; i < count; i++) rules.deny.push_back(random_prefix(list, random));
  AccessTrie trie(PS_ACCESS_FIRST_NODE);
  const uint32_t entry = trie.add(rules);
  std::vector<ps_access_node> nodes(PS_ACCESS_FIRST_NODE);
  nodes.insert(nodes.end(), trie.nodes().begin(), trie.nodes().end());
  ps_tables tables{};
  tables.access_nodes = nodes.data();
  tables.max_access_nodes = static_cast<uint32_t>(nodes.size());
  fmt::print("{:24} {:8} {:8} {:8.1f} {:8.2f} {:8.1f}\n", list.name, count, nodes.size(),
             static_cast<double>(nodes.size() * sizeof(ps_access_node)) / 1024, build_ms(rules),
             look_ns(tables, entry, rules));
}

}  // namespace
}  // namespace penstock

int main() {
  using penstock::Family;
  constexpr penstock::List kLists[] = {
      {"/24 anywhere", Family::kIpv4, 24, 0}, {"/24 in 16 of /12", Family::kIpv4, 24, 12},
      {"/32 anywhere", Family::kIpv4, 32, 0}, {"/48 in 16 of /32", Family::kIpv6, 48, 32},
      {"/48 anywhere", Family::kIpv6, 48, 0}, {"/64 in 16 of /32", Family::kIpv6, 64, 32}};
  fmt::print("{:24} {:>8} {:>8} {:>8} {:>8} {:>8}\n", "prefixes", "number", "nodes", "KiB",
             "build ms", "look ns");
  for (const auto& list : kLists) {
    for (const uint32_t count : {100u, 1'000u, 10'000u}) penstock::measure(list, count);
  }
}
