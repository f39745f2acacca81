// SPDX-License-Identifier: Apache-2.0
// What a service with tls is beside itself: clients' place at the sidecar, and the sidecar's own
// ways to the service's backends.
#include <gmock/gmock.h>

#include "controlplane/plan/sidecar_places.h"
#include "tests/unit/planning.h"

namespace penstock {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

class PlanningTls : public Planning {
 protected:
  PlanningTls() {
    web().tls = Tls{.certificates = {"/web.pem"}};
    input_.sidecar = NextHop{.interface_index = 9, .mtu = 1500};
  }

  TlsServices ids() { return plan().tls.at("web"); }
  ServiceEntry entry(ServiceId id) { return plan().next.forwarding.services.at(id); }
  // Where the service's one backend is.
  BackendEntry backend_of(ServiceId id) {
    const Plan now = plan();
    EXPECT_EQ(now.next.members.at(id).size(), 1u);
    return now.next.forwarding.backends.at(now.next.members.at(id)[0].id);
  }
};

TEST_F(PlanningTls, LeadsClientsToTheSidecarWhichAnswersFromThePlaceTheyCameTo) {
  apply();
  const ServiceEntry clients = entry(ids().clients);
  EXPECT_EQ(clients.vip, at("203.0.113.10:443"));
  EXPECT_EQ(clients.mode, Mode::kDnat);
  EXPECT_FALSE(clients.has_flows);
  const BackendEntry sidecar = backend_of(ids().clients);
  EXPECT_EQ(sidecar.endpoint, clients.vip);
  EXPECT_THAT(sidecar.next_hop, Optional(*input_.sidecar));
  EXPECT_EQ(sidecar.answers_for, ids().clients);
  EXPECT_FALSE(sidecar.down);
}

TEST_F(PlanningTls, LeadsTheSidecarWherePlainClientsGo) {
  web().mode = Mode::kDnat;
  web().affinity = AffinityConfig{};
  web().syn_cookies = true;
  const Plan applied = apply();
  const ServiceId plain = applied.service_ids.at("web");
  const ServiceEntry onward = entry(ids().onward);
  EXPECT_EQ(onward.vip, onward_endpoint(Family::kIpv4, plain));
  EXPECT_EQ(onward.mode, Mode::kNat);
  EXPECT_TRUE(onward.has_flows);
  EXPECT_FALSE(onward.syn_cookies);
  EXPECT_EQ(onward.clients_of, plain);
  EXPECT_EQ(onward.lookup_table, entry(plain).lookup_table);
  EXPECT_EQ(onward.affinity_idle, entry(plain).affinity_idle);
  EXPECT_EQ(onward.only_from, 9u);
}

TEST_F(PlanningTls, KeepsTheirTablesTheSameThroughEveryChange) {
  web().affinity = AffinityConfig{};
  apply();
  for (const uint32_t weight : {3u, 0u, 2u}) {
    web().backends[0].weight = weight;
    const Plan applied = apply();
    const ServiceEntry plain = entry(applied.service_ids.at("web"));
    EXPECT_EQ(entry(ids().onward).lookup_table, plain.lookup_table);
    EXPECT_EQ(entry(ids().onward).earlier, plain.earlier);
    EXPECT_FALSE(plan().changes_anything);
  }
}

TEST_F(PlanningTls, AsksWhoMayComeInAtBothButHowOftenAtTheFirstOnly) {
  web().access.deny = {{ip("198.51.100.0"), 24}};
  web().new_flows = {.per_second = 10, .burst = 20, .prefix = {.ipv4 = 24, .ipv6 = 64}};
  EXPECT_EQ(entry(ids().clients).access, web().access);
  EXPECT_EQ(entry(ids().onward).access, web().access);
  EXPECT_EQ(entry(ids().clients).new_flows.per_second, 10u);
  EXPECT_EQ(entry(ids().onward).new_flows.per_second, 0u);
}

TEST_F(PlanningTls, HasAnIdsPortForItsOwnPlaceSoThatItStays) {
  input_.config.services.insert(input_.config.services.begin(),
                                service("other", "203.0.113.11:80", {"10.0.0.9:80"}));
  input_.config.services[1].tls = Tls{.certificates = {"/web.pem"}};
  all_well();
  apply();
  const Endpoint before = entry(ids().onward).vip;
  input_.config.services.erase(input_.config.services.begin());
  apply();
  EXPECT_EQ(entry(ids().onward).vip, before);
  restart();
  EXPECT_EQ(entry(ids().onward).vip, before);
}

TEST_F(PlanningTls, GivesTheServicesOwnPortToTheSidecarForARedirectThere) {
  apply();
  const ServiceId plain = plan().service_ids.at("web");
  web().tls->redirect_http = true;
  const Plan applied = apply();
  EXPECT_EQ(ids().redirect, plain);
  EXPECT_EQ(entry(plain).vip, at("203.0.113.10:80"));
  EXPECT_EQ(entry(plain).mode, Mode::kDnat);
  EXPECT_TRUE(entry(plain).has_flows) << "flows of before run out";
  EXPECT_EQ(backend_of(plain).next_hop, input_.sidecar);
  EXPECT_EQ(applied.service_ids.at("web"), ids().onward) << "the backends are behind that now";
  EXPECT_EQ(entry(ids().onward).clients_of, 0);
  EXPECT_EQ(applied.next.members.at(ids().onward).size(), 3u);
}

TEST_F(PlanningTls, RedirectsBesideAServiceAtAnotherPort) {
  web().vip = at("203.0.113.10:8080");
  web().tls->redirect_http = true;
  EXPECT_EQ(entry(ids().redirect).vip, at("203.0.113.10:80"));
  EXPECT_EQ(plan().next.members.at(plan().service_ids.at("web")).size(), 3u);
}

TEST_F(PlanningTls, LeadsAcmeChallengesToTheBackendThatIsNamed) {
  web().tls->redirect_http = true;
  web().tls->acme = "10.0.0.1:3001";
  apply();
  EXPECT_EQ(entry(ids().acme).only_from, 9u);
  EXPECT_EQ(backend_of(ids().acme).endpoint, at("10.0.0.1:3001"));
}

TEST_F(PlanningTls, TakesWhatItAddedAwayAgain) {
  apply();
  EXPECT_EQ(plan().next.forwarding.services.size(), 3u);
  web().tls.reset();
  const Plan applied = apply();
  EXPECT_EQ(applied.next.forwarding.services.size(), 1u);
  EXPECT_EQ(applied.next.forwarding.backends.size(), 3u);
  EXPECT_TRUE(applied.sidecar_backends.empty());
}

TEST_F(PlanningTls, KnowsOwnAddressesAndGatewaysAsModeDnatDoes) {
  input_.own_addresses = {ip("10.0.0.254")};
  EXPECT_EQ(plan().next.forwarding.settings.own_addresses, input_.own_addresses);
}

TEST_F(PlanningTls, SaysWhatToRaiseWhenTheTablesHaveNoRoomForIt) {
  input_.config.dataplane.max_services = 3;
  const auto refused = make_plan(state_, input_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("raise dataplane.max_services above 3"));
}

TEST_F(PlanningTls, IsRefusedWithoutASidecar) {
  input_.sidecar.reset();
  EXPECT_EQ(make_plan(state_, input_).error().kind, ErrorKind::kConflict);
}

}  // namespace
}  // namespace penstock
