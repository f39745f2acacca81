// SPDX-License-Identifier: Apache-2.0
// The worlds that fuzzed frames are walked in: tables written by the real writer, each with two
// configurations between which a step may swap. Addresses are those of the golden worlds.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dataplane/tables/writer.h"

namespace penstock::fuzz {

// Services 1 to 4: TCP and UDP over IPv4, TCP and UDP over IPv6, each with two backends.
constexpr size_t kServices = 4;

// One configuration. As it stands: mode nat, one source port, every client at the first backend.
struct Plan {
  std::array<Mode, kServices> modes{};
  bool had_flows = false;  // services are in mode nat, or were once
  bool hashes_port = false;
  bool other_family = false;  // backends are of the family that their service is not
  bool has_backends = true;   // else flows and lookup tables refer to ones that are gone
  bool is_resolved = true;
  bool has_addresses = true;  // SNAT addresses and tunnel sources
  bool first_is_up = true;
  bool spreads = false;  // clients go to both backends
  bool has_affinity = false;
  bool has_vlans = false;   // backends are behind tags
  bool handshakes = false;  // SYN cookies in mode nat, clamped segments in mode tunnel
  bool has_access = false;  // a part of the clients is denied, and new flows are limited
  uint16_t snat_ports = 1;
  uint16_t mtu = 0;
};

// What may be seen of a configuration's packets.
struct Places {
  std::set<IpAddress> vips;
  std::set<IpAddress> backends;
  std::set<IpAddress> snats;
  uint16_t snat_port_first = 0;
  uint16_t snat_port_last = 0;
  uint16_t mtu = 0;          // of the way to each backend; 0: not known
  bool has_cookies = false;  // or had: connections by them go on
};

class World {
 public:
  World(const Plan& first, const Plan& second);

  // As it was when it was made: no flows, nothing counted, the first configuration.
  void reset();
  void swap() { tables_.control->generation++; }
  const ps_tables& tables() const { return tables_; }
  const Places& places() const { return places_.at(tables_.control->generation & 1); }
  // Packets forwarded and packets refused, all services together.
  uint64_t counted() const;
  // Whether packets have left alone what only the control plane writes (but lookup tables).
  bool is_configuration_whole() const;

 private:
  void publish(const Plan& plan);

  // On the heap, each as long as it has to be: the address sanitizer sees what lies outside.
  std::map<std::string, std::vector<uint64_t>> memory_;
  std::map<std::string, std::vector<uint64_t>> written_;  // what the writer wrote
  ps_tables tables_;
  std::array<Places, PS_GENERATIONS> places_;
};

inline const std::vector<LocalInterface> kInterfaces{
    {1, {{2, 0, 0, 0, 0, 0xfe}}},
    {2, {{2, 0, 0, 0, 0, 0xfd}}},
    {1, {{2, 0, 0, 0, 0, 0xfe}}, {{100, false}}},
    {2, {{2, 0, 0, 0, 0, 0xfd}}, {{100, true}, {200, false}}}};

// One of the worlds, by any number; made when it is first asked for.
World& world(uint8_t number);

}  // namespace penstock::fuzz
