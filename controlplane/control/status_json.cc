// SPDX-License-Identifier: Apache-2.0
// One function an object of the document.
#include "controlplane/control/status_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "controlplane/control/version.h"
#include "dataplane/reason_text.h"

namespace penstock {
namespace {

namespace json = boost::json;
using Name = std::pair<std::string, std::string>;

std::string_view health_text(Health health) {
  switch (health) {
    case Health::kUp: return "up";
    case Health::kDown: return "down";
    case Health::kUnknown: break;
  }
  return "unknown";
}

json::object counters_json(const TrafficCounters& counters) {
  return {{"packets_to_backend", counters.packets_to_backend},
          {"bytes_to_backend", counters.bytes_to_backend},
          {"packets_to_client", counters.packets_to_client},
          {"bytes_to_client", counters.bytes_to_client},
          {"new_flows", counters.new_flows}};
}

json::object flows_json(const FlowCounts& flows) {
  return {{"half_open", flows.half_open},
          {"established", flows.established},
          {"closing", flows.closing}};
}

template <typename Map, typename Key>
typename Map::mapped_type value_or_zero(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? typename Map::mapped_type{} : found->second;
}

json::array reasons_json(const std::map<std::string, uint64_t>& counts) {
  json::array list;
  for (const auto& [name, count] : counts) {
    list.push_back({{"reason", name}, {"text", reason_text(name)}, {"count", count}});
  }
  return list;
}

// Read once for the whole document.
struct Readings {
  Config config;
  CounterSnapshot counters;
  FlowSnapshot flows;
  std::map<Name, HealthReport> health;
  std::map<IpAddress, NextHop> next_hops;
  std::map<IpAddress, std::string> unresolved;
};

json::value next_hop_json(const Readings& readings, const IpAddress& address) {
  const auto hop = readings.next_hops.find(address);
  if (hop == readings.next_hops.end()) return nullptr;
  return {{"mac", to_string(hop->second.destination)},
          {"interface_index", hop->second.interface_index}};
}

json::object backend_json(const Daemon& daemon, const Readings& readings, const Name& name,
                          const BackendConfig& backend) {
  const auto id = value_or_zero(daemon.plan().backend_ids, name);
  const HealthReport report = value_or_zero(readings.health, name);
  return {{"name", backend.name},
          {"address", to_string(backend.endpoint)},
          {"weight", backend.weight},
          {"drain", backend.drain},
          {"health", health_text(report.health)},
          {"detail", report.detail},
          {"since", fmt::format("{:%FT%TZ}", fmt::gmtime(report.since))},
          {"next_hop", next_hop_json(readings, backend.endpoint.address)},
          {"unresolved", value_or_zero(readings.unresolved, backend.endpoint.address)},
          {"flows", flows_json(value_or_zero(readings.flows.backends, id))},
          {"counters", counters_json(value_or_zero(readings.counters.backends, id))}};
}

json::object service_json(const Daemon& daemon, const Readings& readings,
                          const ServiceConfig& service) {
  const auto id = value_or_zero(daemon.plan().service_ids, service.name);
  json::array backends;
  for (const BackendConfig& backend : service.backends) {
    backends.push_back(backend_json(daemon, readings, {service.name, backend.name}, backend));
  }
  return {{"name", service.name},
          {"address", to_string(service.vip)},
          {"protocol", to_string(service.protocol)},
          {"mode", "nat"},
          {"backends", std::move(backends)},
          {"flows", flows_json(value_or_zero(readings.flows.services, id))},
          {"counters", counters_json(value_or_zero(readings.counters.services, id))},
          {"dropped", reasons_json(value_or_zero(readings.counters.dropped, id))},
          {"passed", reasons_json(value_or_zero(readings.counters.passed, id))}};
}

json::object dataplane_json(const Daemon& daemon, const Readings& readings) {
  const DataplaneStatus status = daemon.dataplane().status();
  json::array interfaces;
  for (const InterfaceStatus& interface : status.interfaces) {
    interfaces.push_back({{"name", interface.name},
                          {"attach_mode", interface.attach_mode},
                          {"degraded", interface.degraded}});
  }
  const PortRange ports = readings.config.dataplane.snat_ports;
  return {{"driver", status.driver},
          {"adopted", status.adopted},
          {"interfaces", std::move(interfaces)},
          {"flow_table_capacity", readings.flows.capacity},
          {"snat_ports", fmt::format("{}-{}", ports.first, ports.last)},
          {"dropped", reasons_json(value_or_zero(readings.counters.dropped, ServiceId{0}))},
          {"passed", reasons_json(value_or_zero(readings.counters.passed, ServiceId{0}))}};
}

std::string home_of(const Daemon& daemon, ServiceId id, uint32_t slot) {
  const auto known = daemon.plan().next.members.find(id);
  if (known == daemon.plan().next.members.end()) return "";
  auto members = known->second;
  for (LookupMember& member : members) member.takes_clients = true;
  const BackendId home = build_lookup_table(members, daemon.hash_key())[slot];
  for (const LookupMember& member : members) {
    if (member.id == home) return member.identity;
  }
  return "";
}

std::string name_of(const Daemon& daemon, const std::string& service, BackendId id) {
  for (const auto& [name, known] : daemon.plan().backend_ids) {
    if (known == id && name.first == service) return name.second;
  }
  return "";
}

// Why a client is where it is, in a sentence.
std::string why(const Daemon& daemon, const ServiceConfig& service, const std::string& home,
                const std::string& backend) {
  if (backend.empty()) return "no backend takes clients";
  if (home == backend) return "its hash leads there, and the backend takes clients";
  std::string state = "takes no clients";
  for (const BackendConfig& candidate : service.backends) {
    if (candidate.name != home) continue;
    const auto report = value_or_zero(daemon.health().reports(), Name{service.name, home});
    if (candidate.drain)
      state = "drains";
    else if (report.health == Health::kDown)
      state = "is down (" + report.detail + ")";
    else if (!daemon.next_hops().next_hops().contains(candidate.endpoint.address)) {
      state = "is unresolved";
    }
  }
  return fmt::format("its hash leads to {}, which {}; its slot is dealt to {}", home, state,
                     backend);
}

}  // namespace

json::object status_json(const Daemon& daemon) {
  const Readings readings{daemon.effective_config(),      daemon.dataplane().counters(),
                          daemon.dataplane().flows(),     daemon.health().reports(),
                          daemon.next_hops().next_hops(), daemon.next_hops().unresolved()};
  json::array services;
  for (const ServiceConfig& service : readings.config.services) {
    services.push_back(service_json(daemon, readings, service));
  }
  const auto uptime = std::chrono::steady_clock::now() - daemon.started();
  return {{"version", kVersion},
          {"appliance", readings.config.appliance.name},
          {"pid", getpid()},
          {"uptime_s", std::chrono::duration_cast<std::chrono::seconds>(uptime).count()},
          {"file", daemon.file()},
          {"dataplane", dataplane_json(daemon, readings)},
          {"services", std::move(services)},
          {"differences", json::value_from(describe(daemon.file_config(), daemon.overrides()))},
          {"error", daemon.last_error()}};
}

Result<json::object> explain_json(const Daemon& daemon, const std::string& client_text,
                                  const std::string& service_name) {
  const auto client = IpAddress::parse(client_text);
  if (!client) {
    return fail(ErrorKind::kInvalid,
                fmt::format("\"{}\" is not an address such as 198.51.100.7", client_text));
  }
  for (const ServiceConfig& service : daemon.effective_config().services) {
    if (service.name != service_name) continue;
    if (service.vip.address.family != client->family) {
      return fail(ErrorKind::kInvalid, fmt::format("{} is {}, service \"{}\" is {}", client_text,
                                                   to_string(client->family), service_name,
                                                   to_string(service.vip.address.family)));
    }
    const ServiceId id = value_or_zero(daemon.plan().service_ids, service_name);
    const Explanation explanation = daemon.dataplane().explain(id, *client);
    const std::string home = home_of(daemon, id, explanation.slot);
    const std::string backend = name_of(daemon, service_name, explanation.backend);
    const int bits = client->is_ipv4() ? service.client_prefix.ipv4 : service.client_prefix.ipv6;
    return json::object{{"service", service_name},
                        {"client", client_text},
                        {"hashed", fmt::format("{}/{}", client_text, bits)},
                        {"hash", fmt::format("{:016x}", explanation.client_hash)},
                        {"slot", explanation.slot},
                        {"backend", backend},
                        {"home", home},
                        {"why", why(daemon, service, home, backend)}};
  }
  return fail(ErrorKind::kNotFound, fmt::format("there is no service \"{}\"", service_name));
}

}  // namespace penstock
