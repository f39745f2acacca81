// SPDX-License-Identifier: Apache-2.0
// One function an object of the document.
#include "controlplane/control/status_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cmath>

#include "controlplane/control/counters_json.h"
#include "controlplane/control/tls_json.h"
#include "controlplane/control/version.h"
#include "controlplane/netlink/offload_reader.h"

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

FlowCounts all_flows(const FlowSnapshot& flows) {
  FlowCounts sum;
  for (const auto& [id, counts] : flows.services) {
    sum.half_open += counts.half_open;
    sum.established += counts.established;
    sum.closing += counts.closing;
  }
  return sum;
}

template <typename Map, typename Key>
typename Map::mapped_type value_or_zero(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? typename Map::mapped_type{} : found->second;
}

// Read once for the whole document.
struct Readings {
  Config config;
  DataplaneStatus dataplane;
  std::map<std::string, std::vector<OffloadProblem>> offloads;  // by interface
  CounterSnapshot counters;
  FlowSnapshot flows;
  AffinitySnapshot affinity;
  std::map<Name, HealthReport> health;
  std::map<IpAddress, NextHop> next_hops;
  std::map<IpAddress, std::string> unresolved;
  std::optional<SidecarStatus> sidecar;
};

json::value next_hop_json(const Readings& readings, const IpAddress& address) {
  const auto hop = readings.next_hops.find(address);
  if (hop == readings.next_hops.end()) return nullptr;
  std::array<char, IF_NAMESIZE> interface {};
  if_indextoname(hop->second.interface_index, interface.data());
  return {{"mac", to_string(hop->second.destination)}, {"interface", interface.data()}};
}

// UTC, to the second; null: never.
json::value time_json(std::chrono::system_clock::time_point time) {
  if (time == std::chrono::system_clock::time_point{}) return nullptr;
  return json::value_from(fmt::format("{:%FT%TZ}", fmt::gmtime(time)));
}

// Whom affinity keeps there although the lookup table leads elsewhere.
json::object kept_json(const Readings& readings, ServiceId service, BackendId backend) {
  return {{"seen", value_or_zero(value_or_zero(readings.affinity.kept, service), backend)},
          {"unseen", value_or_zero(value_or_zero(readings.affinity.unseen, service), backend)}};
}

json::value affinity_json(const Daemon& daemon, const ServiceConfig& service, ServiceId id) {
  if (!service.affinity) return nullptr;
  const auto seconds = [](milliseconds time) { return static_cast<double>(time.count()) / 1000; };
  const auto entry = value_or_zero(daemon.plan().next.forwarding.services, id);
  const auto& deadline = service.affinity->drain_deadline;
  return {{"idle_s", seconds(service.affinity->idle)},
          {"drain_deadline_s", deadline ? json::value(seconds(*deadline)) : json::value(nullptr)},
          {"earlier_tables", entry.earlier.size()}};
}

uint32_t slots_of(const Daemon& daemon, ServiceId service, BackendId backend) {
  return value_or_zero(value_or_zero(daemon.slots(), service), backend);
}

