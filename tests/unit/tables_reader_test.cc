// SPDX-License-Identifier: Apache-2.0
// What the tables tell, against what was sent.
#include "dataplane/tables/reader.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "core_world.h"

namespace penstock {
namespace {

class TableReading : public ::testing::TestWithParam<Family> {
 protected:
  Endpoint client(uint32_t number) const { return CoreWorld::client(GetParam(), number); }
  ServiceId tcp() const { return CoreWorld::service_id(GetParam()); }
  ServiceId udp() const { return CoreWorld::service_id(GetParam(), Protocol::kUdp); }

  CoreWorld world_{{.workers = 3}};
};

INSTANTIATE_TEST_SUITE_P(Families, TableReading, ::testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& parameter) {
                           return std::string(to_string(parameter.param));
                         });

TEST_P(TableReading, SumsCountersOverWorkers) {
  world_.publish(tcp(), {backend_id(tcp(), 2)});
  Packet packet = world_.header;
  packet.destination = CoreWorld::vip(GetParam());
  packet.tcp_flags = kSyn;
  const uint64_t ip_bytes = (GetParam() == Family::kIpv4 ? 20 : 40) + 20 + 8;
  for (uint32_t n = 0; n < 30; n++) {
    packet.source = client(n);
    ASSERT_TRUE(world_.send(packet, n % 3).forwarded());
  }
  const Sent syn = world_.from_client(client(0), kSyn);
  for (int n = 0; n < 5; n++) world_.answer(syn.packet, kSyn | kAck);

  const CounterSnapshot counters = read_counters(world_.tables());
  const TrafficCounters& service = counters.services.at(tcp());
  const TrafficCounters& backend = counters.backends.at(backend_id(tcp(), 2));
  for (const TrafficCounters* each : {&service, &backend}) {
    EXPECT_EQ(each->packets_to_backend, 31u);
    EXPECT_EQ(each->bytes_to_backend, 31 * ip_bytes);
    EXPECT_EQ(each->packets_to_client, 5u);
    EXPECT_EQ(each->bytes_to_client, 5 * ip_bytes);
    EXPECT_EQ(each->new_flows, 30u);
  }
  EXPECT_EQ(counters.services.size(), 1u);
  EXPECT_EQ(counters.backends.size(), 1u);
}

TEST_P(TableReading, TellsWhatWasPassedAndAnsweredByReason) {
  world_.from_client(client(1), kAck);
  Packet packet = world_.header;
  packet.source = client(1);
  packet.destination = CoreWorld::vip(GetParam());
  packet.tcp_flags = kSyn;
  packet.hops = 1;
  world_.send(packet, 1);
  world_.send(packet, 2);
  packet.destination.port = 81;
  world_.send(packet, 2);
  const CounterSnapshot counters = read_counters(world_.tables());
  const std::map<ServiceId, std::map<std::string, uint64_t>> answered{
      {tcp(), {{"ttl_expired", 2}}}};
  const std::map<ServiceId, std::map<std::string, uint64_t>> passed{{0, {{"not_ours", 1}}},
                                                                    {tcp(), {{"no_flow", 1}}}};
  EXPECT_EQ(counters.answered, answered);
  EXPECT_TRUE(counters.dropped.empty());
  EXPECT_EQ(counters.passed, passed);
  EXPECT_TRUE(counters.services.empty());
}

TEST_P(TableReading, CountsFlowsByState) {
  for (uint32_t n = 0; n < 60; n++) world_.from_client(client(n), kSyn);
  for (uint32_t n = 100; n < 130; n++) world_.establish(client(n));
  for (uint32_t n = 200; n < 210; n++) {
    world_.establish(client(n));
    world_.from_client(client(n), kRst);
  }
  for (uint32_t n = 0; n < 7; n++) world_.datagram(client(n));

  FlowSnapshot snapshot = read_flows(world_.tables(), world_.now_ticks);
  EXPECT_EQ(snapshot.services[tcp()].half_open, 60u);
  EXPECT_EQ(snapshot.services[tcp()].established, 30u);
  EXPECT_EQ(snapshot.services[tcp()].closing, 10u);
  EXPECT_EQ(snapshot.services[udp()].half_open, 7u);
  EXPECT_EQ(snapshot.services.size(), 2u);
  FlowCounts sum;
  for (const auto& [id, counts] : snapshot.backends) {
    sum.half_open += counts.half_open;
    sum.established += counts.established;
    sum.closing += counts.closing;
  }
  EXPECT_EQ(sum.half_open, 67u);
  EXPECT_EQ(sum.established, 30u);
  EXPECT_EQ(sum.closing, 10u);
  EXPECT_EQ(snapshot.capacity, 2u * 16384);

  world_.wait_ticks(60 * 4);  // half-open and closing flows are over
  snapshot = read_flows(world_.tables(), world_.now_ticks);
  EXPECT_EQ(snapshot.services[tcp()].half_open, 0u);
  EXPECT_EQ(snapshot.services[tcp()].established, 30u);
  EXPECT_EQ(snapshot.services[tcp()].closing, 0u);
}

TEST_P(TableReading, ExplainsWhereARandomClientReallyGoes) {
  std::mt19937 random(3);
  for (int round = 0; round < 1000; round++) {
    Endpoint each = client(0);
    for (size_t i = 0; i < (GetParam() == Family::kIpv4 ? 4 : 16); i++) {
      each.address.bytes[i] = static_cast<uint8_t>(random());
    }
    const Explanation explained = explain_client(world_.tables(), tcp(), each, world_.now_ticks);
    const Sent sent = world_.from_client(each, kSyn);
    ASSERT_TRUE(sent.forwarded());
    ASSERT_EQ(sent.packet.destination, world_.state.backends.at(explained.backend).endpoint);
    ASSERT_LT(explained.slot, kLookupTableSlots);
  }
}

TEST_P(TableReading, ExplainsAFlowByItsPortWhereThePortIsHashed) {
  world_.state.services[tcp()].hashes_port = true;
  world_.publish();
  std::set<BackendId> met;
  for (uint16_t port = 40000; port < 40100; port++) {
    Endpoint each = client(1);
    each.port = port;
    const Explanation explained = explain_client(world_.tables(), tcp(), each, world_.now_ticks);
    const Sent sent = world_.from_client(each, kSyn);
    ASSERT_TRUE(sent.forwarded());
    ASSERT_EQ(sent.packet.destination, world_.state.backends.at(explained.backend).endpoint);
    met.insert(explained.backend);
  }
  EXPECT_GT(met.size(), 1u);
}

TEST_P(TableReading, ExplainsClientsOfOnePrefixAlike) {
  world_.state.services[tcp()].client_prefix_bits = GetParam() == Family::kIpv4 ? 24 : 64;
  world_.publish();
  const Explanation first = explain_client(world_.tables(), tcp(), client(1), world_.now_ticks);
  const Explanation same = explain_client(world_.tables(), tcp(), client(250), world_.now_ticks);
  EXPECT_EQ(first.client_hash, same.client_hash);
  EXPECT_EQ(first.backend, same.backend);
  IpAddress outside = client(1).address;
  outside.bytes[GetParam() == Family::kIpv4 ? 2 : 7] ^= 1;
  EXPECT_NE(explain_client(world_.tables(), tcp(), {outside, 0}, world_.now_ticks).client_hash,
            first.client_hash);
}

TEST_P(TableReading, ExplainsNothingOfWhatIsNotThere) {
  const Family other = GetParam() == Family::kIpv4 ? Family::kIpv6 : Family::kIpv4;
  EXPECT_EQ(explain_client(world_.tables(), 7, client(1), world_.now_ticks).backend, 0);
  EXPECT_EQ(explain_client(world_.tables(), 60000, client(1), world_.now_ticks).backend, 0);
  EXPECT_EQ(
      explain_client(world_.tables(), tcp(), CoreWorld::client(other, 1), world_.now_ticks).backend,
      0);
  world_.publish(tcp(), {});
  EXPECT_EQ(explain_client(world_.tables(), tcp(), client(1), world_.now_ticks).backend, 0);
}

}  // namespace
}  // namespace penstock
