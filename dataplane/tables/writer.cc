// SPDX-License-Identifier: Apache-2.0
// From a ForwardingState to the tables' bytes, and back.
#include "dataplane/tables/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "dataplane/core/walk.h"
#include "dataplane/tables/access_trie.h"
#include "dataplane/tables/convert.h"
#include "dataplane/tables/frame_buffer.h"

namespace penstock {
namespace {

static_assert(kContested == PS_CONTESTED && kMaxEarlierTables == PS_EARLIER_TABLES);
static_assert(kMaxOwnAddresses == PS_MAX_OWN_ADDRESSES);
static_assert(kMaxOwnAddresses == PS_MAX_SNAT_ADDRESSES);
static_assert(own_lookup_table(1, 0) == PS_FIRST_AFFINITY_TABLE(1));

using std::chrono::milliseconds;

// Rounded up: a flow lives at least as long as its timeout says.
uint32_t ticks(milliseconds timeout) {
  const uint64_t ns = static_cast<uint64_t>(timeout.count()) * 1'000'000;
  return static_cast<uint32_t>((ns + (1ull << PS_TICK_SHIFT) - 1) >> PS_TICK_SHIFT);
}

// To the millisecond below: what ticks() makes the same ticks of again.
milliseconds from_ticks(uint32_t ticks) {
  return milliseconds((static_cast<uint64_t>(ticks) << PS_TICK_SHIFT) / 1'000'000);
}

// What a new flow takes of its bucket, in the limit's unit of time (core/new_flow_limit.h).
uint32_t limit_step(uint32_t per_second) {
  constexpr uint32_t kSecond = 1'000'000'000 >> (PS_TICK_SHIFT - PS_LIMIT_SHIFT);
  return per_second ? (kSecond + per_second / 2) / per_second : 0;
}

void write_timeouts(ps_settings& to, const ForwardingSettings& from) {
  auto& tcp = to.timeout_ticks[0];
  auto& udp = to.timeout_ticks[1];
  tcp[PS_FLOW_CLAIMED] = tcp[PS_FLOW_HALF_OPEN] = ticks(from.tcp_half_open_timeout);
  tcp[PS_FLOW_ESTABLISHED] = ticks(from.tcp_established_timeout);
  tcp[PS_FLOW_CLOSING] = ticks(from.tcp_closing_timeout);
  udp[PS_FLOW_CLAIMED] = udp[PS_FLOW_HALF_OPEN] = ticks(from.udp_half_open_timeout);
  udp[PS_FLOW_ESTABLISHED] = udp[PS_FLOW_CLOSING] = ticks(from.udp_established_timeout);
  uint32_t longest = 0;
  for (const auto& timeouts : to.timeout_ticks) {
    longest = std::max(longest, *std::max_element(std::begin(timeouts), std::end(timeouts)));
  }
  to.index_epoch_shift = static_cast<uint8_t>(std::bit_width(longest));
}

ps_settings to_table(const ForwardingSettings& from,
                     const std::vector<LocalInterface>& interfaces) {
  ps_settings to{};
  to.hash_key[0] = from.hash_key[0];
  to.hash_key[1] = from.hash_key[1];
  for (uint32_t i = 0; i < 8; i++) {
    ps_address counter{};
    counter.word[0].raw = i;
    to.flow_factors[i] = ps_siphash_address(to.hash_key, PS_IPV4, &counter) | 1;
  }
  write_timeouts(to, from);
  to.snat_port_first = from.snat_port_first;
  to.snat_port_count = static_cast<uint16_t>(from.snat_port_last - from.snat_port_first + 1);
  for (const IpAddress& address : from.snat_addresses) {
    const int v6 = !address.is_ipv4();
    to.snat[v6][to.snat_count[v6]++] = to_wire(address);
  }
  for (const IpPrefix& prefix : from.tunnel_sources) {
    const int v6 = !prefix.address.is_ipv4();
    to.tunnel_source[v6] = to_wire(prefix.address);
    const ps_address fixed = prefix_mask(prefix.bits);
    for (int i = 0; i < 4; i++) to.tunnel_spread[v6].word[i].raw = ~fixed.word[i].raw;
  }
  for (const IpAddress& address : from.own_addresses) {
    const int v6 = !address.is_ipv4();
    to.own[v6][to.own_count[v6]++] = to_wire(address);
  }
  const size_t count = std::min<size_t>(interfaces.size(), PS_MAX_INTERFACES);
  for (size_t i = 0; i < count; i++) {
    to.interfaces[i].index = interfaces[i].index;
    to.interfaces[i].mac = mac_number(interfaces[i].mac);
    to.interfaces[i].tags = tags_number(interfaces[i].tags);
    for (const auto& [family, gateway] : from.gateways) {
      const bool leaves_there =
          gateway.interface_index == interfaces[i].index && gateway.tags == interfaces[i].tags;
      if (!leaves_there) continue;
      to.gateway[family == Family::kIpv6] = mac_number(gateway.mac) | i << 48;
    }
  }
  return to;
}

ForwardingSettings from_table(const ps_settings& from) {
  ForwardingSettings to;
  to.hash_key = {from.hash_key[0], from.hash_key[1]};
  to.tcp_half_open_timeout = from_ticks(from.timeout_ticks[0][PS_FLOW_HALF_OPEN]);
  to.tcp_established_timeout = from_ticks(from.timeout_ticks[0][PS_FLOW_ESTABLISHED]);
  to.tcp_closing_timeout = from_ticks(from.timeout_ticks[0][PS_FLOW_CLOSING]);
  to.udp_half_open_timeout = from_ticks(from.timeout_ticks[1][PS_FLOW_HALF_OPEN]);
  to.udp_established_timeout = from_ticks(from.timeout_ticks[1][PS_FLOW_ESTABLISHED]);
  to.snat_port_first = from.snat_port_first;
  to.snat_port_last = static_cast<uint16_t>(from.snat_port_first + from.snat_port_count - 1);
  for (int v6 = 0; v6 < 2; v6++) {
    for (uint8_t i = 0; i < from.snat_count[v6]; i++) {
      to.snat_addresses.push_back(from_wire(v6 ? PS_IPV6 : PS_IPV4, from.snat[v6][i]));
    }
  }
  for (int v6 = 0; v6 < 2; v6++) {
    const uint8_t family = v6 ? PS_IPV6 : PS_IPV4;
    for (uint8_t i = 0; i < from.own_count[v6]; i++) {
      to.own_addresses.push_back(from_wire(family, from.own[v6][i]));
    }
    if (from.gateway[v6] == 0) continue;
    const ps_interface& interface =
        from.interfaces[(from.gateway[v6] >> 48) & (PS_MAX_INTERFACES - 1)];
    to.gateways[v6 ? Family::kIpv6 : Family::kIpv4] = {
        interface.index, from_number(from.gateway[v6]), tags_from(interface.tags)};
  }
  for (int v6 = 0; v6 < 2; v6++) {
    if (from.tunnel_source[v6].word[0].raw == 0) continue;
    ps_address fixed = from.tunnel_spread[v6];
    for (ps_be32& word : fixed.word) word.raw = ~word.raw;
    to.tunnel_sources.push_back(
        {from_wire(v6 ? PS_IPV6 : PS_IPV4, from.tunnel_source[v6]), prefix_bits(fixed)});
  }
  return to;
}

ps_service to_table(const ServiceEntry& from) {
  ps_service to{};
  to.vip = to_wire(from.vip.address);
  to.client_mask = prefix_mask(from.client_prefix_bits);
  to.port = ps_wire16(from.vip.port);
  to.family = family_number(from.vip.address);
  to.protocol = static_cast<uint8_t>(from.protocol);
  to.lookup_table = from.lookup_table;
  to.mode = static_cast<uint8_t>(from.mode);
  to.has_flows = from.has_flows;
  to.hashes_port = from.hashes_port;
  to.syn_cookies = from.syn_cookies;
  to.clamps_mss = from.clamps_mss;
  to.affinity_ticks = ticks(from.affinity_idle);
  to.epoch_shift = static_cast<uint8_t>(std::bit_width(std::max(to.affinity_ticks, 1u) - 1));
  std::copy(from.earlier.begin(), from.earlier.end(), to.earlier);
  to.clients_of = from.clients_of;
  to.only_from = from.only_from;
  to.is_guarded = !from.access.empty() || from.new_flows.per_second != 0 || from.only_from != 0;
  to.by_address = !to.has_flows && !to.is_guarded && !to.affinity_ticks;
  to.limit_mask = prefix_mask(from.new_flows.prefix_bits);
  to.limit_per_second = from.new_flows.per_second;
  to.limit_step = limit_step(from.new_flows.per_second);
  to.limit_burst = static_cast<uint64_t>(to.limit_step) * from.new_flows.burst;
  return to;
}

ServiceEntry from_table(const ps_service& from) {
  ServiceEntry to;
  to.vip = {from_wire(from.family, from.vip), ps_host16(from.port)};
  to.protocol = static_cast<Protocol>(from.protocol);
  to.client_prefix_bits = prefix_bits(from.client_mask);
  to.mode = static_cast<Mode>(from.mode);
  to.has_flows = from.has_flows;
  to.hashes_port = from.hashes_port;
  to.syn_cookies = from.syn_cookies;
  to.clamps_mss = from.clamps_mss;
  to.lookup_table = from.lookup_table;
  to.affinity_idle = std::chrono::floor<std::chrono::seconds>(from_ticks(from.affinity_ticks));
  for (const uint16_t place : from.earlier) {
    if (place) to.earlier.push_back(place);
  }
  to.clients_of = from.clients_of;
  to.only_from = from.only_from;
  if (from.limit_step) {
    to.new_flows = {from.limit_per_second,
                    static_cast<uint32_t>(from.limit_burst / from.limit_step),
                    prefix_bits(from.limit_mask)};
  }
  return to;
}

ps_backend to_table(const BackendEntry& from) {
  ps_backend to{};
  to.address = to_wire(from.endpoint.address);
  to.port = ps_wire16(from.endpoint.port);
  to.family = family_number(from.endpoint.address);
  to.protocol = static_cast<uint8_t>(from.protocol);
  to.down = from.down;
  to.answers_for = from.answers_for;
  to.is_shared = from.is_shared;
  if (from.next_hop) {
    to.resolved = 1;
    to.interface_index = from.next_hop->interface_index;
    to.mtu = from.next_hop->mtu;
    to.tags = tags_number(from.next_hop->tags);
    auto* macs = reinterpret_cast<uint8_t*>(to.ethernet);
    std::memcpy(macs, from.next_hop->destination.bytes.data(), 6);
    std::memcpy(macs + 6, from.next_hop->source.bytes.data(), 6);
  }
  return to;
}

BackendEntry from_table(const ps_backend& from) {
  BackendEntry to;
  to.endpoint = {from_wire(from.family, from.address), ps_host16(from.port)};
  to.protocol = static_cast<Protocol>(from.protocol);
  to.down = from.down;
  to.answers_for = from.answers_for;
  to.is_shared = from.is_shared;
  if (from.resolved) {
    to.next_hop.emplace();
    to.next_hop->interface_index = from.interface_index;
    to.next_hop->mtu = from.mtu;
    to.next_hop->tags = tags_from(from.tags);
    const auto* macs = reinterpret_cast<const uint8_t*>(from.ethernet);
    std::memcpy(to.next_hop->destination.bytes.data(), macs, 6);
    std::memcpy(to.next_hop->source.bytes.data(), macs + 6, 6);
  }
  return to;
}

using PlacesBySlot = std::vector<std::pair<uint32_t, uint16_t>>;  // where to begin, and what to put

// Linear probing. Placed in the order of their hashes, ids stand close to where the search for them
// begins: at a quarter full, one in 10^8 would need more than PS_SERVICE_PROBES. 0, or the id that
// found no place.
uint16_t write_index(uint16_t* index, uint32_t size, PlacesBySlot by_slot) {
  std::sort(by_slot.begin(), by_slot.end());
  std::fill_n(index, size, uint16_t{0});
  for (auto [slot, id] : by_slot) {
    int probes = 1;
    while (index[slot] != 0) {
      slot = (slot + 1) % size;
      if (++probes > PS_SERVICE_PROBES) return id;
    }
    index[slot] = id;
  }
  return 0;
}

// As ps_find_service searches.
Result<void> write_service_index(const ps_tables& tables, uint32_t generation,
                                 const std::map<ServiceId, ServiceEntry>& services) {
  const uint32_t size = ps_service_index_size(&tables);
  PlacesBySlot by_slot;
  std::set<IpAddress> addresses;
  for (const auto& [id, service] : services) {
    const ps_service entry = to_table(service);
    const uint32_t hash = ps_service_hash(entry.family, &entry.vip, entry.port, entry.protocol);
    by_slot.emplace_back(ps_scale(hash, size), id);
    if (!addresses.insert(service.vip.address).second) continue;
    by_slot.emplace_back(ps_scale(ps_service_hash(entry.family, &entry.vip, {0}, 0), size), id);
  }
  if (const uint16_t id = write_index(ps_service_index_at(&tables, generation, 0), size, by_slot)) {
    return fail(ErrorKind::kConflict,
                fmt::format("no place in the service index for {}: raise max_services",
                            to_string(services.at(id).vip)));
  }
  return {};
}

// Those of mode dnat, as ps_find_dnat_backend searches.
Result<void> write_backend_index(const ps_tables& tables, uint32_t generation,
                                 const std::map<BackendId, BackendEntry>& backends) {
  const uint32_t size = ps_backend_index_size(&tables);
  PlacesBySlot by_slot;
  for (const auto& [id, backend] : backends) {
    if (!backend.answers_for) continue;
    const ps_backend entry = to_table(backend);
    const uint32_t hash = ps_service_hash(entry.family, &entry.address, entry.port, entry.protocol);
    by_slot.emplace_back(ps_scale(hash, size), id);
  }
  if (const uint16_t id = write_index(ps_backend_index_at(&tables, generation, 0), size, by_slot)) {
    return fail(ErrorKind::kConflict,
                fmt::format("no place in the backend index for {}: raise max_backends",
                            to_string(backends.at(id).endpoint)));
  }
  return {};
}

// The services' access lists, and where each begins.
Result<std::map<ServiceId, uint32_t>> write_access_lists(
    const ps_tables& tables, uint32_t generation,
    const std::map<ServiceId, ServiceEntry>& services) {
  const uint32_t first = generation * tables.max_access_nodes + PS_ACCESS_FIRST_NODE;
  AccessTrie trie(first);
  std::map<ServiceId, uint32_t> entries;
  for (const auto& [id, service] : services) {
    if (service.access.empty()) continue;
    entries[id] = trie.add(service.access);
    if (PS_ACCESS_FIRST_NODE + trie.nodes().size() <= tables.max_access_nodes) continue;
    return fail(ErrorKind::kConflict,
                fmt::format("no room for the access lists of {}: raise dataplane.access_nodes "
                            "above {}",
                            to_string(service.vip), tables.max_access_nodes));
  }
  std::copy(trie.nodes().begin(), trie.nodes().end(), ps_access_node_at(&tables, first));
  return entries;
}

ptrdiff_t most_of_a_family(const std::vector<IpAddress>& addresses) {
  const auto ipv4 = std::count_if(addresses.begin(), addresses.end(),
                                  [](const IpAddress& address) { return address.is_ipv4(); });
  return std::max(ipv4, std::ssize(addresses) - ipv4);
}

Result<void> check_fits(const ps_tables& tables, const Delta& delta) {
  const auto& [settings, services, backends] = delta.next;
  const uint32_t places = PS_LOOKUP_TABLES(tables.max_services, tables.affinity_tables);
  const bool fits =
      most_of_a_family(settings.snat_addresses) <= PS_MAX_SNAT_ADDRESSES &&
      most_of_a_family(settings.own_addresses) <= PS_MAX_OWN_ADDRESSES &&
      (services.empty() || services.rbegin()->first < tables.max_services) &&
      (backends.empty() || backends.rbegin()->first < tables.max_backends) &&
      std::all_of(services.begin(), services.end(),
                  [&](const auto& service) {
                    return service.second.lookup_table < places &&
                           service.second.earlier.size() <= kMaxEarlierTables;
                  }) &&
      std::all_of(delta.lookup_tables.begin(), delta.lookup_tables.end(), [&](const auto& table) {
        return table.first < places && table.second.size() == kLookupTableSlots;
      });
  if (fits) return {};
  return fail(ErrorKind::kInvalid, "the plan does not fit the tables");
}

// Whether an entry is of one of them.
bool is_released(const Delta& delta, uint64_t word) {
  return delta.released.contains({ps_affinity_service(word), ps_affinity_backend(word)});
}

void release(const ps_tables& tables, const Delta& delta) {
  for (uint32_t set = 0; set < tables.affinity_sets; set++) {
    for (ps_affinity& entry : tables.affinities[set].way) {
      const uint64_t word = ps_flow_load(&entry.word);
      if (is_released(delta, word)) __sync_val_compare_and_swap(&entry.word, word, 0);
    }
  }
}

void write_lookup_tables(const ps_tables& tables, const Delta& delta) {
  for (const LookupTableId id : delta.begun) {
    ps_known_clients* known = ps_known_clients_at(&tables, id, 0);
    if (known) std::memset(known, 0, PS_LOOKUP_SLOTS * sizeof *known);
  }
  for (const auto& [id, slots] : delta.lookup_tables) {
    std::copy(slots.begin(), slots.end(), ps_lookup_table_at(&tables, id)->slots);
  }
}

}  // namespace

TableWriter::TableWriter(const ps_tables& tables, std::function<Result<void>()> wait_for_readers)
    : tables_(tables), wait_for_readers_(std::move(wait_for_readers)) {}

ForwardingState TableWriter::read() const {
  ForwardingState state;
  const uint32_t generation = tables_.control->generation & 1;
  if (ps_settings_at(&tables_, generation)->snat_port_count == 0) return state;
  state.settings = from_table(*ps_settings_at(&tables_, generation));
  for (uint32_t id = 1; id < tables_.max_services; id++) {
    const ps_service& service = *ps_service_at(&tables_, generation, id);
    if (service.family) state.services[static_cast<ServiceId>(id)] = from_table(service);
  }
  for (uint32_t id = 1; id < tables_.max_backends; id++) {
    const ps_backend& backend = *ps_backend_at(&tables_, generation, id);
    if (backend.family) state.backends[static_cast<BackendId>(id)] = from_table(backend);
  }
  return state;
}

Result<void> TableWriter::apply(const Delta& delta, const std::vector<LocalInterface>& interfaces) {
  if (auto fits = check_fits(tables_, delta); !fits) return fits;
  if (auto unread = wait_for_readers_(); !unread) return unread;
  const uint32_t number = tables_.control->generation + 1;
  const uint32_t generation = number & 1;
  auto indexed = write_service_index(tables_, generation, delta.next.services);
  if (indexed) indexed = write_backend_index(tables_, generation, delta.next.backends);
  if (!indexed) return indexed;
  const auto access = write_access_lists(tables_, generation, delta.next.services);
  if (!access) return tl::unexpected(access.error());

  ps_settings settings = to_table(delta.next.settings, interfaces);
  settings.has_flowless = std::any_of(delta.next.services.begin(), delta.next.services.end(),
                                      [](const auto& entry) { return !entry.second.has_flows; });
  settings.has_dnat =
      std::any_of(delta.next.services.begin(), delta.next.services.end(),
                  [](const auto& entry) { return entry.second.mode == Mode::kDnat; });
  *ps_settings_at(&tables_, generation) = settings;
  std::memset(ps_service_at(&tables_, generation, 0), 0, tables_.max_services * sizeof(ps_service));
  std::memset(ps_backend_at(&tables_, generation, 0), 0, tables_.max_backends * sizeof(ps_backend));
  for (const auto& [id, service] : delta.next.services) {
    *ps_service_at(&tables_, generation, id) = to_table(service);
  }
  for (const auto& [id, entry] : *access) ps_service_at(&tables_, generation, id)->access = entry;
  for (const auto& [id, backend] : delta.next.backends) {
    *ps_backend_at(&tables_, generation, id) = to_table(backend);
  }
  write_lookup_tables(tables_, delta);
  __atomic_store_n(&tables_.control->generation, number, __ATOMIC_RELEASE);
  // A packet by the state before may take an entry yet: the next plan finds it and releases it.
  if (!delta.released.empty()) release(tables_, delta);
  return {};
}

}  // namespace penstock
