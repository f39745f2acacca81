// SPDX-License-Identifier: Apache-2.0
// The daemon with real health checks, next hops and addresses, over a dataplane that remembers.
#include "controlplane/control/daemon.h"

#include <gmock/gmock.h>

#include "tests/unit/control_world.h"

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

Change weigh(const std::string& backend, uint32_t weight) {
  return [=](const Config& file, const Overrides& overrides) {
    return set_weight(file, overrides, {"web", backend}, weight);
  };
}

Change remove(const std::string& backend) {
  return [=](const Config& file, const Overrides& overrides) {
    return remove_backend(file, overrides, {"web", backend});
  };
}

class TheDaemon : public ControlWorld {
 protected:
  static std::string reserved_ports() {
    std::ifstream file("/proc/sys/net/ipv4/ip_local_reserved_ports");
    std::string ports;
    std::getline(file, ports);
    return ports;
  }

  BackendId id_of(const std::string& backend) const {
    return daemon_->plan().backend_ids.at({"web", backend});
  }
};

TEST_F(TheDaemon, ForwardsToEveryBackendThatIsUpAndResolved) {
  start_and_settle();
  EXPECT_THAT(tables_.state.services, ElementsAre(Pair(1, ::testing::_)));
  EXPECT_EQ(tables_.state.services.at(1).vip, *Endpoint::parse("203.0.113.10:80"));
  for (const auto& [name, held] : slots()) EXPECT_NEAR(held, kLookupTableSlots / 2.0, 1) << name;
  for (const auto& [id, backend] : tables_.state.backends) EXPECT_TRUE(backend.next_hop);
}

TEST_F(TheDaemon, TakesNoTlsWhileItRunsWithoutASidecarsPlace) {
  start_and_settle();
  write_config(web() + "[service.tls]\ncertificates = [\"/etc/penstock/tls/web.pem\"]\n");
  const auto applied = daemon_->apply(std::nullopt, false);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().kind, ErrorKind::kConflict);
  EXPECT_THAT(applied.error().message, HasSubstr("restart it"));
  EXPECT_FALSE(daemon_->effective_config().has_tls());
}

TEST_F(TheDaemon, SendsFromTheInterfacesOwnAddresses) {
  start_and_settle();
  EXPECT_THAT(tables_.state.settings.snat_addresses,
              ElementsAre(ip("192.0.2.254"), ip("2001:db8::fe")));
  EXPECT_EQ(reserved_ports(), "20000-32767");
}

TEST_F(TheDaemon, LetsTheClientsOfADrainGoAtItsDeadlineAndNotBefore) {
  std::string text = web();
  const std::string health = "health = ";
  text.insert(text.find(health), "affinity = { drain_deadline = \"500ms\" }\n");
  write_config(text);
  start_and_settle();
  const BackendId leaving = id_of("h1-a");
  tables_.affinity.kept[1] = {{leaving, 3}, {id_of("h1-b"), 2}};
  const auto drained = std::chrono::steady_clock::now();
  ASSERT_TRUE(daemon_->change(weigh("h1-a", 0)));
  EXPECT_THAT(tables_.released, IsEmpty());
  ASSERT_TRUE(wait_for([&] { return !tables_.released.empty(); }));
  EXPECT_GE(std::chrono::steady_clock::now() - drained, std::chrono::milliseconds(500));
  EXPECT_THAT(tables_.released, ElementsAre(Pair(1, leaving)));
}

TEST_F(TheDaemon, AnnouncesAVipOnlyOnceItIsServed) {
  ASSERT_TRUE(start());
  EXPECT_FALSE(is_on("lo", "203.0.113.10"));
  ASSERT_TRUE(wait_for([&] { return tables_.applied > 0; }));
  EXPECT_TRUE(is_on("lo", "203.0.113.10"));
}

