// SPDX-License-Identifier: Apache-2.0
// What affinity costs: how often a stranger is taken for a known client, and the time of a
// selection with and without it, by the core in process.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "dataplane/core/walk.h"
#include "dataplane/tables/frame_buffer.h"
#include "dataplane/tables/layout.h"
#include "dataplane/tables/writer.h"

namespace penstock {
namespace {

constexpr uint32_t kClients = 1'000'000;
constexpr uint32_t kStrangers = 1'000'000;
constexpr uint32_t kRounds = 5;
constexpr uint32_t kNow = 1'000'000;

class Bench {
 public:
  Bench() : tables_({1024, 4, 64, 4, 262'144}, 1) {}

  // One service over four backends; `earlier`: the table before it led elsewhere in every slot.
  void publish(std::chrono::seconds idle, bool has_earlier) {
    Delta delta;
    delta.next.settings.hash_key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    ServiceEntry& service = delta.next.services[1];
    service.vip = *Endpoint::parse("203.0.113.10:80");
    service.lookup_table = has_earlier ? 9 : 8;
    service.affinity_idle = idle;
    if (has_earlier) service.earlier = {8};
    LookupTable& slots = delta.lookup_tables[service.lookup_table];
    for (uint32_t slot = 0; slot < kLookupTableSlots; slot++) {
      slots.push_back(static_cast<uint16_t>((slot + has_earlier) % 4 + 1) |
                      (has_earlier ? kContested : 0));
    }
    for (BackendId id = 1; id <= 4; id++) {
      delta.next.backends[id].endpoint = *Endpoint::parse("10.0.0.1:80");
      delta.next.backends[id].endpoint.port = static_cast<uint16_t>(80 + id);
      delta.next.backends[id].next_hop.emplace();
    }
    TableWriter writer(tables_.tables(), [] { return Result<void>{}; });
    if (!writer.apply(delta, {})) std::abort();
  }

  // The client's backend, and the one of the lookup table alone.
  std::pair<int, int> ask(uint32_t number, bool is_seen) const {
    ps_client client{};
    client.address.word[0] = ps_wire32(number * 2'654'435'761u);
    client.service = 1;
    client.now = kNow;
    client.generation = tables_.tables().control->generation & 1;
    client.is_seen = is_seen;
    const int backend =
        ps_select(&tables_.tables(), ps_settings_at(&tables_.tables(), client.generation),
                  ps_service_at(&tables_.tables(), client.generation, 1), &client);
    return {backend, client.selected};
  }

  // ns a selection over all clients, the median of rounds.
  double time_of(bool is_seen) const {
    std::vector<double> ns;
    int sum = 0;
    for (uint32_t round = 0; round < kRounds; round++) {
      const auto begin = std::chrono::steady_clock::now();
      for (uint32_t n = 0; n < kClients; n++) sum += ask(n, is_seen).first;
      const std::chrono::duration<double, std::nano> took =
          std::chrono::steady_clock::now() - begin;
      ns.push_back(took.count() / kClients);
    }
    if (sum == 0) std::abort();
    std::nth_element(ns.begin(), ns.begin() + kRounds / 2, ns.end());
    return ns[kRounds / 2];
  }

  double known_strangers_percent() const {
    uint32_t known = 0;
    for (uint32_t n = kClients; n < kClients + kStrangers; n++) {
      const auto [backend, selected] = ask(n, false);
      known += backend != selected;
    }
    return 100.0 * known / kStrangers;
  }

 private:
  AnonymousTables tables_;
};

void run() {
  Bench bench;
  bench.publish(std::chrono::seconds(0), false);
  const double plain = bench.time_of(true);
  bench.publish(std::chrono::minutes(30), false);
  const double noting = bench.time_of(true);
  bench.publish(std::chrono::minutes(30), true);
  const double percent = bench.known_strangers_percent();
  const double contested = bench.time_of(false);
  fmt::print("a lookup table with its known clients: {} bytes\n",
             PS_LOOKUP_SLOTS * sizeof(ps_known_clients) + sizeof(ps_lookup_table));
  fmt::print("1 M clients known: {:.2f} % of strangers are taken for one of them\n", percent);
  fmt::print(
      "a selection among 1 M clients, ns: {:.0f} without affinity, {:.0f} with it, {:.0f} in "
      "a contested slot\n",
      plain, noting, contested);
}

}  // namespace
}  // namespace penstock

int main() {
  penstock::run();
}
