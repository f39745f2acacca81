// SPDX-License-Identifier: Apache-2.0
// Affinity as its users see it: plans are made and written as the daemon does, and clients ask the
// core for their backend, as packets do.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/plan/plan.h"
#include "dataplane/core/walk.h"
#include "dataplane/tables/affinity_reader.h"
#include "dataplane/tables/convert.h"
#include "dataplane/tables/frame_buffer.h"
#include "dataplane/tables/layout.h"
#include "dataplane/tables/reader.h"
#include "dataplane/tables/writer.h"

namespace penstock {
namespace {

using std::chrono::minutes;
using ::testing::IsEmpty;

constexpr uint32_t kMinute = 60'000'000'000 >> PS_TICK_SHIFT;  // in ticks, less a part of one
constexpr uint32_t kIdle = 30;                                 // minutes

class Affinity : public ::testing::Test {
 protected:
  Affinity() : Affinity(4096) {}

  explicit Affinity(uint32_t entries)
      : memory_({1024, 4, 64, 8, entries}, 1),
        writer_(memory_.tables(), [] { return Result<void>{}; }) {
    input_.config.dataplane.max_services = 4;
    input_.config.dataplane.max_backends = 64;
    input_.config.dataplane.affinity_tables = 8;
    input_.hash_key = hash_key_from_seed("penstock");
    input_.snat_addresses = {*IpAddress::parse("10.0.0.254")};
    ServiceConfig& service = input_.config.services.emplace_back();
    service.name = "web";
    service.vip = *Endpoint::parse("203.0.113.10:80");
    service.affinity.emplace();
    for (int n = 1; n <= 4; n++) add_backend(n);
    apply();
  }

  ServiceConfig& web() { return input_.config.services[0]; }
  BackendConfig& backend(int n) { return web().backends.at(static_cast<size_t>(n - 1)); }

  void add_backend(int n) {
    BackendConfig& added = web().backends.emplace_back();
    added.endpoint = *Endpoint::parse(fmt::format("10.0.0.{}:3000", n));
    added.name = fmt::format("b{}", n);
    input_.up.insert({"web", added.name});
    input_.next_hops[added.endpoint.address].interface_index = 2;
  }

  void fail_backend(int n) { input_.up.erase({"web", backend(n).name}); }
  void recover(int n) { input_.up.insert({"web", backend(n).name}); }

  Plan apply() {
    input_.affinity = read_affinity(memory_.tables(), now_);
    auto plan = make_plan(state_, input_);
    EXPECT_TRUE(plan);
    EXPECT_TRUE(writer_.apply(plan->delta, {}));
    state_ = plan->next;
    return *plan;
  }

  // As a process finds it that starts anew.
  void restart() {
    state_ = {};
    state_.forwarding = writer_.read();
    for (const auto& [id, service] : state_.forwarding.services) {
      for (LookupTableId place : service.earlier) read_table(place);
      read_table(service.lookup_table);
    }
  }

  void read_table(LookupTableId place) {
    state_.tables[place] = read_lookup_table(memory_.tables(), place);
  }

  std::string name_of(BackendId id) const {
    const auto found = state_.forwarding.backends.find(id);
    return found == state_.forwarding.backends.end() ? ""
                                                     : to_string(found->second.endpoint.address);
  }

  // A packet of the client's; the backend it goes to.
  std::string contact(uint32_t number, bool is_seen = true) {
    ps_client asked{};
    asked.address.word[0] = ps_wire32(0xc6120000 + number);
    asked.service = 1;
    asked.now = now_;
    asked.generation = memory_.tables().control->generation & 1;
    asked.is_seen = is_seen;
    const ps_service* service = ps_service_at(&memory_.tables(), asked.generation, 1);
    const ps_settings* settings = ps_settings_at(&memory_.tables(), asked.generation);
    return name_of(static_cast<BackendId>(ps_select(&memory_.tables(), settings, service, &asked)));
  }

  // Where clients first .. last - 1 are, each by a packet.
  std::map<uint32_t, std::string> contact_all(uint32_t first, uint32_t last, uint32_t step = 1) {
    std::map<uint32_t, std::string> where;
    for (uint32_t n = first; n < last; n += step) where[n] = contact(n);
    return where;
  }

  // The backend by the lookup table alone.
  std::string selected(uint32_t number) {
    const Endpoint client{from_wire(PS_IPV4, ps_address{{ps_wire32(0xc6120000 + number)}}), 40000};
    return name_of(explain_client(memory_.tables(), 1, client, now_).selected);
  }

  AffinitySnapshot snapshot() const { return read_affinity(memory_.tables(), now_); }
  void wait_minutes(uint32_t count) { now_ += count * kMinute; }
  size_t earlier_tables() { return state_.forwarding.services.at(1).earlier.size(); }

