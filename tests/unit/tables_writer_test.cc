// SPDX-License-Identifier: Apache-2.0
// Applying a state to the tables and reading it back.
#include "dataplane/tables/writer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core_world.h"
#include "dataplane/tables/convert.h"
#include "dataplane/tables/layout.h"

namespace penstock {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TableSizes kSizes{1024, 8, 32, 2, 64, 32};

class TableWriting : public ::testing::Test {
 protected:
  // Both families and protocols, a backend without a next hop and one that is down, and prefixes
  // that hash less.
  ForwardingState full_state() const {
    ForwardingState state;
    state.settings.hash_key = {0x1122334455667788, 0x99aabbccddeeff00};
    state.settings.snat_addresses = {*IpAddress::parse("10.0.0.254"),
                                     *IpAddress::parse("10.0.0.253"),
                                     *IpAddress::parse("2001:db8::fe")};
    state.settings.tunnel_sources = {*IpPrefix::parse("198.51.100.0/22"),
                                     *IpPrefix::parse("2001:db8:99::/60")};
    state.settings.own_addresses = {*IpAddress::parse("10.0.0.254"),
                                    *IpAddress::parse("2001:db8::fe")};
    const MacAddress router{{2, 0, 0, 0, 0xcc, 0xdd}};
    state.settings.gateways = {{Family::kIpv4, {own_[1].index, router, own_[1].tags}},
                               {Family::kIpv6, {own_[0].index, router, own_[0].tags}}};
    state.settings.snat_port_first = 20000;
    state.settings.snat_port_last = 32767;
    state.settings.tcp_half_open_timeout = seconds(10);
    state.settings.tcp_established_timeout = std::chrono::hours(48);
    state.settings.tcp_closing_timeout = milliseconds(1);
    state.settings.udp_half_open_timeout = seconds(3);
    state.settings.udp_established_timeout = milliseconds(179999);
    state.services[1] = {Protocol::kTcp, *Endpoint::parse("203.0.113.10:80"), 24, 0};
    state.services[2] = {Protocol::kUdp, *Endpoint::parse("203.0.113.10:80"), 0, 1, Mode::kDsr};
    state.services[7] = {Protocol::kTcp,
                         *Endpoint::parse("[2001:db8:113::10]:443"),
                         64,
                         1,
                         Mode::kTunnel,
                         false,
                         true};
    state.services[1].syn_cookies = true;
    state.services[7].clamps_mss = true;
    state.services[7].new_flows = {99'999, 500'000, 48};
    const NextHop hop{3, {{2, 0, 0, 0, 0, 0xfe}}, {{2, 0, 0, 0, 0xaa, 0xbb}}, 9000};
    state.services[3] = {Protocol::kTcp, *Endpoint::parse("203.0.113.10:81"), 32, 3, Mode::kDnat};
    state.backends[1] = {Protocol::kTcp, *Endpoint::parse("10.0.0.1:3000"), hop, false, 3, true};
    state.backends[5] = {Protocol::kUdp, *Endpoint::parse("10.0.0.1:3000"), std::nullopt, false};
    NextHop by_vlan = hop;
    by_vlan.tags = {{100, true}, {4094, false}};
    state.backends[31] = {Protocol::kTcp, *Endpoint::parse("[2001:db8::1]:65535"), by_vlan, true};
    return state;
  }

  Result<void> apply(const ForwardingState& state) { return writer_.apply({state, {}}, own_); }
  uint32_t number() const { return memory_.tables().control->generation; }
  uint32_t generation() const { return number() & 1; }

