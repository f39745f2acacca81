// SPDX-License-Identifier: Apache-2.0
// What a plan promises: ids that stay, backends that linger, lookup tables that are dealt anew only
// when they must be.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/unit/planning.h"

namespace penstock {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST_F(Planning, HandsOverWhoIsLetInAndHowManyFlows) {
  web().access.deny = {{ip("198.51.100.0"), 24}};
  web().new_flows = {.per_second = 10, .burst = 20, .prefix = {.ipv4 = 24, .ipv6 = 64}};
  const ServiceEntry entry = apply().next.forwarding.services.at(1);
  EXPECT_EQ(entry.access, web().access);
  EXPECT_EQ(entry.new_flows, (NewFlowLimit{10, 20, 24}));
  EXPECT_FALSE(plan().changes_anything);
  web().access.deny.clear();
  EXPECT_TRUE(plan().changes_anything);
}

TEST_F(Planning, PutsEveryServiceAndBackendIntoTheState) {
  const Plan plan = apply();
  EXPECT_TRUE(plan.changes_anything);
  ASSERT_THAT(plan.delta.next.services, SizeIs(1));
  const ServiceEntry& entry = plan.delta.next.services.at(plan.service_ids.at("web"));
  EXPECT_EQ(entry.vip, at("203.0.113.10:80"));
  EXPECT_EQ(entry.client_prefix_bits, 32);
  ASSERT_THAT(plan.delta.next.backends, SizeIs(3));
  const BackendEntry& backend = plan.delta.next.backends.at(id("10.0.0.2:3000"));
  EXPECT_EQ(backend.endpoint, at("10.0.0.2:3000"));
  EXPECT_EQ(backend.next_hop, NextHop{.interface_index = 2});
  EXPECT_FALSE(backend.down);
}

TEST_F(Planning, HandsTheSettingsOn) {
  input_.config.dataplane.snat_ports = {30000, 30999};
  input_.config.dataplane.flow_timeouts.tcp_half_open = milliseconds(1);
  input_.config.dataplane.flow_timeouts.tcp_established = milliseconds(2);
  input_.config.dataplane.flow_timeouts.tcp_closing = milliseconds(3);
  input_.config.dataplane.flow_timeouts.udp_half_open = milliseconds(4);
  input_.config.dataplane.flow_timeouts.udp_established = milliseconds(5);
  const ForwardingSettings settings = plan().delta.next.settings;
  EXPECT_EQ(settings.hash_key, input_.hash_key);
  EXPECT_EQ(settings.snat_addresses,
            (std::vector<IpAddress>{ip("10.0.0.254"), ip("2001:db8::254")}));
  EXPECT_EQ(settings.snat_port_first, 30000);
  EXPECT_EQ(settings.snat_port_last, 30999);
  EXPECT_EQ(settings.tcp_half_open_timeout, milliseconds(1));
  EXPECT_EQ(settings.tcp_established_timeout, milliseconds(2));
  EXPECT_EQ(settings.tcp_closing_timeout, milliseconds(3));
  EXPECT_EQ(settings.udp_half_open_timeout, milliseconds(4));
  EXPECT_EQ(settings.udp_established_timeout, milliseconds(5));
}

TEST_F(Planning, SendsTunnelPacketsFromThePrefixElseFromItsOwnAddress) {
  input_.snat_addresses = {ip("10.0.0.254"), ip("10.0.0.253"), ip("2001:db8::254")};
  input_.config.dataplane.tunnel_sources = {*IpPrefix::parse("2001:db8:99::/64")};
  web().mode = Mode::kTunnel;
  const ForwardingState next = plan().delta.next;
  EXPECT_EQ(next.services.begin()->second.mode, Mode::kTunnel);
  EXPECT_EQ(next.settings.tunnel_sources,
            (std::vector<IpPrefix>{*IpPrefix::parse("10.0.0.254/32"),
                                   *IpPrefix::parse("2001:db8:99::/64")}));
}

TEST_F(Planning, RemembersThatAServiceHadFlows) {
  web().mode = Mode::kDsr;
  EXPECT_FALSE(apply().delta.next.services.begin()->second.has_flows);
  web().mode = Mode::kNat;
  EXPECT_TRUE(apply().delta.next.services.begin()->second.has_flows);
  web().mode = Mode::kDsr;
  EXPECT_TRUE(apply().delta.next.services.begin()->second.has_flows);
}

TEST_F(Planning, HashesTheClientPrefixOfTheVipsFamily) {
  web().client_prefix = {.ipv4 = 24, .ipv6 = 64};
  input_.config.services.push_back(service("web6", "[2001:db8::10]:80", {"[2001:db8::1]:3000"}));
  input_.config.services[1].client_prefix = {.ipv4 = 24, .ipv6 = 64};
  const Plan plan = this->plan();
  EXPECT_EQ(plan.delta.next.services.at(plan.service_ids.at("web")).client_prefix_bits, 24);
  EXPECT_EQ(plan.delta.next.services.at(plan.service_ids.at("web6")).client_prefix_bits, 64);
}

TEST_F(Planning, ChangesNothingWhenNothingChanged) {
  apply();
  const Plan again = apply();
  EXPECT_FALSE(again.changes_anything);
  EXPECT_THAT(again.delta.lookup_tables, IsEmpty());
}

TEST_F(Planning, DealsALookupTableIntoTheOneThatIsNotInUse) {
  const Plan first = apply();
  const ServiceId web_id = first.service_ids.at("web");
  EXPECT_THAT(first.delta.lookup_tables, SizeIs(1));
  input_.up.erase({"web", "10.0.0.1:3000"});
  const Plan second = apply();
  EXPECT_TRUE(second.changes_anything);
  ASSERT_TRUE(
      second.delta.lookup_tables.contains(second.delta.next.services.at(web_id).lookup_table));
  EXPECT_NE(second.delta.next.services.at(web_id).lookup_table,
            first.delta.next.services.at(web_id).lookup_table);
}

TEST_F(Planning, DealsOnlyTheTablesWhoseMembersChanged) {
  input_.config.services.push_back(service("mail", "203.0.113.11:25", {"10.0.0.3:25"}));
  all_well();
  apply();
  web().backends[0].weight = 5;
  const Plan plan = apply();
  EXPECT_THAT(plan.delta.lookup_tables, SizeIs(1));
  const ServiceEntry& entry = plan.delta.next.services.at(plan.service_ids.at("web"));
  EXPECT_TRUE(plan.delta.lookup_tables.contains(entry.lookup_table));
}

TEST_F(Planning, DealsAllTablesAnewForAnotherHashKey) {
  apply();
  input_.hash_key = hash_key_from_seed("another");
  EXPECT_THAT(apply().delta.lookup_tables, SizeIs(1));
}

TEST_F(Planning, GivesClientsOnlyToThoseUpResolvedAndNotDraining) {
  web().backends.push_back(service("", "192.0.2.1:1", {"10.0.0.3:3000"}).backends[0]);
  all_well();
  input_.up.erase({"web", "10.0.0.1:3000"});
  web().backends[1].drain = true;
  input_.next_hops.erase(ip("10.0.0.2"));
  const Plan plan = this->plan();
  EXPECT_THAT(plan.delta.lookup_tables.begin()->second, Each(id("10.0.0.3:3000")));
  EXPECT_TRUE(plan.delta.next.backends.at(id("10.0.0.1:3000")).down);
  EXPECT_FALSE(plan.delta.next.backends.at(id("10.0.0.1:3001")).down);
  EXPECT_EQ(plan.delta.next.backends.at(id("10.0.0.2:3000")).next_hop, std::nullopt);
}

TEST_F(Planning, WithAllDownRejectsByDefault) {
  input_.up.clear();
  const Plan plan = this->plan();
  EXPECT_THAT(plan.delta.lookup_tables.begin()->second, Each(0));
  EXPECT_TRUE(plan.delta.next.backends.at(id("10.0.0.1:3000")).down);
}

TEST_F(Planning, WithAllDownAndLastKnownSendsClientsWhereTheyWouldBe) {
  web().all_down = AllDownPolicy::kLastKnown;
  const LookupTable all_up = plan().delta.lookup_tables.begin()->second;
  input_.up.clear();
  const Plan all_down = plan();
  EXPECT_EQ(all_down.delta.lookup_tables.begin()->second, all_up);
  for (const auto& [id, backend] : all_down.delta.next.backends) EXPECT_FALSE(backend.down);
}

TEST_F(Planning, LastKnownLeavesOutThoseThatDrain) {
  web().all_down = AllDownPolicy::kLastKnown;
  web().backends[0].drain = true;
  web().backends[1].weight = 0;
  input_.up.clear();
  EXPECT_THAT(plan().delta.lookup_tables.begin()->second, Each(id("10.0.0.2:3000")));
}

TEST_F(Planning, LastKnownCountsOnHealthWhileOneBackendIsUp) {
  web().all_down = AllDownPolicy::kLastKnown;
  input_.up = {{"web", "10.0.0.2:3000"}};
  EXPECT_THAT(plan().delta.lookup_tables.begin()->second, Each(id("10.0.0.2:3000")));
}

TEST_F(Planning, AServiceWithoutBackendsIsThereAndEmpty) {
  web().backends.clear();
  const Plan plan = apply();
  EXPECT_THAT(plan.delta.next.services, SizeIs(1));
  EXPECT_THAT(plan.delta.lookup_tables.begin()->second, Each(0));
  EXPECT_FALSE(apply().changes_anything);
}

TEST_F(Planning, KeepsIdsWhenOthersComeAndGo) {
  const Plan first = apply();
  web().backends.erase(web().backends.begin());
  web().backends.push_back(service("", "192.0.2.1:1", {"10.0.0.3:3000"}).backends[0]);
  input_.config.services.insert(input_.config.services.begin(),
                                service("api", "203.0.113.9:80", {"10.0.0.9:3000"}));
  const Plan second = apply();
  EXPECT_EQ(second.service_ids.at("web"), first.service_ids.at("web"));
  for (const char* kept : {"10.0.0.1:3001", "10.0.0.2:3000"}) {
    EXPECT_EQ(second.backend_ids.at({"web", kept}), first.backend_ids.at({"web", kept}));
  }
}

TEST_F(Planning, FindsItsIdsAgainAfterARestartAndDealsTheTablesOnce) {
  const Plan before = apply();
  restart();
  std::reverse(web().backends.begin(), web().backends.end());
  web().name = "renamed";
  all_well();
  const Plan after = apply();
  EXPECT_EQ(after.service_ids.at("renamed"), before.service_ids.at("web"));
  EXPECT_EQ(after.delta.next.backends, before.delta.next.backends);
  ASSERT_THAT(after.delta.lookup_tables, SizeIs(1));
  EXPECT_EQ(after.delta.lookup_tables.begin()->second, before.delta.lookup_tables.begin()->second);
  EXPECT_FALSE(apply().changes_anything);
}

TEST_F(Planning, SharesABackendIdBetweenServicesOfOneProtocol) {
  input_.config.services.push_back(service("web-alt", "203.0.113.11:80", {"10.0.0.1:3000"}));
  input_.config.services.push_back(service("udp", "203.0.113.11:80", {"10.0.0.1:3000"}));
  input_.config.services[2].protocol = Protocol::kUdp;
  const Plan plan = this->plan();
  EXPECT_EQ(plan.backend_ids.at({"web-alt", "10.0.0.1:3000"}), id("10.0.0.1:3000"));
  EXPECT_NE(plan.backend_ids.at({"udp", "10.0.0.1:3000"}), id("10.0.0.1:3000"));
}

TEST_F(Planning, ASharedBackendIsDownOnlyWhenItIsDownInEveryService) {
  input_.config.services.push_back(service("web-alt", "203.0.113.11:80", {"10.0.0.1:3000"}));
  all_well();
  input_.up.erase({"web", "10.0.0.1:3000"});
  EXPECT_FALSE(plan().delta.next.backends.at(id("10.0.0.1:3000")).down);
  input_.up.erase({"web-alt", "10.0.0.1:3000"});
  EXPECT_TRUE(plan().delta.next.backends.at(id("10.0.0.1:3000")).down);
}

// Removal.

TEST_F(Planning, ARemovedBackendLingersWhileFlowsReferToIt) {
  const BackendId leaving = apply().backend_ids.at({"web", "10.0.0.2:3000"});
  web().backends.pop_back();
  input_.next_hops.erase(ip("10.0.0.2"));
  input_.busy_backends = {leaving};
  const Plan lingering = apply();
  ASSERT_TRUE(lingering.delta.next.backends.contains(leaving));
  EXPECT_EQ(lingering.delta.next.backends.at(leaving).next_hop, NextHop{.interface_index = 2});
  EXPECT_FALSE(lingering.delta.next.backends.at(leaving).down);
  EXPECT_THAT(lingering.delta.lookup_tables.begin()->second, Each(Not(leaving)));
  input_.busy_backends.clear();
  EXPECT_FALSE(apply().delta.next.backends.contains(leaving));
}

TEST_F(Planning, ALingeringBackendFollowsItsNextHop) {
  const BackendId leaving = apply().backend_ids.at({"web", "10.0.0.2:3000"});
  web().backends.pop_back();
  input_.busy_backends = {leaving};
  input_.next_hops[ip("10.0.0.2")] = {.interface_index = 3};
  EXPECT_EQ(apply().delta.next.backends.at(leaving).next_hop, NextHop{.interface_index = 3});
}

TEST_F(Planning, ALingeringBackendThatComesBackHasItsOldId) {
  const BackendId leaving = apply().backend_ids.at({"web", "10.0.0.2:3000"});
  const ServiceConfig before = web();
  web().backends.pop_back();
  input_.busy_backends = {leaving};
  apply();
  web() = before;
  EXPECT_EQ(apply().backend_ids.at({"web", "10.0.0.2:3000"}), leaving);
}

TEST_F(Planning, AnIdIsNotGivenToAnotherInTheSamePlanOrWhileBusy) {
  const BackendId leaving = apply().backend_ids.at({"web", "10.0.0.2:3000"});
  web().backends.back() = service("", "192.0.2.1:1", {"10.0.0.3:3000"}).backends[0];
  EXPECT_NE(apply().backend_ids.at({"web", "10.0.0.3:3000"}), leaving);
  input_.busy_backends = {leaving};
  web().backends.push_back(service("", "192.0.2.1:1", {"10.0.0.4:3000"}).backends[0]);
  EXPECT_NE(apply().backend_ids.at({"web", "10.0.0.4:3000"}), leaving);
  input_.busy_backends.clear();
  web().backends.push_back(service("", "192.0.2.1:1", {"10.0.0.5:3000"}).backends[0]);
  EXPECT_EQ(apply().backend_ids.at({"web", "10.0.0.5:3000"}), leaving);
}

TEST_F(Planning, ARemovedServiceIsGoneAtOnceButItsIdWaitsForItsFlows) {
  const ServiceId leaving = apply().service_ids.at("web");
  web() = service("api", "203.0.113.9:80", {});
  input_.busy_services = {leaving};
  const Plan plan = apply();
  EXPECT_FALSE(plan.delta.next.services.contains(leaving));
  EXPECT_NE(plan.service_ids.at("api"), leaving);
  input_.config.services.push_back(service("mail", "203.0.113.9:25", {}));
  EXPECT_NE(apply().service_ids.at("mail"), leaving);
  input_.busy_services.clear();
  input_.config.services.push_back(service("dns", "203.0.113.9:53", {}));
  EXPECT_EQ(apply().service_ids.at("dns"), leaving);
}

TEST_F(Planning, TellsWhichServiceABackendOfModeDnatAnswersFor) {
  input_.own_addresses = {ip("2001:db8::254"), ip("10.0.0.254")};
  input_.gateways = {{Family::kIpv4, {2, {{2, 0, 0, 0, 0, 1}}}}};
  const auto answers_for = [&](const char* backend) {
    return plan().delta.next.backends.at(id(backend)).answers_for;
  };
  EXPECT_EQ(answers_for("10.0.0.1:3000"), 0);
  EXPECT_THAT(plan().delta.next.settings.own_addresses, IsEmpty());
  web().mode = Mode::kDnat;
  EXPECT_EQ(answers_for("10.0.0.1:3000"), plan().service_ids.at("web"));
  EXPECT_THAT(plan().delta.next.settings.own_addresses,
              ElementsAre(ip("10.0.0.254"), ip("2001:db8::254")));
  EXPECT_EQ(plan().delta.next.settings.gateways, input_.gateways);

  web().backends[0].drain = true;  // whom it has may go on
  EXPECT_EQ(answers_for("10.0.0.1:3000"), plan().service_ids.at("web"));
  ServiceConfig other = service("api", "203.0.113.9:80", {"10.0.0.1:3000"});
  other.mode = Mode::kDnat;
  input_.config.services.push_back(other);
  EXPECT_TRUE(plan().delta.next.backends.at(id("10.0.0.1:3000")).is_shared);
  EXPECT_FALSE(plan().delta.next.backends.at(id("10.0.0.1:3001")).is_shared);
  EXPECT_EQ(answers_for("10.0.0.1:3000"), plan().service_ids.at("web"));
}

TEST_F(Planning, NamesTheKeyToRaiseWhenBackendsFindNoRoom) {
  input_.config.dataplane.max_backends = 3;
  const auto plan = make_plan(state_, input_);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind, ErrorKind::kConflict);
  EXPECT_THAT(plan.error().message, AllOf(HasSubstr("max_backends"), HasSubstr("10.0.0.2:3000")));
}

TEST_F(Planning, NamesTheKeyToRaiseWhenServicesFindNoRoom) {
  input_.config.dataplane.max_services = 2;
  input_.config.services.push_back(service("mail", "203.0.113.9:25", {}));
  const auto plan = make_plan(state_, input_);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind, ErrorKind::kConflict);
  EXPECT_THAT(plan.error().message, AllOf(HasSubstr("max_services"), HasSubstr("mail")));
}

}  // namespace
}  // namespace penstock