  AnonymousTables memory_;
  TableWriter writer_;
  PlanInput input_;
  PlanState state_;
  uint32_t now_ = 1'000'000;
};

TEST_F(Affinity, CostsNothingWhileNothingChanges) {
  for (uint32_t n = 0; n < 1000; n++) EXPECT_EQ(contact(n), selected(n));
  wait_minutes(5);
  for (uint32_t n = 0; n < 1000; n++) EXPECT_EQ(contact(n), selected(n));
  EXPECT_EQ(snapshot().entries, 0u);
}

// Of the clients, every second one is seen after each change, the others only at the end.
TEST_F(Affinity, KeepsActiveClientsThroughChangesInARow) {
  constexpr uint32_t kClients = 2000;
  auto home = contact_all(0, kClients);
  std::set<uint32_t> answer_changed;
  const auto change = [&](const auto& action) {
    action();
    apply();
    wait_minutes(2);
    for (uint32_t n = 0; n < kClients; n++) {
      if (selected(n) != home[n]) answer_changed.insert(n);
    }
    for (const auto& [n, where] : contact_all(0, kClients, 2)) ASSERT_EQ(where, home[n]) << n;
  };
  change([&] { add_backend(5); });
  change([&] { add_backend(6); });
  change([&] { backend(1).drain = true; });
  change([&] { backend(2).weight = 2; });
  change([&] { backend(1).drain = false; });
  for (const auto& [n, where] : contact_all(0, kClients)) EXPECT_EQ(where, home[n]) << n;
  const uint64_t entries = snapshot().entries;
  EXPECT_GT(entries, 0u);
  EXPECT_LE(entries, answer_changed.size());
  RecordProperty("entries", static_cast<int>(entries));
  RecordProperty("answer_changed", static_cast<int>(answer_changed.size()));
}

TEST_F(Affinity, MovesOnlyTheClientsOfABackendThatFailsAndLeavesThemWhereTheyWent) {
  auto home = contact_all(0, 2000);
  fail_backend(3);
  apply();
  auto after = contact_all(0, 2000);
  for (const auto& [n, where] : after) {
    if (home[n] == "10.0.0.3") {
      EXPECT_NE(where, "10.0.0.3");
    } else {
      EXPECT_EQ(where, home[n]);
    }
  }
  recover(3);
  apply();
  for (const auto& [n, where] : contact_all(0, 2000)) EXPECT_EQ(where, after[n]) << n;
}

TEST_F(Affinity, KeepsItsClientsWhenABackendFlaps) {
  auto home = contact_all(0, 500);
  for (int round = 0; round < 20; round++) {
    fail_backend(3);
    EXPECT_TRUE(apply().forgetful_services.empty());
    recover(3);
    EXPECT_TRUE(apply().forgetful_services.empty());
  }
  EXPECT_EQ(earlier_tables(), 1u);  // two tables, in turns
  for (const auto& [n, where] : contact_all(0, 500)) EXPECT_EQ(where, home[n]) << n;
}

TEST_F(Affinity, SendsMostStrangersWhereTheTableLeads) {
  contact_all(0, 2000);
  add_backend(5);
  apply();
  uint32_t kept = 0;
  for (uint32_t n = 10'000; n < 20'000; n++) kept += contact(n) != selected(n);
  EXPECT_LT(kept, 20u);  // 2000 clients in 65537 slots of 224 bits, and a fifth of the slots moved
}

TEST_F(Affinity, ForgetsAClientThatWasIdle) {
  const auto home = contact_all(0, 500);
  add_backend(5);
  apply();
  contact_all(0, 250);
  wait_minutes(4 * kIdle + 1);
  for (const auto& [n, where] : contact_all(0, 500)) EXPECT_EQ(where, selected(n)) << n;
}

TEST_F(Affinity, KeepsAClientAsLongAsItIsActive) {
  auto home = contact_all(0, 500);
  add_backend(5);
  apply();
  for (int round = 0; round < 20; round++) {
    wait_minutes(kIdle - 1);
    for (const auto& [n, where] : contact_all(0, 500)) ASSERT_EQ(where, home[n]) << round;
    apply();
  }
  EXPECT_EQ(earlier_tables(), 0u);  // only the entries are left
}

TEST_F(Affinity, GivesUpItsEarlierTablesWhenNobodyIsKnownByThem) {
  contact_all(0, 500);
  add_backend(5);
  apply();
  contact_all(0, 500);
  EXPECT_EQ(earlier_tables(), 1u);
  wait_minutes(4 * kIdle + 1);
  apply();
  EXPECT_EQ(earlier_tables(), 0u);
  const LookupTable& table = state_.tables.at(state_.forwarding.services.at(1).lookup_table);
  EXPECT_TRUE(std::none_of(table.begin(), table.end(),
                           [](uint16_t slot) { return (slot & kContested) != 0; }));
  EXPECT_FALSE(apply().changes_anything);
}

TEST_F(Affinity, TellsHowManyClientsADrainingBackendStillHas) {
  auto home = contact_all(0, 400);
  uint64_t clients = 0;
  for (const auto& [n, where] : home) clients += where == "10.0.0.1";
  backend(1).drain = true;
  apply();
  const auto left = [&] {
    auto all = snapshot();
    return std::pair(all.kept[1][1], all.unseen[1][1]);
  };
  EXPECT_EQ(left(), std::pair(uint64_t{0}, clients));
  contact_all(0, 400);
  EXPECT_EQ(left(), std::pair(clients, uint64_t{0}));
  wait_minutes(4 * kIdle + 1);
  EXPECT_EQ(left(), std::pair(uint64_t{0}, uint64_t{0}));
}

TEST_F(Affinity, EndsADrainAtItsDeadline) {
  auto home = contact_all(0, 400);
  backend(1).drain = true;
  apply();
  contact_all(0, 200);
  input_.drained_out = {{"web", "b1"}};
  apply();
  for (const auto& [n, where] : contact_all(0, 400)) {
    EXPECT_EQ(where, home[n] == "10.0.0.1" ? selected(n) : home[n]) << n;
  }
  EXPECT_FALSE(apply().changes_anything);
}

TEST_F(Affinity, LetsTheClientsOfARemovedBackendGo) {
  auto home = contact_all(0, 400);
  web().backends.erase(web().backends.begin());
  apply();
  add_backend(9);  // may have the id of the one that left
  apply();
  for (const auto& [n, where] : contact_all(0, 400)) {
    EXPECT_NE(where, "10.0.0.1");
    if (home[n] == "10.0.0.1") continue;
    EXPECT_EQ(where, home[n]) << n;
  }
}

TEST_F(Affinity, GoesOnAfterARestart) {
  auto home = contact_all(0, 500);
  add_backend(5);
  apply();
  contact_all(0, 250);
  restart();
  EXPECT_THAT(apply().delta.begun, IsEmpty());
  backend(2).weight = 3;
  apply();
  for (const auto& [n, where] : contact_all(0, 500)) EXPECT_EQ(where, home[n]) << n;
}

TEST_F(Affinity, WarnsWhenItHasNoRoomForEarlierTables) {
  contact_all(0, 500);
  bool warned = false;
  for (uint32_t round = 1; round <= 8; round++) {
    backend(2).weight = 1 + round;
    warned |= !apply().forgetful_services.empty();
    contact_all(500 * round, 500 * (round + 1));
  }
  EXPECT_TRUE(warned);
  EXPECT_LE(earlier_tables(), 6u);
}

TEST_F(Affinity, GivesUpTheTablesThatKnowTheFewest) {
  auto home = contact_all(0, 500);
  for (uint32_t round = 1; round <= 12; round++) {
    backend(2).weight = 1 + round;
    apply();
    contact(1000 + round);
  }
  EXPECT_LE(earlier_tables(), 6u);
  for (const auto& [n, where] : contact_all(0, 500)) EXPECT_EQ(where, home[n]) << n;
}

TEST_F(Affinity, ALookWithoutAPacketLeavesNoTrace) {
  for (uint32_t n = 0; n < 500; n++) contact(n, false);
  add_backend(5);
  apply();
  for (uint32_t n = 0; n < 500; n++) EXPECT_EQ(contact(n, false), selected(n));
  EXPECT_EQ(snapshot().entries, 0u);
}

TEST_F(Affinity, StartsAnewWhenClientsAreHashedInAnotherWay) {
  contact_all(0, 500);
  web().client_prefix.ipv4 = 24;
  apply();
  EXPECT_EQ(earlier_tables(), 0u);
  for (uint32_t n = 0; n < 500; n++) EXPECT_EQ(contact(n), selected(n));
}

TEST_F(Affinity, EndsWithItsSetting) {
  contact_all(0, 500);
  add_backend(5);
  apply();
  contact_all(0, 500);
  web().affinity.reset();
  apply();
  for (uint32_t n = 0; n < 500; n++) EXPECT_EQ(contact(n), selected(n));
  EXPECT_THAT(state_.tables, IsEmpty());
}

class AffinityOfFewEntries : public Affinity {
 protected:
  AffinityOfFewEntries() : Affinity(16) {}
};

TEST_F(AffinityOfFewEntries, GoesOnByTheEarlierTableWithoutAnEntry) {
  auto home = contact_all(0, 500);
  backend(1).drain = true;
  apply();
  for (int round = 0; round < 3; round++) {
    wait_minutes(5);
    for (const auto& [n, where] : contact_all(0, 500)) ASSERT_EQ(where, home[n]) << n;
  }
  EXPECT_EQ(snapshot().entries, snapshot().capacity);
}

}  // namespace
}  // namespace penstock