  // A device, and a VLAN on it.
  const std::vector<LocalInterface> own_{
      {CoreWorld::kInterface, {{2, 0, 0, 0, 0, 0xfe}}},
      {CoreWorld::kInterface, {{2, 0, 0, 0, 0, 0xfe}}, {{100, false}}}};
  AnonymousTables memory_{kSizes, 1};
  Result<void> waited_;
  int waits_ = 0;
  uint32_t generation_at_wait_ = 99;
  TableWriter writer_{memory_.tables(), [this] {
                        waits_++;
                        generation_at_wait_ = generation();
                        return waited_;
                      }};
};

// Timeouts are kept as ticks: never shortened, and the same once they have been read.
TEST_F(TableWriting, IsReadBackAsItWasApplied) {
  const ForwardingState applied = full_state();
  ASSERT_TRUE(apply(applied));
  const ForwardingState read = writer_.read();
  EXPECT_EQ(read.services, applied.services);
  EXPECT_EQ(read.backends, applied.backends);
  EXPECT_EQ(read.settings.hash_key, applied.settings.hash_key);
  EXPECT_EQ(read.settings.snat_addresses, applied.settings.snat_addresses);
  EXPECT_EQ(read.settings.tunnel_sources, applied.settings.tunnel_sources);
  EXPECT_EQ(read.settings.own_addresses, applied.settings.own_addresses);
  EXPECT_EQ(read.settings.gateways, applied.settings.gateways);
  EXPECT_EQ(read.settings.snat_port_first, applied.settings.snat_port_first);
  EXPECT_EQ(read.settings.snat_port_last, applied.settings.snat_port_last);

  ASSERT_TRUE(apply(read));
  EXPECT_EQ(writer_.read(), read);
}

TEST_F(TableWriting, HoldsAccessListsInEachGeneration) {
  ForwardingState state = full_state();
  state.services[1].access.deny = {*IpPrefix::parse("198.51.0.0/16")};
  ASSERT_TRUE(apply(state));
  state.services[1].access.deny = {};
  state.services[2].access.allow = {*IpPrefix::parse("198.51.0.0/16")};
  ASSERT_TRUE(apply(state));
  const auto answer = [&](uint32_t of, ServiceId id) {
    const ps_address client = to_wire(*IpAddress::parse("198.51.0.0"));
    return ps_ask_access(&memory_.tables(), ps_service_at(&memory_.tables(), of, id), &client);
  };
  EXPECT_EQ(answer(1, 1), PS_REASON_access_denied);
  EXPECT_EQ(answer(1, 2), PS_REASON_NONE);
  EXPECT_EQ(answer(0, 1), PS_REASON_NONE);
  EXPECT_EQ(answer(0, 2), PS_REASON_NONE);
  EXPECT_TRUE(writer_.read().services.at(2).access.empty());
}

TEST_F(TableWriting, RefusesAccessListsThatHaveNoRoomAndChangesNothing) {
  ForwardingState state = full_state();
  ASSERT_TRUE(apply(state));
  const uint32_t before = generation();
  for (uint8_t i = 0; i < 16; i++) {
    state.services[7].access.deny.push_back({{Family::kIpv6, {i, i, i, i, i, i}}, 48});
  }
  const auto applied = apply(state);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().kind, ErrorKind::kConflict);
  EXPECT_EQ(applied.error().message,
            "no room for the access lists of [2001:db8:113::10]:443: raise "
            "dataplane.access_nodes above 32");
  EXPECT_EQ(generation(), before);
}

TEST_F(TableWriting, HoldsAnInterfaceByItsDeviceAndTags) {
  const MacAddress mac{{2, 0, 0, 0, 0, 0xfe}};
  ASSERT_TRUE(
      writer_.apply({full_state(), {}},
                    {{3, mac, {}}, {3, mac, {{100, false}}}, {3, mac, {{100, true}, {7, false}}}}));
  const ps_interface* interfaces = ps_settings_at(&memory_.tables(), generation())->interfaces;
  EXPECT_EQ(interfaces[0].tags, 0u);
  EXPECT_EQ(interfaces[1].tags, 100u);
  EXPECT_EQ(interfaces[2].tags, 100u | PS_TAG_IS_SERVICE | 7u << 16);
  EXPECT_EQ(interfaces[2].index, 3u);
}

