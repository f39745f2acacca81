// SPDX-License-Identifier: Apache-2.0
// How one flow lives: from its first packet to its last, seen from both sides.
#include <gtest/gtest.h>

#include <set>

#include "core_world.h"
#include "dataplane/tables/reader.h"

namespace penstock {
namespace {

constexpr uint32_t kIsn = CoreWorld::kHandshakeIsn;

class FlowLife : public ::testing::TestWithParam<Family> {
 protected:
  Endpoint client(uint32_t number = 1) const { return CoreWorld::client(GetParam(), number); }
  uint32_t state(uint32_t number = 1) const { return world_.state_of(client(number)); }
  uint32_t udp_state() const { return world_.state_of(client(), Protocol::kUdp); }
  ServiceId service(Protocol protocol = Protocol::kTcp) const {
    return CoreWorld::service_id(GetParam(), protocol);
  }
  BackendId backend(uint32_t number, Protocol protocol = Protocol::kTcp) const {
    return backend_id(service(protocol), number);
  }
  BackendId backend_of(const Sent& sent, Protocol protocol = Protocol::kTcp) const {
    for (const auto& [id, entry] : world_.state.backends) {
      if (entry.protocol == protocol && entry.endpoint == sent.packet.destination) return id;
    }
    return 0;
  }
  void only(uint32_t number, Protocol protocol = Protocol::kTcp) {
    world_.publish(service(protocol), {backend(number, protocol)});
  }
  uint64_t new_flows() const {
    return read_counters(world_.tables()).services[service()].new_flows;
  }
  FlowCounts flows() const {
    return read_flows(world_.tables(), world_.now_ticks).services[service()];
  }
  void wait_seconds(uint32_t seconds) { world_.wait_ticks(seconds * 4 + 1); }  // 3.7 ticks a second