TEST_F(TheDaemon, PutsAnIpv6VipOnTheInterfaceToo) {
  write_config(R"([[service]]
name = "web6"
address = "2001:db8::10"
port = 80
health = { type = "none" }
backend = [{ address = "[2001:db8::1]:3000" }]
)");
  start_and_settle();
  EXPECT_TRUE(is_on("lo", "2001:db8::10"));
  EXPECT_TRUE(is_on("ps0", "2001:db8::10"));
  ASSERT_TRUE(daemon_->stop_forwarding());
  EXPECT_FALSE(is_on("lo", "2001:db8::10"));
  EXPECT_FALSE(is_on("ps0", "2001:db8::10"));
}

TEST_F(TheDaemon, LeavesAVipThatWasThereBefore) {
  run("ip address add 203.0.113.10/32 dev lo");
  start_and_settle();
  ASSERT_TRUE(daemon_->stop_forwarding());
  EXPECT_TRUE(is_on("lo", "203.0.113.10"));
}

TEST_F(TheDaemon, TakesAVipOffThatAnEarlierRunHasPut) {
  start_and_settle();
  daemon_.reset();
  ASSERT_TRUE(is_on("lo", "203.0.113.10"));
  write_config("");
  ASSERT_TRUE(start());
  EXPECT_TRUE(wait_for([&] { return !is_on("lo", "203.0.113.10"); }));
}

TEST_F(TheDaemon, KeepsWhatItAdoptedUntilItKnowsMore) {
  start_and_settle();
  daemon_.reset();
  const RememberedTables before = tables_;
  tables_.applied = 0;
  ASSERT_TRUE(start());
  EXPECT_EQ(tables_.applied, 0);
  ASSERT_TRUE(wait_for([&] { return tables_.applied > 0; }));
  EXPECT_EQ(tables_.state.backends, before.state.backends);
  EXPECT_EQ(tables_.table_of(1), before.table_of(1));
}

TEST_F(TheDaemon, GivesABackendThatIsDownNoClients) {
  write_config(R"([[service]]
name = "web"
address = "203.0.113.10"
port = 80
health = { type = "tcp", interval = "200ms", timeout = "100ms" }
backend = [{ name = "h1-a", address = "192.0.2.1:3000" }]
)");
  start_and_settle();  // nobody listens at the neighbour
  EXPECT_EQ(slots()["h1-a"], 0u);
  EXPECT_TRUE(tables_.state.backends.at(id_of("h1-a")).down);
}

TEST_F(TheDaemon, HasAChangeInForceWhenItReturns) {
  start_and_settle();
  ASSERT_TRUE(daemon_->change(weigh("h1-a", 3)));
  EXPECT_NEAR(slots()["h1-a"], kLookupTableSlots * 0.75, kLookupTableSlots * 0.02);
}

TEST_F(TheDaemon, KeepsAChangeOverARestart) {
  start_and_settle();
  ASSERT_TRUE(daemon_->change(remove("h1-b")));
  daemon_.reset();
  start_and_settle();
  EXPECT_THAT(slots(), ElementsAre(Pair("h1-a", kLookupTableSlots)));
  EXPECT_THAT(describe(daemon_->file_config(), daemon_->overrides()),
              ElementsAre(HasSubstr("h1-b")));
}

TEST_F(TheDaemon, ChangesNothingThatTheDataplaneRefuses) {
  start_and_settle();
  tables_.refusal = Error{ErrorKind::kSystem, "the tables are on fire"};
  const auto refused = daemon_->change(weigh("h1-a", 3));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "the tables are on fire");
  EXPECT_THAT(daemon_->overrides(), IsEmpty());
  EXPECT_THAT(load_overrides(directory_ + "/state").value(), IsEmpty());
}

