// SPDX-License-Identifier: Apache-2.0
// The flow index: that every living flow is found from its client's side, and when a packet goes on
// without a look at the flow.
#include <gtest/gtest.h>

#include "core_world.h"
#include "dataplane/tables/reader.h"

namespace penstock {
namespace {

constexpr uint32_t kIsn = CoreWorld::kHandshakeIsn;
constexpr uint32_t kEpochTicks = 1u << 15;  // 7,000 s of an established flow's timeout, and more

class FlowIndex : public ::testing::TestWithParam<Family> {
 protected:
  Endpoint client(uint32_t number = 1) const { return CoreWorld::client(GetParam(), number); }
  bool goes_on(const CoreWorld& world, uint32_t number = 1) const {
    return world.from_client(client(number), kAck, kIsn + 1).forwarded();
  }

  uint32_t spilled_sets(const CoreWorld& world) const {
    const ps_tables& tables = world.tables();
    const ps_settings* settings = ps_settings_at(&tables, tables.control->generation & 1);
    uint32_t spilled = 0;
    for (uint32_t set = 0; set < tables.index_sets; set++) {
      const ps_index_entry* first = GetParam() == Family::kIpv4
                                        ? &tables.flow_index4[set].way[0]
                                        : &tables.flow_index6[set].way[0].entry;
      spilled += ps_index_has_spilled(settings, first, world.now_ticks) != 0;
    }
    return spilled;
  }

