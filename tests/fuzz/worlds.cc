// SPDX-License-Identifier: Apache-2.0
// To add a world: a line in kWorlds. Its place is part of every input's meaning: append.
#include "tests/fuzz/worlds.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "dataplane/tables/layout.h"

namespace penstock::fuzz {
namespace {

using std::chrono::milliseconds;

// Few places, so that a short input fills them. Affinity has two tables a service.
constexpr TableSizes kSizes{.flow_table_entries = 16,
                            .max_services = 8,
                            .max_backends = 16,
                            .affinity_tables = 2 * kServices,
                            .affinity_entries = 12,
                            .access_nodes = 64};

constexpr std::array<Mode, kServices> all(Mode mode) {
  return {mode, mode, mode, mode};
}

struct Pair {
  Plan first;
  Plan second;
};

constexpr Pair kWorlds[] = {
    {{}, {.first_is_up = false}},
    {{.hashes_port = true, .spreads = true, .snat_ports = 8}, {.has_backends = false}},
    {{.modes = all(Mode::kDsr)}, {.modes = all(Mode::kDsr), .is_resolved = false}},
    {{.snat_ports = 4}, {.modes = all(Mode::kDsr), .had_flows = true, .hashes_port = true}},
    {{.modes = all(Mode::kTunnel), .mtu = 1400}, {.modes = all(Mode::kTunnel), .spreads = true}},
    {{.modes = all(Mode::kTunnel), .other_family = true, .mtu = 600},
     {.modes = all(Mode::kTunnel), .has_addresses = false}},
    {{.modes = {Mode::kNat, Mode::kDsr, Mode::kTunnel, Mode::kNat}},
     {.modes = {Mode::kTunnel, Mode::kNat, Mode::kNat, Mode::kDsr}, .had_flows = true}},
    {{.other_family = true}, {.has_addresses = false}},
    {{.is_resolved = false}, {.spreads = true, .snat_ports = 2, .mtu = 1280}},
    {{}, {.has_addresses = false}},
    {{.has_affinity = true},
     {.had_flows = true, .spreads = true, .has_affinity = true, .snat_ports = 2}},
    {{.modes = {Mode::kDsr, Mode::kNat, Mode::kNat, Mode::kTunnel}, .has_affinity = true},
     {.modes = {Mode::kTunnel, Mode::kNat, Mode::kNat, Mode::kDsr},
      .first_is_up = false,
      .has_affinity = true}},
    {{.spreads = true, .has_vlans = true, .snat_ports = 4}, {.spreads = true}},
    {{.modes = {Mode::kDsr, Mode::kTunnel, Mode::kTunnel, Mode::kNat},
      .other_family = true,
      .has_vlans = true,
      .mtu = 1400},
     {.modes = all(Mode::kDsr), .first_is_up = false, .has_vlans = true}},
    {{.spreads = true, .handshakes = true, .snat_ports = 4}, {.first_is_up = false}},
    {{.handshakes = true}, {.handshakes = true, .mtu = 1280}},
    {{.modes = all(Mode::kTunnel), .handshakes = true, .mtu = 1400},
     {.modes = all(Mode::kTunnel), .other_family = true, .handshakes = true, .mtu = 600}},
    {{.spreads = true, .snat_ports = 4}, {.has_access = true, .snat_ports = 4}},
    {{.modes = {Mode::kDsr, Mode::kNat, Mode::kNat, Mode::kTunnel}, .has_access = true},
     {.had_flows = true, .has_access = true}},
};

IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}

// What the control plane writes, and packets only read.
bool is_configuration(const std::string& table) {
  static const std::set<std::string> tables = {"control",      "settings",     "service_index",
                                               "services",     "access_nodes", "backends",
                                               "lookup_tables"};
  return tables.contains(table);
}

ForwardingSettings settings_of(const Plan& plan) {
  ForwardingSettings settings;
  settings.hash_key = {0x0123456789abcdef, 0xfedcba9876543210};
  if (plan.has_addresses) {
    settings.snat_addresses = {ip("10.0.0.254"), ip("2001:db8:10::fe")};
    settings.tunnel_sources = {IpPrefix::parse("192.0.2.0/24").value(),
                               IpPrefix::parse("2001:db8:64::/64").value()};
  }
  settings.snat_port_first = 20000;
  settings.snat_port_last = static_cast<uint16_t>(20000 + plan.snat_ports - 1);
  settings.tcp_half_open_timeout = milliseconds(10'000);
  settings.tcp_established_timeout = milliseconds(7'440'000);
  settings.tcp_closing_timeout = milliseconds(10'000);
  settings.udp_half_open_timeout = milliseconds(30'000);
  settings.udp_established_timeout = milliseconds(300'000);
  return settings;
}

// A service's lookup table by generation; with affinity one by which clients are known.
LookupTableId lookup_table_id(const Plan& plan, ServiceId service, uint32_t generation) {
  const uint32_t own = own_lookup_table(service, generation);
  const uint32_t first = PS_FIRST_AFFINITY_TABLE(kSizes.max_services);
  return static_cast<LookupTableId>(plan.has_affinity ? first + own - own_lookup_table(1, 0) : own);
}

ServiceEntry service_of(const Plan& plan, size_t place, uint32_t generation) {
  ServiceEntry service;
  const auto id = static_cast<ServiceId>(place + 1);
  const bool is_ipv4 = place < 2;
  service.protocol = place % 2 == 0 ? Protocol::kTcp : Protocol::kUdp;
  service.vip = {ip(is_ipv4 ? "203.0.113.10" : "2001:db8:113::10"), 80};
  service.client_prefix_bits = is_ipv4 ? 32 : 128;
  service.lookup_table = lookup_table_id(plan, id, generation);
  if (plan.has_affinity) {
    service.affinity_idle = std::chrono::seconds(60);
    service.earlier = {lookup_table_id(plan, id, generation ^ 1)};
  }
  service.mode = plan.modes.at(place);
  service.has_flows = service.mode == Mode::kNat || plan.had_flows;
  service.hashes_port = plan.hashes_port;
  const bool is_tcp = service.protocol == Protocol::kTcp;
  service.syn_cookies = plan.handshakes && is_tcp && service.mode == Mode::kNat;
  service.clamps_mss = plan.handshakes && is_tcp && service.mode == Mode::kTunnel;
  if (plan.has_access) {
    service.access.deny = {
        IpPrefix::parse(is_ipv4 ? "198.18.0.2/31" : "2001:db8:18::2/127").value()};
    service.new_flows = {1, 2, service.client_prefix_bits};
  }
  return service;
}

// `number`: 1 or 2. By interface 1 the first, by 2 the other.
BackendEntry backend_of(const Plan& plan, const ServiceEntry& service, uint32_t number) {
  BackendEntry backend;
  const bool is_ipv4 = service.vip.address.is_ipv4() != plan.other_family;
  backend.protocol = service.protocol;
  backend.endpoint.address = ip((is_ipv4 ? "10.0.0." : "2001:db8:10::") + std::to_string(number));
  backend.endpoint.port = service.mode == Mode::kNat ? 3000 : 80;
  backend.down = number == 1 && !plan.first_is_up;
  const LocalInterface& interface = kInterfaces.at(number - 1 + (plan.has_vlans ? 2u : 0u));
  const MacAddress own{{2, 0, 0, 0, 0, static_cast<uint8_t>(0xb0 + number)}};
  if (plan.is_resolved) {
    backend.next_hop = {interface.index, interface.mac, own, plan.mtu, interface.tags};
  }
  return backend;
}

BackendId backend_id(ServiceId service, uint32_t number) {
  return static_cast<BackendId>((service - 1) * 2 + number);
}

LookupTable lookup_table_of(const Plan& plan, ServiceId service) {
  LookupTable table(kLookupTableSlots, backend_id(service, plan.first_is_up ? 1 : 2));
  for (size_t slot = 0; plan.spreads && slot < table.size(); slot += 2) {
    table[slot] = backend_id(service, 2);
  }
  for (size_t slot = 0; plan.has_affinity && slot < table.size(); slot++) {
    if (slot % 4 != 0) table[slot] |= kContested;
  }
  return table;
}

Delta delta_of(const Plan& plan, uint32_t generation) {
  Delta delta;
  delta.next.settings = settings_of(plan);
  for (ServiceId id = 1; id <= kServices; id++) {
    const ServiceEntry service = service_of(plan, id - 1u, generation);
    delta.next.services[id] = service;
    for (uint32_t number = 1; plan.has_backends && number <= 2; number++) {
      delta.next.backends[backend_id(id, number)] = backend_of(plan, service, number);
    }
    delta.lookup_tables[service.lookup_table] = lookup_table_of(plan, id);
  }
  return delta;
}

// Zero again. Large memory is given back to the kernel, but for what is not a whole page: of a
// table of megabytes an input has touched a few lines.
void clear(std::vector<uint64_t>& memory) {
  constexpr uintptr_t kPage = 4096;
  auto* begin = reinterpret_cast<uint8_t*>(memory.data());
  auto* end = begin + memory.size() * sizeof(uint64_t);
  if (memory.size() * sizeof(uint64_t) < 16 * kPage) {
    std::memset(begin, 0, static_cast<size_t>(end - begin));
    return;
  }
  uint8_t* page = begin + (kPage - reinterpret_cast<uintptr_t>(begin) % kPage) % kPage;
  uint8_t* rest = end - reinterpret_cast<uintptr_t>(end) % kPage;
  if (madvise(page, static_cast<size_t>(rest - page), MADV_DONTNEED) != 0) std::abort();
  std::memset(begin, 0, static_cast<size_t>(page - begin));
  std::memset(rest, 0, static_cast<size_t>(end - rest));
}

Places places_of(const ForwardingState& state) {
  Places places;
  for (const auto& [id, service] : state.services) places.vips.insert(service.vip.address);
  for (const auto& [id, backend] : state.backends) {
    places.backends.insert(backend.endpoint.address);
  }
  places.snats.insert(state.settings.snat_addresses.begin(), state.settings.snat_addresses.end());
  places.snat_port_first = state.settings.snat_port_first;
  places.snat_port_last = state.settings.snat_port_last;
  return places;
}

}  // namespace

World::World(const Plan& first, const Plan& second) : tables_(unplaced_tables(kSizes, 1)) {
  for (const TableLayout& table : table_layouts(kSizes, 1)) {
    const size_t bytes = static_cast<size_t>(table.elements) * table.element_bytes;
    auto& memory = memory_[table.name];
    memory.resize(bytes / sizeof(uint64_t));
    table.place(tables_, memory.data());
  }
  initialise_control(tables_, kSizes);
  publish(second);
  publish(first);
  // A flow's port stays when the pool loses it, until the flow ends.
  for (Places& places : places_) {
    places.snat_port_last = 20000 + std::max(first.snat_ports, second.snat_ports) - 1;
    places.has_cookies = first.handshakes || second.handshakes;
  }
  for (const auto& [name, memory] : memory_) {
    if (is_configuration(name) && name != "lookup_tables") written_[name] = memory;
  }
}

void World::publish(const Plan& plan) {
  const uint32_t generation = (tables_.control->generation & 1) ^ 1;
  const Delta delta = delta_of(plan, generation);
  TableWriter writer(tables_, [] { return Result<void>{}; });
  if (!writer.apply(delta, kInterfaces)) std::abort();
  places_.at(generation) = places_of(delta.next);
  places_.at(generation).mtu = plan.mtu;
}

void World::reset() {
  for (auto& [name, memory] : memory_) {
    if (!is_configuration(name)) clear(memory);
  }
  for (const auto& [name, content] : written_) {
    std::copy(content.begin(), content.end(), memory_.at(name).begin());
  }
}

uint64_t World::counted() const {
  uint64_t sum = 0;
  for (uint32_t id = 0; id <= kServices; id++) {
    const ps_traffic& traffic = *ps_service_traffic_at(&tables_, 0, id);
    sum += traffic.packets_to_backend + traffic.packets_to_client;
    for (const uint64_t count : ps_reasons_at(&tables_, 0, id)->count) sum += count;
  }
  return sum;
}

bool World::is_configuration_whole() const {
  return std::all_of(written_.begin(), written_.end(), [&](const auto& table) {
    return table.first == "control" || table.second == memory_.at(table.first);
  });
}

World& world(uint8_t number) {
  static std::array<std::unique_ptr<World>, std::size(kWorlds)> worlds;
  const size_t place = number % worlds.size();
  auto& found = worlds.at(place);
  if (!found) {
    found = std::make_unique<World>(kWorlds[place].first, kWorlds[place].second);
  }
  return *found;
}

}  // namespace penstock::fuzz