  CoreWorld world_;
};

INSTANTIATE_TEST_SUITE_P(Families, FlowLife, ::testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& parameter) {
                           return std::string(to_string(parameter.param));
                         });

TEST_P(FlowLife, BecomesEstablishedByTheThreeWayHandshake) {
  const Sent syn = world_.from_client(client(), kSyn);
  EXPECT_EQ(state(), PS_FLOW_HALF_OPEN);
  world_.answer(syn.packet, kSyn | kAck, kIsn);
  EXPECT_EQ(state(), PS_FLOW_HALF_OPEN);
  world_.from_client(client(), kAck, kIsn + 1);
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
}

TEST_P(FlowLife, IsNotEstablishedByAForgedAcknowledgement) {
  const Sent syn = world_.from_client(client(), kSyn);
  world_.from_client(client(), kAck, kIsn + 1);  // before any answer
  EXPECT_EQ(state(), PS_FLOW_HALF_OPEN);
  world_.answer(syn.packet, kSyn | kAck, kIsn);
  for (const uint32_t wrong : {0u, 1u, kIsn, kIsn + 1 + PS_HANDSHAKE_WINDOW, ~kIsn}) {
    EXPECT_TRUE(world_.from_client(client(), kAck, wrong).forwarded());
    EXPECT_EQ(state(), PS_FLOW_HALF_OPEN) << wrong;
  }
  world_.from_client(client(), kSyn | kAck, kIsn + 1);
  EXPECT_EQ(state(), PS_FLOW_HALF_OPEN);
  world_.from_client(client(), kAck, kIsn + 1);
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
}

TEST_P(FlowLife, FollowsASequenceNumberThatWraps) {
  const Sent syn = world_.from_client(client(), kSyn);
  world_.answer(syn.packet, kSyn | kAck, 0xffffffff);
  world_.from_client(client(), kAck, 0xffffffff);
  EXPECT_EQ(state(), PS_FLOW_HALF_OPEN);
  world_.from_client(client(), kAck, 0);
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
}

TEST_P(FlowLife, KeepsItsPortWhenTheSynIsSentAgain) {
  const Sent first = world_.from_client(client(), kSyn);
  world_.wait_ticks(4);
  const Sent again = world_.from_client(client(), kSyn);
  EXPECT_EQ(again.packet.source, first.packet.source);
  EXPECT_EQ(again.packet.destination, first.packet.destination);
  EXPECT_EQ(flows().half_open, 1u);
  EXPECT_EQ(new_flows(), 1u);
}

TEST_P(FlowLife, RemembersTheAnswerWhenTheSynIsSentAgain) {
  const Sent syn = world_.from_client(client(), kSyn);
  world_.answer(syn.packet, kSyn | kAck, kIsn);
  world_.from_client(client(), kSyn);  // it crossed the answer
  world_.from_client(client(), kAck, kIsn + 1);
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
}

TEST_P(FlowLife, ClosesWhenBothSidesFinish) {
  const Sent syn = world_.establish(client());
  world_.from_client(client(), kFin | kAck, kIsn + 1);
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
  world_.answer(syn.packet, kAck);
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
  world_.answer(syn.packet, kFin | kAck);
  EXPECT_EQ(state(), PS_FLOW_CLOSING);
  EXPECT_TRUE(world_.from_client(client(), kAck, kIsn + 2).forwarded());
  EXPECT_TRUE(world_.answer(syn.packet, kAck).forwarded());
  EXPECT_EQ(state(), PS_FLOW_CLOSING);
}

TEST_P(FlowLife, ClosesOnAReset) {
  world_.establish(client());
  world_.from_client(client(), kRst);
  EXPECT_EQ(state(), PS_FLOW_CLOSING);
  const Sent other = world_.establish(client(2));
  world_.answer(other.packet, kRst | kAck);
  EXPECT_EQ(state(2), PS_FLOW_CLOSING);
}

TEST_P(FlowLife, GoesOnWhenTheBackendDisbelievesTheReset) {
  const Sent syn = world_.establish(client());
  world_.from_client(client(), kRst);
  world_.answer(syn.packet, kAck);  // was in flight
  EXPECT_EQ(state(), PS_FLOW_CLOSING);
  wait_seconds(1);
  world_.from_client(client(), kAck, kIsn + 1);  // a request, whose answer tells
  EXPECT_EQ(state(), PS_FLOW_CLOSING);
  world_.answer(syn.packet, kAck);
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
}

TEST_P(FlowLife, AHalfOpenFlowIsNotRevivedByItsBackend) {
  const Sent syn = world_.from_client(client(), kSyn);
  world_.from_client(client(), kRst);
  world_.answer(syn.packet, kSyn | kAck, kIsn);
  EXPECT_EQ(state(), PS_FLOW_CLOSING);
}

TEST_P(FlowLife, OpensAgainWithTheSameBackendAndPortAfterClosing) {
  const Sent first = world_.establish(client());
  world_.from_client(client(), kRst);
  const Sent second = world_.from_client(client(), kSyn);
  EXPECT_EQ(state(), PS_FLOW_HALF_OPEN);
  EXPECT_EQ(second.packet.source, first.packet.source);
  EXPECT_EQ(second.packet.destination, first.packet.destination);
  EXPECT_EQ(new_flows(), 2u);
  // The old connection's confirmation does not count for the new one.
  world_.answer(second.packet, kSyn | kAck, kIsn + 5000000);
  world_.from_client(client(), kAck, kIsn + 1);
  EXPECT_EQ(state(), PS_FLOW_HALF_OPEN);
  world_.from_client(client(), kAck, kIsn + 5000001);
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
}

TEST_P(FlowLife, MovesOnASynWhenItsBackendTakesNoMoreClients) {
  only(0);
  EXPECT_EQ(backend_of(world_.from_client(client(), kSyn)), backend(0));
  world_.establish(client(2));
  world_.from_client(client(2), kRst);
  only(1);
  EXPECT_EQ(backend_of(world_.from_client(client(), kSyn)), backend(1));
  EXPECT_EQ(backend_of(world_.from_client(client(2), kSyn)), backend(1));
  EXPECT_EQ(flows().half_open, 2u);
  EXPECT_EQ(flows().closing, 0u);
}

TEST_P(FlowLife, StaysWithItsBackendWhenEstablished) {
  only(0);
  const Sent syn = world_.establish(client());
  only(1);
  EXPECT_EQ(backend_of(world_.from_client(client(), kAck, kIsn + 1)), backend(0));
  EXPECT_EQ(backend_of(world_.from_client(client(), kSyn)), backend(0));
  EXPECT_TRUE(world_.answer(syn.packet, kAck).forwarded());
  EXPECT_EQ(backend_of(world_.from_client(client(2), kSyn)), backend(1));
}

TEST_P(FlowLife, MovesOnASynWhenItsBackendIsDown) {
  only(0);
  world_.establish(client());
  world_.state.backends[backend(0)].down = true;
  only(1);
  EXPECT_EQ(backend_of(world_.from_client(client(), kAck, kIsn + 1)), backend(0));
  EXPECT_EQ(backend_of(world_.from_client(client(), kSyn)), backend(1));
  EXPECT_EQ(flows().half_open, 1u);
  EXPECT_EQ(flows().established, 0u);
}

TEST_P(FlowLife, TellsAClientOfABackendThatIsNotInTheTablesToComeAgain) {
  only(0);
  world_.establish(client());
  world_.from_client(client(2), kSyn);
  world_.state.backends.erase(backend(0));
  only(1);
  EXPECT_EQ(world_.from_client(client(), kAck, kIsn + 1).verdict.reason, PS_REASON_backend_gone);
  EXPECT_EQ(backend_of(world_.from_client(client(2), kSyn)), backend(1));
}

TEST_P(FlowLife, IsRefusedWhenNoBackendTakesClients) {
  world_.publish(service(), {});
  const Sent syn = world_.from_client(client(), kSyn);
  EXPECT_EQ(syn.verdict.action, PS_PASS);
  EXPECT_EQ(syn.verdict.reason, PS_REASON_no_backend);
  EXPECT_EQ(state(), PS_FLOW_FREE);
}

TEST_P(FlowLife, WaitsForAnUnresolvedBackend) {
  only(0);
  world_.state.backends[backend(0)].next_hop.reset();
  world_.publish();
  EXPECT_EQ(world_.from_client(client(), kSyn).verdict.reason, PS_REASON_backend_unresolved);
  EXPECT_EQ(state(), PS_FLOW_FREE);
}

TEST_P(FlowLife, IsNotOpenedAmidAConnection) {
  for (const int flags : {kAck + 0, kSyn | kAck, kFin | kAck, kRst + 0, kSyn | kFin}) {
    const Sent sent = world_.from_client(client(), static_cast<uint8_t>(flags));
    EXPECT_EQ(sent.verdict.reason, PS_REASON_no_flow) << flags;
  }
  EXPECT_EQ(flows().half_open, 0u);
}

TEST_P(FlowLife, FollowsTheClientsMacWithinTwoSeconds) {
  const Sent syn = world_.establish(client());
  const MacAddress before = world_.header.from;
  world_.header.from = {{2, 0, 0, 0, 0, 2}};
  EXPECT_EQ(world_.answer(syn.packet, kAck).packet.to, before);
  world_.wait_ticks(PS_INDEX_STEADY_TICKS);
  world_.from_client(client(), kAck, kIsn + 1);
  EXPECT_EQ(world_.answer(syn.packet, kAck).packet.to, world_.header.from);
}

TEST_P(FlowLife, FollowsTheClientsMacWhenItOpensAgain) {
  world_.from_client(client(), kSyn);
  world_.header.from = {{2, 0, 0, 0, 0, 2}};
  const Sent again = world_.from_client(client(), kSyn);
  EXPECT_EQ(world_.answer(again.packet, kSyn | kAck, kIsn).packet.to, world_.header.from);
  world_.from_client(client(), kRst);
  world_.header.from = {{2, 0, 0, 0, 0, 3}};
  const Sent anew = world_.from_client(client(), kSyn);
  EXPECT_EQ(world_.answer(anew.packet, kSyn | kAck, kIsn).packet.to, world_.header.from);
}

TEST_P(FlowLife, EndsWhenItIsSilentForItsTimeout) {
  world_.from_client(client(), kSyn);
  wait_seconds(9);
  EXPECT_EQ(state(), PS_FLOW_HALF_OPEN);
  wait_seconds(2);
  EXPECT_EQ(state(), PS_FLOW_FREE);

  const Sent syn = world_.establish(client(2));
  wait_seconds(7000 * 9 / 10);
  EXPECT_EQ(state(2), PS_FLOW_ESTABLISHED);
  EXPECT_TRUE(world_.answer(syn.packet, kAck).forwarded());
  wait_seconds(7000 * 9 / 10);
  EXPECT_EQ(state(2), PS_FLOW_ESTABLISHED);
  wait_seconds(1000);
  EXPECT_EQ(state(2), PS_FLOW_FREE);
  EXPECT_EQ(world_.answer(syn.packet, kAck).verdict.reason, PS_REASON_no_flow);
}

TEST_P(FlowLife, IsNotConfusedByAClockThatIsATickAhead) {
  world_.establish(client());
  world_.now_ticks -= 1;
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
  EXPECT_TRUE(world_.from_client(client(), kAck, kIsn + 1).forwarded());
}

TEST_P(FlowLife, OutlivesTheClocksWrap) {
  world_.now_ticks = 0xfffffffe;
  const Sent syn = world_.establish(client());
  world_.wait_ticks(5);
  EXPECT_EQ(state(), PS_FLOW_ESTABLISHED);
  EXPECT_TRUE(world_.answer(syn.packet, kAck).forwarded());
}

TEST_P(FlowLife, AnAnswerFromAnotherAddressOrPortIsNotIts) {
  const Sent syn = world_.establish(client());
  Packet stranger = syn.packet;
  stranger.destination.port ^= 1;
  EXPECT_EQ(world_.answer(stranger, kAck).verdict.reason, PS_REASON_no_flow);
  stranger = syn.packet;
  stranger.destination.address.bytes[3] ^= 1;
  EXPECT_EQ(world_.answer(stranger, kAck).verdict.reason, PS_REASON_no_flow);
  stranger = syn.packet;
  stranger.protocol = Protocol::kUdp;
  EXPECT_EQ(world_.answer(stranger, 0).verdict.reason, PS_REASON_no_flow);
}

TEST_P(FlowLife, OverUdpIsEstablishedOnceTheClientGoesOnAfterAnAnswer) {
  const Sent query = world_.datagram(client());
  world_.datagram(client());
  EXPECT_EQ(udp_state(), PS_FLOW_HALF_OPEN);
  world_.answer(query.packet);
  EXPECT_EQ(udp_state(), PS_FLOW_HALF_OPEN);
  EXPECT_EQ(world_.datagram(client()).packet.source, query.packet.source);
  EXPECT_EQ(udp_state(), PS_FLOW_ESTABLISHED);
}

TEST_P(FlowLife, OverUdpLeavesABackendThatIsDown) {
  only(0, Protocol::kUdp);
  EXPECT_EQ(backend_of(world_.datagram(client()), Protocol::kUdp), backend(0, Protocol::kUdp));
  only(1, Protocol::kUdp);
  EXPECT_EQ(backend_of(world_.datagram(client()), Protocol::kUdp), backend(0, Protocol::kUdp));
  world_.state.backends[backend(0, Protocol::kUdp)].down = true;
  world_.publish();
  EXPECT_EQ(backend_of(world_.datagram(client()), Protocol::kUdp), backend(1, Protocol::kUdp));
}

// The policy "last_known" keeps dealing clients to backends that are all down.
TEST_P(FlowLife, OverUdpStaysWithABackendThatIsDownButStillChosen) {
  only(0, Protocol::kUdp);
  world_.state.backends[backend(0, Protocol::kUdp)].down = true;
  world_.publish();
  const Sent query = world_.datagram(client());
  world_.answer(query.packet);
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(world_.datagram(client()).packet.source, query.packet.source);
  }
  EXPECT_EQ(udp_state(), PS_FLOW_ESTABLISHED);
  const auto counters = read_counters(world_.tables());
  EXPECT_EQ(counters.services.at(service(Protocol::kUdp)).new_flows, 1u);
  wait_seconds(100);  // over TCP's half-open timeout, below UDP's
  EXPECT_EQ(udp_state(), PS_FLOW_ESTABLISHED);
}

}  // namespace
}  // namespace penstock