json::object backend_json(const Daemon& daemon, const Readings& readings, const Name& name,
                          const BackendConfig& backend) {
  const auto id = value_or_zero(daemon.plan().backend_ids, name);
  const auto service_id = value_or_zero(daemon.plan().service_ids, name.first);
  const uint32_t slots = id == 0 ? 0 : slots_of(daemon, service_id, id);
  const HealthReport report = value_or_zero(readings.health, name);
  return {{"name", backend.name},
          {"address", to_string(backend.endpoint)},
          {"weight", backend.weight},
          {"drain", backend.drain},
          {"health", health_text(report.health)},
          {"detail", report.detail},
          {"since", time_json(report.since)},
          {"slots", slots},
          {"share_percent", std::round(slots * 10'000.0 / kLookupTableSlots) / 100},
          {"next_hop", next_hop_json(readings, backend.endpoint.address)},
          {"unresolved", value_or_zero(readings.unresolved, backend.endpoint.address)},
          {"kept_clients", kept_json(readings, service_id, id)},
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
          {"mode", to_string(service.mode)},
          {"hash", service.hash == HashOf::kFlow ? "flow" : "client"},
          {"syn_cookies", service.syn_cookies},
          {"clamp_mss", service.clamp_mss},
          {"affinity", affinity_json(daemon, service, id)},
          {"tls", tls_json(daemon, service, readings.sidecar, readings.counters, readings.flows)},
          {"backends", std::move(backends)},
          {"flows", flows_json(value_or_zero(readings.flows.services, id))},
          {"counters", counters_json(value_or_zero(readings.counters.services, id))},
          {"dropped", reasons_json(value_or_zero(readings.counters.dropped, id))},
          {"passed", reasons_json(value_or_zero(readings.counters.passed, id))},
          {"answered", reasons_json(value_or_zero(readings.counters.answered, id))}};
}

json::object interface_json(const Readings& readings, const InterfaceStatus& interface) {
  json::array problems;
  for (const OffloadProblem& problem : readings.offloads.at(interface.name)) {
    problems.push_back(
        {{"text", problem.text}, {"command", problem.command}, {"certain", problem.certain}});
  }
  return {{"name", interface.name},
          {"device", interface.device},
          {"attach_mode", interface.attach_mode},
          {"degraded", interface.degraded},
          {"offload_problems", std::move(problems)}};
}

json::value forwarder_json(const std::optional<ForwarderStatus>& forwarder) {
  if (!forwarder) return nullptr;
  json::array workers;
  for (const WorkerStatus& worker : forwarder->workers) {
    workers.push_back({{"cpu", worker.cpu},
                       {"packets", worker.packets},
                       {"passes", worker.passes},
                       {"empty_polls", worker.empty_polls},
                       {"cycles_per_packet", worker.cycles_per_packet},
                       {"ns_per_packet", worker.ns_per_packet},
                       {"handed_over", worker.handed_over},
                       {"lost_in_rings", worker.lost_in_rings},
                       {"unsent", worker.unsent}});
  }
  return json::object{{"pid", forwarder->pid},
                      {"restarts", forwarder->restarts},
                      {"lost_to_kernel", forwarder->lost_to_kernel},
                      {"workers", std::move(workers)}};
}

json::object dataplane_json(const Readings& readings) {
  const DataplaneStatus& status = readings.dataplane;
  json::array interfaces;
  for (const InterfaceStatus& interface : status.interfaces) {
    interfaces.push_back(interface_json(readings, interface));
  }
  const PortRange ports = readings.config.dataplane.snat_ports;
  return {{"driver", status.driver},
          {"adopted", status.adopted},
          {"interfaces", std::move(interfaces)},
          {"forwarder", forwarder_json(status.forwarder)},
          {"flow_table_capacity", readings.flows.capacity},
          {"flows", flows_json(all_flows(readings.flows))},
          {"affinity_entries", readings.affinity.entries},
          {"affinity_capacity", readings.affinity.capacity},
          {"snat_ports", fmt::format("{}-{}", ports.first, ports.last)},
          {"dropped", reasons_json(value_or_zero(readings.counters.dropped, ServiceId{0}))},
          {"passed", reasons_json(value_or_zero(readings.counters.passed, ServiceId{0}))},
          {"answered", reasons_json(value_or_zero(readings.counters.answered, ServiceId{0}))}};
}

// What needs a person, a sentence each.
json::array warnings_json(const Daemon& daemon, const Readings& readings) {
  json::array warnings;
  const auto warn = [&](const std::string& words) { warnings.push_back(json::string(words)); };
  if (!daemon.last_error().empty()) {
    warn("what is wanted is not in force: " + daemon.last_error());
  }
  for (const InterfaceStatus& interface : readings.dataplane.interfaces) {
    if (!interface.degraded.empty()) {
      warn(fmt::format("{} is degraded: {}", interface.name, interface.degraded));
    }
    for (const OffloadProblem& problem : readings.offloads.at(interface.name)) {
      if (problem.certain) warn(fmt::format("{}: {}", interface.name, to_string(problem)));
    }
  }
  for (const ServiceConfig& service : readings.config.services) {
    const ServiceId id = value_or_zero(daemon.plan().service_ids, service.name);
    if (slots_of(daemon, id, 0) == kLookupTableSlots) {
      warn(fmt::format("service {} has no backend that takes clients", service.name));
    }
  }
  for (const std::string& words : tls_warnings(daemon, readings.sidecar)) warn(words);
  return warnings;
}

}  // namespace

json::object status_json(const Daemon& daemon) {
  Readings readings{.config = daemon.effective_config(),
                    .dataplane = daemon.dataplane().status(),
                    .offloads = {},
                    .counters = daemon.dataplane().counters(),
                    .flows = daemon.dataplane().flows(),
                    .affinity = daemon.dataplane().affinity(),
                    .health = daemon.health().reports(),
                    .next_hops = daemon.next_hops().next_hops(),
                    .unresolved = daemon.next_hops().unresolved(),
                    .sidecar = sidecar_status(daemon)};
  for (const InterfaceStatus& interface : readings.dataplane.interfaces) {
    readings.offloads[interface.name] = find_offload_problems(interface.name);
  }
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
          {"dataplane", dataplane_json(readings)},
          {"services", std::move(services)},
          {"sidecar", sidecar_json(daemon, readings.config, readings.sidecar)},
          {"differences", json::value_from(describe(daemon.file_config(), daemon.overrides()))},
          {"error", daemon.last_error()},
          {"warnings", warnings_json(daemon, readings)}};
}

}  // namespace penstock
