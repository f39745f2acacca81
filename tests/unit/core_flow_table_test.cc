// SPDX-License-Identifier: Apache-2.0
// The flow table as a whole: who gives way to whom, how full it gets, and how far a port pool
// reaches.
#include <gtest/gtest.h>

#include <set>

#include "core_world.h"
#include "dataplane/tables/reader.h"

namespace penstock {
namespace {

constexpr uint32_t kOneSecond = 4;  // ticks, rounded up

class FlowTable : public ::testing::TestWithParam<std::tuple<Family, uint32_t>> {
 protected:
  Family family() const { return std::get<0>(GetParam()); }
  uint32_t entries() const { return std::get<1>(GetParam()); }
  Endpoint client(uint32_t number) const { return CoreWorld::client(family(), number); }
  ServiceId service() const { return CoreWorld::service_id(family()); }
};

std::string name_of(const ::testing::TestParamInfo<std::tuple<Family, uint32_t>>& parameter) {
  return std::string(to_string(std::get<0>(parameter.param))) + "With" +
         std::to_string(std::get<1>(parameter.param)) + "Entries";
}

INSTANTIATE_TEST_SUITE_P(Sizes, FlowTable,
                         ::testing::Combine(::testing::Values(Family::kIpv4, Family::kIpv6),
                                            ::testing::Values(1024u, 16384u)),
                         name_of);

uint64_t established(const CoreWorld& world, ServiceId service) {
  return read_flows(world.tables(), world.now_ticks).services[service].established;
}

// Spread over 40 seconds, so that newcomers fill every place again and again.
TEST_P(FlowTable, HalfOpenNeverEvictsEstablished) {
  CoreWorld world({.flow_table_entries = entries()});
  const uint32_t live = entries() * 9 / 10;
  std::vector<Sent> syns;
  for (uint32_t n = 0; n < live; n++) {
    syns.push_back(world.establish(client(n)));
    ASSERT_TRUE(syns.back().forwarded());
  }
  uint64_t taken = 0;
  for (uint32_t n = 0; n < 10 * entries(); n++) {
    taken += world.from_client(client(1000000 + n), kSyn).forwarded();
    if (n % (entries() / 16) == 0) world.wait_ticks(1);
  }
  EXPECT_GT(taken, entries());
  EXPECT_EQ(established(world, service()), live);
  for (uint32_t n = 0; n < live; n++) {
    const Sent onward = world.from_client(client(n), kAck, CoreWorld::kHandshakeIsn + 1);
    ASSERT_TRUE(onward.forwarded());
    ASSERT_EQ(onward.packet.source, syns[n].packet.source);
    ASSERT_EQ(onward.packet.destination, syns[n].packet.destination);
    const Sent back = world.answer(syns[n].packet, kAck);
    ASSERT_TRUE(back.forwarded());
    ASSERT_EQ(back.packet.destination, client(n));
  }
}

TEST_P(FlowTable, TakesNearlyAsManyFlowsAsItHasEntriesThenRefuses) {
  CoreWorld world({.flow_table_entries = entries(), .port_first = 1024, .port_last = 65535});
  uint32_t count = 0;
  Sent last = world.establish(client(count));
  while (last.forwarded()) last = world.establish(client(++count));
  EXPECT_EQ(last.verdict.reason, PS_REASON_flow_table_full);
  EXPECT_EQ(last.verdict.action, PS_DROP);
  EXPECT_GE(count, entries() * 95 / 100);
  EXPECT_EQ(established(world, service()), count);
  uint32_t refused = 0;
  for (uint32_t n = count + 1; n <= entries(); n++)
    refused += !world.establish(client(n)).forwarded();
  const auto counters = read_counters(world.tables());
  EXPECT_EQ(counters.dropped.at(service()).at("flow_table_full"), refused + 1);
  std::printf("first refusal after %u flows, %u refused of %u\n", count, refused + 1, entries());
}

TEST_P(FlowTable, UsesThePlacesOfFlowsThatAreOver) {
  CoreWorld world({.flow_table_entries = entries()});
  for (int round = 0; round < 5; round++) {
    for (uint32_t n = 0; n < entries() * 9 / 10; n++) {
      const uint32_t number = static_cast<uint32_t>(round) * 100000 + n;
      const Sent sent = world.establish(client(number));
      ASSERT_TRUE(sent.forwarded()) << sent.verdict.reason << " in round " << round << " at " << n;
    }
    world.wait_ticks(2 * 3600 * kOneSecond);
    EXPECT_EQ(established(world, service()), 0u);
  }
}

TEST_P(FlowTable, HalfOpenAndClosingFlowsGiveWayAfterTwoSecondsAndNotBefore) {
  CoreWorld world({.flow_table_entries = entries(), .port_first = 1024, .port_last = 65535});
  const auto fill = [&](uint32_t from) {
    uint32_t taken = 0;
    for (uint32_t n = 0; n < 2 * entries(); n++) {
      const Sent sent = world.from_client(client(from + n), kSyn);
      taken += sent.forwarded();
      if (n % 2) world.from_client(client(from + n), kRst);
    }
    return taken;
  };
  const uint32_t first = fill(0);
  EXPECT_GE(first, entries());
  world.wait_ticks(PS_EVICTABLE_TICKS - 1);
  const uint32_t too_early = fill(1000000);
  EXPECT_LE(too_early, entries() * 5 / 4 - first);  // what was free is taken, nothing else
  world.wait_ticks(1);
  EXPECT_GE(fill(2000000), entries());
}

class PortPool : public ::testing::TestWithParam<Family> {
 protected:
  Endpoint client(uint32_t number) const { return CoreWorld::client(GetParam(), number); }
};

INSTANTIATE_TEST_SUITE_P(Families, PortPool, ::testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& parameter) {
                           return std::string(to_string(parameter.param));
                         });

TEST_P(PortPool, IsUsedNearlyWholeTowardsOneBackendThenRefuses) {
  for (const uint16_t ports : {uint16_t{100}, uint16_t{1000}, uint16_t{12768}}) {
    const auto last = static_cast<uint16_t>(20000 + ports - 1);
    CoreWorld world({.flow_table_entries = 65536, .backends = 1, .port_last = last});
    std::set<uint16_t> used;
    uint32_t first_refusal = 0;
    for (uint32_t n = 0; n < 3u * ports; n++) {
      const Sent sent = world.establish(client(n));
      if (!sent.forwarded()) {
        ASSERT_EQ(sent.verdict.reason, PS_REASON_snat_ports_exhausted);
        if (!first_refusal) first_refusal = n;
        continue;
      }
      ASSERT_GE(sent.packet.source.port, 20000);
      ASSERT_LE(sent.packet.source.port, last);
      ASSERT_TRUE(used.insert(sent.packet.source.port).second) << sent.packet.source.port;
    }
    EXPECT_GE(used.size(), ports * 95u / 100);
    ASSERT_GT(first_refusal, 0u);
    std::printf("%u ports: %zu used, first refusal at %u\n", ports, used.size(), first_refusal);
  }
}

TEST_P(PortPool, IsUsedAnewTowardsEveryBackendAndFromEveryAddress) {
  CoreWorld world({.flow_table_entries = 16384, .port_last = 20099});
  world.state.settings.snat_addresses.push_back(*IpAddress::parse("10.0.0.253"));
  world.state.settings.snat_addresses.push_back(*IpAddress::parse("2001:db8:10::fd"));
  world.publish();
  std::set<std::pair<Endpoint, Endpoint>> tuples;
  for (uint32_t n = 0; n < 4000; n++) {
    const Sent sent = world.establish(client(n));
    if (!sent.forwarded()) continue;
    ASSERT_TRUE(tuples.emplace(sent.packet.source, sent.packet.destination).second);
  }
  EXPECT_GE(tuples.size(), 4u * 2 * 100 * 95 / 100);
  EXPECT_LE(tuples.size(), 4u * 2 * 100);
}

TEST_P(PortPool, WithoutAnAddressOfTheFamilySaysSo) {
  CoreWorld world;
  auto& addresses = world.state.settings.snat_addresses;
  std::erase_if(addresses, [](const IpAddress& address) { return address.family == GetParam(); });
  world.publish();
  EXPECT_EQ(world.from_client(client(1), kSyn).verdict.reason, PS_REASON_no_snat_address);
}

TEST(FlowPlace, CountsItsUsesWhenItIsTakenAgain) {
  CoreWorld world({.flow_table_entries = 16});
  const auto total_uses = [&] {
    uint64_t uses = 0;
    for (uint32_t set = 0; set < world.tables().flow_sets; set++) {
      for (const ps_flow& flow : world.tables().flows4[set].way) uses += flow.word >> 56;
    }
    return uses;
  };
  for (uint32_t n = 0; n < 100; n++) {
    ASSERT_TRUE(world.from_client(CoreWorld::client(Family::kIpv4, n), kSyn).forwarded());
    EXPECT_EQ(total_uses(), n + 1);
    world.wait_ticks(PS_EVICTABLE_TICKS);
  }
}

}  // namespace
}  // namespace penstock