TEST_F(TheDaemon, KeepsARemovedBackendWhileFlowsReferToIt) {
  start_and_settle();
  const BackendId leaving = id_of("h1-b");
  tables_.flows.backends[leaving] = {.half_open = 0, .established = 1, .closing = 0};
  ASSERT_TRUE(daemon_->change(remove("h1-b")));
  ASSERT_TRUE(tables_.state.backends.contains(leaving));
  EXPECT_TRUE(tables_.state.backends.at(leaving).next_hop);
  tables_.flows.backends.clear();
  ASSERT_TRUE(daemon_->change(weigh("h1-a", 2)));
  EXPECT_FALSE(tables_.state.backends.contains(leaving));
}

TEST_F(TheDaemon, AppliesItsFileAgain) {
  start_and_settle();
  ASSERT_TRUE(daemon_->change(weigh("h1-a", 3)));
  write_config("");
  ASSERT_TRUE(daemon_->apply(std::nullopt, false));
  EXPECT_THAT(tables_.state.services, IsEmpty());
  EXPECT_THAT(daemon_->overrides(), IsEmpty()) << "what it was a change of is gone";
  EXPECT_FALSE(is_on("lo", "203.0.113.10"));
}

TEST_F(TheDaemon, DiscardsChangesOnlyWhenToldTo) {
  start_and_settle();
  ASSERT_TRUE(daemon_->change(weigh("h1-a", 3)));
  ASSERT_TRUE(daemon_->apply(std::nullopt, false));
  EXPECT_FALSE(daemon_->overrides().empty());
  ASSERT_TRUE(daemon_->apply(std::nullopt, true));
  EXPECT_TRUE(daemon_->overrides().empty());
}

TEST_F(TheDaemon, ChangesNothingByAFileThatIsWrong) {
  start_and_settle();
  const int applied = tables_.applied;
  const Config before = daemon_->effective_config();
  write_config(web() + web());
  EXPECT_EQ(daemon_->apply(std::nullopt, false).error().kind, ErrorKind::kInvalid);
  write_config(web(), "ps9");
  const auto refused = daemon_->apply(std::nullopt, false);
  EXPECT_EQ(refused.error().kind, ErrorKind::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("dataplane.interfaces"));
  EXPECT_EQ(tables_.applied, applied);
  EXPECT_EQ(daemon_->effective_config(), before);
}

TEST_F(TheDaemon, NeedsAnAddressOfEveryFamilyThatItServes) {
  run("ip address flush dev ps0 && ip address add 192.0.2.254/24 dev ps0");
  start_and_settle();
  write_config(web() + R"([[service]]
name = "web6"
address = "2001:db8:113::10"
port = 80
)");
  const auto refused = daemon_->apply(std::nullopt, false);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("web6"));
  daemon_.reset();
  const auto started = start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("dataplane.snat_addresses"));
}

TEST_F(TheDaemon, LeavesNothingWhenItIsStoppedForGood) {
  start_and_settle();
  ASSERT_TRUE(daemon_->stop_forwarding());
  EXPECT_TRUE(tables_.removed);
  EXPECT_FALSE(is_on("lo", "203.0.113.10"));
  EXPECT_EQ(reserved_ports(), "");
  EXPECT_FALSE(daemon_->change(weigh("h1-a", 3)));
}

TEST_F(TheDaemon, LeavesNothingWhenTheDataplaneDoesNotOpen) {
  const auto started = Daemon::start(context_, file(), read_config(file()).value(),
                                     [](const Config&) -> Result<std::unique_ptr<Dataplane>> {
                                       return fail(ErrorKind::kConflict, "another daemon holds it");
                                     });
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().message, "another daemon holds it");
  EXPECT_EQ(reserved_ports(), "");
  EXPECT_FALSE(is_on("lo", "203.0.113.10"));
}

TEST_F(TheDaemon, CanBeCleanedUpAfterWhenItWasKilled) {
  start_and_settle();
  daemon_.reset();
  Config config = read_config(file()).value();
  config.dataplane.pin_path = directory_ + "/pins";
  ASSERT_TRUE(clean_up(config));
  EXPECT_FALSE(is_on("lo", "203.0.113.10"));
  EXPECT_EQ(reserved_ports(), "");
}

}  // namespace
}  // namespace penstock