  // The client's flow, emptied behind the index's back.
  void free_flows(const CoreWorld& world) const {
    const ps_tables& tables = world.tables();
    for (uint32_t set = 0; set < tables.flow_sets; set++) {
      for (ps_flow& flow : tables.flows4[set].way) flow.word = 0;
      for (ps_flow6& flow : tables.flows6[set].way) flow.flow.word = 0;
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Families, FlowIndex, ::testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& parameter) {
                           return std::string(to_string(parameter.param));
                         });

TEST_P(FlowIndex, FindsFlowsThatWentToTheNextSetForAsLongAsTheyLive) {
  constexpr uint32_t kFlows = 900;
  CoreWorld world({.flow_table_entries = 1024});
  for (uint32_t n = 0; n < kFlows; n++) ASSERT_TRUE(world.establish(client(n)).forwarded());
  EXPECT_GT(spilled_sets(world), 20u);
  for (int round = 0; round < 10; round++) {
    world.wait_ticks(kEpochTicks * 3 / 4);
    for (uint32_t n = 0; n < kFlows; n++) ASSERT_TRUE(goes_on(world, n)) << round << " " << n;
  }
}

TEST_P(FlowIndex, ForgetsThatASetWasFull) {
  CoreWorld world({.flow_table_entries = 1024});
  for (uint32_t n = 0; n < 900; n++) world.establish(client(n));
  const uint32_t spilled = spilled_sets(world);
  EXPECT_GT(spilled, 20u);
  world.wait_ticks(kEpochTicks);
  EXPECT_EQ(spilled_sets(world), spilled);
  world.wait_ticks(kEpochTicks);
  EXPECT_EQ(spilled_sets(world), 0u);
}

TEST_P(FlowIndex, ToleratesAClockThatIsATickBehindAtTheEndOfAnEpoch) {
  CoreWorld world({.flow_table_entries = 1024});
  world.now_ticks = 10 * kEpochTicks;
  for (uint32_t n = 0; n < 900; n++) world.establish(client(n));
  const uint32_t spilled = spilled_sets(world);
  world.now_ticks--;
  EXPECT_EQ(spilled_sets(world), spilled);
}

// Three sets of four: flows of both services stand beside each other.
TEST_P(FlowIndex, TellsTheServicesApartThatAClientUsesFromOnePort) {
  CoreWorld world({.flow_table_entries = 8});
  for (uint32_t n = 0; n < 4; n++) {
    const Sent syn = world.from_client(client(n), kSyn);
    const Sent query = world.datagram(client(n));
    ASSERT_TRUE(syn.forwarded() && query.forwarded());
    for (int i = 0; i < 3; i++) {
      EXPECT_EQ(world.from_client(client(n), kSyn).packet.source, syn.packet.source);
      EXPECT_EQ(world.datagram(client(n)).packet.source, query.packet.source);
    }
  }
}

TEST_P(FlowIndex, SendsAnEstablishedFlowOnForTwoSecondsWithoutALookAtIt) {
  CoreWorld world;
  const Sent syn = world.establish(client());
  free_flows(world);
  world.wait_ticks(PS_INDEX_STEADY_TICKS - 1);
  const Sent sent = world.from_client(client(), kAck, kIsn + 1);
  ASSERT_TRUE(sent.forwarded());
  EXPECT_EQ(sent.packet.source, syn.packet.source);
  EXPECT_EQ(sent.packet.destination, syn.packet.destination);
  EXPECT_TRUE(sent.checksums_hold);
  world.wait_ticks(1);
  EXPECT_EQ(world.from_client(client(), kAck, kIsn + 1).verdict.reason, PS_REASON_no_flow);
}

TEST_P(FlowIndex, LooksAtTheFlowForEveryPacketThatMayChangeIt) {
  for (const int flags : {kFin | kAck, kRst + 0, kRst | kAck}) {
    CoreWorld world;
    world.establish(client());
    free_flows(world);
    const Sent sent = world.from_client(client(), static_cast<uint8_t>(flags), kIsn + 1);
    EXPECT_EQ(sent.verdict.reason, PS_REASON_no_flow) << flags;
  }
}

TEST_P(FlowIndex, LooksAtAHalfOpenFlowForEveryPacket) {
  CoreWorld world;
  world.from_client(client(), kSyn);
  free_flows(world);
  EXPECT_EQ(world.from_client(client(), kAck, kIsn + 1).verdict.reason, PS_REASON_no_flow);
}

TEST_P(FlowIndex, SendsNothingToABackendThatIsNotResolvedAnyMore) {
  CoreWorld world;
  const ServiceId service = CoreWorld::service_id(GetParam());
  world.publish(service, {backend_id(service, 0)});
  world.establish(client());
  world.state.backends[backend_id(service, 0)].next_hop.reset();
  world.publish();
  EXPECT_EQ(world.from_client(client(), kAck, kIsn + 1).verdict.reason,
            PS_REASON_backend_unresolved);
}

TEST_P(FlowIndex, LetsAnEstablishedUdpFlowLeaveABackendThatIsDownAtOnce) {
  CoreWorld world;
  const ServiceId service = CoreWorld::service_id(GetParam(), Protocol::kUdp);
  world.publish(service, {backend_id(service, 0)});
  const Sent query = world.datagram(client());
  world.answer(query.packet);
  EXPECT_EQ(world.datagram(client()).packet.destination, query.packet.destination);
  EXPECT_EQ(world.state_of(client(), Protocol::kUdp), PS_FLOW_ESTABLISHED);
  world.state.backends[backend_id(service, 0)].down = true;
  world.publish(service, {backend_id(service, 1)});
  EXPECT_NE(world.datagram(client()).packet.destination, query.packet.destination);
}

TEST_P(FlowIndex, AnUnknownClientOfAnIndexedPortIsAStranger) {
  CoreWorld world;
  world.establish(client());
  Endpoint stranger = client();
  stranger.address.bytes[3] ^= 1;
  EXPECT_EQ(world.from_client(stranger, kAck, kIsn + 1).verdict.reason, PS_REASON_no_flow);
  stranger = client();
  stranger.port ^= 1;
  EXPECT_EQ(world.from_client(stranger, kAck, kIsn + 1).verdict.reason, PS_REASON_no_flow);
}

}  // namespace
}  // namespace penstock