TEST_F(TableWriting, KeepsTimeoutsToTheTick) {
  const ForwardingSettings applied = full_state().settings;
  ASSERT_TRUE(apply(full_state()));
  const ForwardingSettings read = writer_.read().settings;
  const auto near = [](milliseconds written, milliseconds found) {
    const auto tick = milliseconds((1 << PS_TICK_SHIFT) / 1000000 + 1);
    EXPECT_LT(found - written, tick);
    EXPECT_LE(written - found, milliseconds(1));
  };
  near(applied.tcp_half_open_timeout, read.tcp_half_open_timeout);
  near(applied.tcp_established_timeout, read.tcp_established_timeout);
  near(applied.tcp_closing_timeout, read.tcp_closing_timeout);
  near(applied.udp_half_open_timeout, read.udp_half_open_timeout);
  near(applied.udp_established_timeout, read.udp_established_timeout);
}

TEST_F(TableWriting, OfNewTablesReadsNothing) {
  EXPECT_EQ(writer_.read(), ForwardingState{});
}

TEST_F(TableWriting, WaitsThenPublishesTheOtherGeneration) {
  for (uint32_t round = 1; round <= 4; round++) {
    ASSERT_TRUE(apply(full_state()));
    EXPECT_EQ(number(), round);
    EXPECT_EQ(generation_at_wait_, (round - 1) % 2);
    EXPECT_EQ(waits_, static_cast<int>(round));
  }
}

TEST_F(TableWriting, LeavesNothingOfTheStateBeforeLast) {
  ASSERT_TRUE(apply(full_state()));
  ASSERT_TRUE(apply(full_state()));
  ForwardingState one = full_state();
  one.services.erase(2);
  one.backends.erase(5);
  one.backends[31].next_hop.reset();
  ASSERT_TRUE(apply(one));
  EXPECT_EQ(writer_.read().services, one.services);
  EXPECT_EQ(writer_.read().backends, one.backends);
  const ps_address vip = to_wire(*IpAddress::parse("203.0.113.10"));
  EXPECT_EQ(ps_find_service(&memory_.tables(), generation(), PS_IPV4, &vip, ps_wire16(80), PS_UDP),
            0);
  EXPECT_EQ(ps_find_service(&memory_.tables(), generation(), PS_IPV4, &vip, ps_wire16(80), PS_TCP),
            1);
}

TEST_F(TableWriting, ChangesNothingWhenReadersCannotBeWaitedFor) {
  ASSERT_TRUE(apply(full_state()));
  const ForwardingState before = writer_.read();
  waited_ = fail(ErrorKind::kSystem, "no");
  EXPECT_FALSE(apply(ForwardingState{.settings = before.settings}));
  EXPECT_EQ(writer_.read(), before);
  EXPECT_EQ(generation(), 1u);
}

TEST_F(TableWriting, OfWhatDoesNotFitChangesNothing) {
  ASSERT_TRUE(apply(full_state()));
  const ForwardingState before = writer_.read();
  const auto expect_refused = [&](const Delta& delta) {
    const auto applied = writer_.apply(delta, kInterfaces);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().kind, ErrorKind::kInvalid);
    EXPECT_EQ(writer_.read(), before);
    EXPECT_EQ(generation(), 1u);
    EXPECT_EQ(waits_, 1);
  };
  Delta delta{.next = full_state()};
  delta.next.services[8] = delta.next.services[1];
  expect_refused(delta);
  delta.next = full_state();
  delta.next.backends[32] = delta.next.backends[1];
  expect_refused(delta);
  delta.next = full_state();
  delta.lookup_tables[1] = LookupTable(kLookupTableSlots - 1, 1);
  expect_refused(delta);
  delta.lookup_tables.clear();
  delta.lookup_tables[18] = LookupTable(kLookupTableSlots, 1);  // behind the last
  expect_refused(delta);
  delta.lookup_tables.clear();
  for (int i = 0; i < PS_MAX_SNAT_ADDRESSES + 1; i++) {
    delta.next.settings.snat_addresses.push_back(*IpAddress::parse(fmt::format("10.0.1.{}", i)));
  }
  expect_refused(delta);
  std::swap(delta.next.settings.snat_addresses, delta.next.settings.own_addresses);
  expect_refused(delta);
}

