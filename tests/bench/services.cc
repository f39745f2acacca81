// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/services.h"

namespace penstock::bench {
namespace {

ForwardingSettings settings(Family family) {
  const bool v4 = family == Family::kIpv4;
  return {.hash_key = {0x0123456789abcdef, 0xfedcba9876543210},
          .snat_addresses = {*IpAddress::parse(v4 ? "10.0.0.254" : "2001:db8:10::254")},
          .tunnel_sources = {*IpPrefix::parse(v4 ? "198.51.100.0/24" : "2001:db8:99::/64")},
          .gateways = {{family, {1, kPeerMac}}},
          .snat_port_first = 20000,
          .snat_port_last = 60000,
          .tcp_half_open_timeout = std::chrono::hours(1),
          .tcp_established_timeout = std::chrono::hours(2),
          .tcp_closing_timeout = std::chrono::hours(1),
          .udp_half_open_timeout = std::chrono::hours(1),
          .udp_established_timeout = std::chrono::hours(1)};
}

}  // namespace

uint16_t port_of(Mode mode) {
  for (const auto& [port, of] : kPorts) {
    if (of == mode) return port;
  }
  return 0;
}

IpAddress vip(Family family) {
  return *IpAddress::parse(family == Family::kIpv4 ? "203.0.113.10" : "2001:db8:113::10");
}

Delta configuration(Family family, bool with_flowless) {
  Delta delta;
  delta.next.settings = settings(family);
  const uint8_t bits = family == Family::kIpv4 ? 32 : 128;
  for (const auto& [port, mode] : kPorts) {
    if (mode != Mode::kNat && !with_flowless) continue;
    const LookupTableId place = own_lookup_table(service_of(mode), 0);
    delta.next.services[service_of(mode)] = {Protocol::kTcp, {vip(family), port}, bits, place,
                                             mode,           mode == Mode::kNat};
    LookupTable& slots = delta.lookup_tables[place];
    for (uint32_t slot = 0; slot < kLookupTableSlots; slot++) {
      slots.push_back(static_cast<BackendId>(slot % kBackends + 1));
    }
  }
  for (uint32_t id = 1; id <= kBackends; id++) {
    IpAddress address = *IpAddress::parse(family == Family::kIpv4 ? "10.1.0.0" : "2001:db8:10::");
    address.bytes[address.is_ipv4() ? 3 : 15] = static_cast<uint8_t>(id);
    delta.next.backends[static_cast<BackendId>(id)] = {
        Protocol::kTcp,
        {address, 3000},
        NextHop{1, kOurMac, kPeerMac},
        false,
        with_flowless ? service_of(Mode::kDnat) : ServiceId{0}};
  }
  return delta;
}

}  // namespace penstock::bench
