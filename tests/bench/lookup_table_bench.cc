// SPDX-License-Identifier: Apache-2.0
// The time to build a lookup table, and how well it keeps its promises over many seeds.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "controlplane/plan/lookup_table.h"

namespace penstock {
namespace {

constexpr int kBuilds = 21;

std::vector<LookupMember> equal_members(uint32_t count) {
  std::vector<LookupMember> members;
  for (uint32_t i = 1; i <= count; i++) {
    members.push_back({fmt::format("backend-{}", i), 1, true, static_cast<BackendId>(i)});
  }
  return members;
}

double build_ms(const std::vector<LookupMember>& members) {
  std::vector<double> times;
  for (int i = 0; i < kBuilds; i++) {
    const HashKey key = hash_key_from_seed(fmt::format("seed{}", i));
    const auto begin = std::chrono::steady_clock::now();
    const LookupTable table = build_lookup_table(members, key);
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
    times.push_back(time.count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

double largest_over_mean(const LookupTable& table, size_t backends) {
  std::vector<uint32_t> counts(kLookupTableSlots);
  for (const BackendId id : table) counts[id]++;
  return *std::max_element(counts.begin(), counts.end()) * static_cast<double>(backends) /
         kLookupTableSlots;
}

// What the removal of one backend moves beside its own slots, in percent of all.
double extra_moved_percent(const std::vector<LookupMember>& members, const LookupTable& before,
                           const HashKey& key, size_t removed) {
  auto fewer = members;
  fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(removed));
  const LookupTable after = build_lookup_table(fewer, key);
  uint32_t moved = 0;
  for (uint32_t slot = 0; slot < kLookupTableSlots; slot++) {
    moved += before[slot] != after[slot] && before[slot] != members[removed].id;
  }
  return 100.0 * moved / kLookupTableSlots;
}

void measure(uint32_t count) {
  const auto members = equal_members(count);
  auto tenth_down = members;
  for (uint32_t i = 0; i < count; i += 10) tenth_down[i].takes_clients = false;
  const size_t up = count - (count + 9) / 10;
  double all = 0;
  double most = 0;
  std::vector<double> extra;
  for (int i = 0; i < kBuilds; i++) {
    const HashKey key = hash_key_from_seed(fmt::format("seed{}", i));
    const LookupTable table = build_lookup_table(members, key);
    all = std::max(all, largest_over_mean(table, count));
    most = std::max(most, largest_over_mean(build_lookup_table(tenth_down, key), up));
    for (uint32_t removal = 0; removal < 4; removal++) {
      extra.push_back(extra_moved_percent(members, table, key, count * removal / 4));
    }
  }
  std::sort(extra.begin(), extra.end());
  fmt::print("{:8} {:10.1f} {:12.1f} {:10.4f} {:12.4f} {:10.2f} {:10.2f}\n", count,
             build_ms(members), build_ms(tenth_down), all, most, extra[extra.size() / 2],
             extra.back());
}

}  // namespace
}  // namespace penstock

int main() {
  fmt::print(
      "                build, ms (median)   largest over mean    extra moved by a removal, %\n"
      "backends     all up   tenth down     all up   tenth down     median      worst\n");
  for (const uint32_t count : {4u, 10u, 100u, 1000u}) penstock::measure(count);
}