TEST_F(TableWriting, PutsALookupTableWhereItsServiceLooks) {
  ForwardingState state = full_state();
  Delta delta{.next = state};
  delta.lookup_tables[own_lookup_table(1, 0)] = LookupTable(kLookupTableSlots, 1);
  delta.lookup_tables[own_lookup_table(7, 1)] = LookupTable(kLookupTableSlots, 31);
  ASSERT_TRUE(writer_.apply(delta, kInterfaces));
  const ps_tables& tables = memory_.tables();
  const uint32_t last = kLookupTableSlots - 1;
  EXPECT_EQ(ps_lookup_table_at(&tables, 2)->slots[last], 1);
  EXPECT_EQ(ps_lookup_table_at(&tables, 3)->slots[last], 0);
  EXPECT_EQ(ps_lookup_table_at(&tables, 14)->slots[last], 0);
  EXPECT_EQ(ps_lookup_table_at(&tables, 15)->slots[last], 31);
}

// VIPs as operators number them: one address with many ports, and many addresses with one port.
std::vector<Endpoint> vips(uint32_t count, Family family, bool many_ports) {
  std::vector<Endpoint> vips;
  for (uint32_t n = 0; n < count; n++) {
    IpAddress address = *IpAddress::parse(family == Family::kIpv4 ? "10.16.0.0" : "2001:db8:113::");
    const size_t last = family == Family::kIpv4 ? 3 : 15;
    const uint32_t number = many_ports ? n / 1000 : n;
    address.bytes[last] = static_cast<uint8_t>(number);
    address.bytes[last - 1] = static_cast<uint8_t>(number >> 8);
    vips.push_back({address, static_cast<uint16_t>(many_ports ? 8000 + n % 1000 : 443)});
  }
  return vips;
}

class ServiceIndex : public ::testing::TestWithParam<std::tuple<uint32_t, Family, bool>> {};

INSTANTIATE_TEST_SUITE_P(
    Sizes, ServiceIndex,
    ::testing::Combine(::testing::Values(2u, 16u, 64u, 256u, 1024u, 4096u, 16384u),
                       ::testing::Values(Family::kIpv4, Family::kIpv6), ::testing::Bool()));

TEST_P(ServiceIndex, HoldsAsManyServicesAsItsSizeSays) {
  const auto& [max_services, family, many_ports] = GetParam();
  // No lookup tables are touched: their memory is never made real.
  const AnonymousTables memory({16, max_services, 2}, 1);
  TableWriter writer(memory.tables(), [] { return Result<void>{}; });
  Delta delta;
  delta.next.settings.snat_port_first = 1;
  ServiceId id = 1;
  for (const Endpoint& vip : vips(max_services - 1, family, many_ports)) {
    delta.next.services[id++] = {Protocol::kTcp, vip, 32, 0};
  }
  const auto applied = writer.apply(delta, kInterfaces);
  ASSERT_TRUE(applied) << applied.error().message;
  for (const auto& [wanted, service] : delta.next.services) {
    const ps_address vip = to_wire(service.vip.address);
    const int number = family_number(service.vip.address);
    ASSERT_EQ(
        ps_find_service(&memory.tables(), 1, number, &vip, ps_wire16(service.vip.port), PS_TCP),
        wanted);
    ASSERT_EQ(
        ps_find_service(&memory.tables(), 1, number, &vip, ps_wire16(service.vip.port), PS_UDP), 0);
    ASSERT_TRUE(ps_is_vip(&memory.tables(), 1, number, &vip));
    ps_address other = vip;
    other.word[0].raw ^= ps_wire32(0x01000000).raw;
    ASSERT_FALSE(ps_is_vip(&memory.tables(), 1, number, &other));
  }
}

}  // namespace
}  // namespace penstock
