// SPDX-License-Identifier: Apache-2.0
// Ids first, then entries, then lookup tables where their members changed.
#include "controlplane/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "controlplane/config/tls.h"
#include "controlplane/plan/sidecar_places.h"
#include "controlplane/plan/table_places.h"

namespace penstock {
namespace {

using BackendName = std::pair<std::string, std::string>;  // service, backend
using Instance = std::pair<Protocol, Endpoint>;           // what a BackendId stands for

// Hands out ids: the one a thing had, else the lowest that is neither in use nor still referred to.
template <typename Id, typename Thing>
class Ids {
 public:
  Ids(const std::map<Thing, Id>& known, const std::set<Id>& busy, uint32_t limit)
      : known_(known), limit_(limit), taken_(busy) {
    for (const auto& [thing, id] : known) taken_.insert(id);
  }

  // 0: no room.
  Id of(const Thing& thing) {
    if (const auto found = known_.find(thing); found != known_.end()) return found->second;
    while (next_ < limit_ && taken_.contains(static_cast<Id>(next_))) next_++;
    if (next_ >= limit_) return 0;
    const auto id = static_cast<Id>(next_++);
    known_.emplace(thing, id);
    return id;
  }

 private:
  std::map<Thing, Id> known_;
  uint32_t limit_;
  std::set<Id> taken_;
  uint32_t next_ = 1;
};

std::map<Instance, ServiceId> known_services(const ForwardingState& state) {
  std::map<Instance, ServiceId> known;
  for (const auto& [id, service] : state.services) known[{service.protocol, service.vip}] = id;
  return known;
}

std::map<Instance, BackendId> known_backends(const ForwardingState& state) {
  std::map<Instance, BackendId> known;
  for (const auto& [id, backend] : state.backends) {
    known[{backend.protocol, backend.endpoint}] = id;
  }
  return known;
}

// The configured ones, and in a family without the first address that the appliance has.
std::vector<IpPrefix> tunnel_sources(std::vector<IpPrefix> sources,
                                     const std::vector<IpAddress>& own) {
  for (const IpAddress& address : own) {
    const auto is_of_family = [&](const IpPrefix& prefix) {
      return prefix.address.family == address.family;
    };
    if (std::any_of(sources.begin(), sources.end(), is_of_family)) continue;
    sources.push_back({address, static_cast<uint8_t>(address.is_ipv4() ? 32 : 128)});
  }
  std::sort(sources.begin(), sources.end());
  return sources;
}

// As the tables give them back.
std::vector<IpAddress> by_family(std::vector<IpAddress> addresses) {
  std::stable_sort(addresses.begin(), addresses.end(),
                   [](const auto& a, const auto& b) { return a.family < b.family; });
  return addresses;
}

ForwardingSettings settings(const PlanInput& input) {
  const DataplaneConfig& from = input.config.dataplane;
  ForwardingSettings to;
  to.hash_key = input.hash_key;
  to.snat_addresses = by_family(input.snat_addresses);
  to.tunnel_sources = tunnel_sources(from.tunnel_sources, to.snat_addresses);
  if (std::any_of(input.config.services.begin(), input.config.services.end(), goes_by_dnat)) {
    to.own_addresses = by_family(input.own_addresses);
    to.gateways = input.gateways;
  }
  to.snat_port_first = from.snat_ports.first;
  to.snat_port_last = from.snat_ports.last;
  to.tcp_half_open_timeout = from.flow_timeouts.tcp_half_open;
  to.tcp_established_timeout = from.flow_timeouts.tcp_established;
  to.tcp_closing_timeout = from.flow_timeouts.tcp_closing;
  to.udp_half_open_timeout = from.flow_timeouts.udp_half_open;
  to.udp_established_timeout = from.flow_timeouts.udp_established;
  return to;
}

NewFlowLimit limit_of(const NewFlowsConfig& limit, const IpAddress& vip) {
  return {limit.per_second, limit.burst, vip.is_ipv4() ? limit.prefix.ipv4 : limit.prefix.ipv6};
}

// Down until a service holds it healthy.
BackendEntry backend_entry(const PlanInput& input, const Instance& instance) {
  BackendEntry entry;
  entry.down = true;
  entry.protocol = instance.first;
  entry.endpoint = instance.second;
  const auto hop = input.next_hops.find(entry.endpoint.address);
  if (hop != input.next_hops.end()) entry.next_hop = hop->second;
  return entry;
}

// Clients who come for a redirect meet the sidecar at the service's own place.
bool is_redirect_alone(const ServiceConfig& service) {
  return service.tls && service.tls->redirect_http && service.vip.port == kRedirectPort;
}

// Health aside.
bool may_take_clients(const PlanInput& input, const BackendConfig& backend) {
  return !backend.drain && backend.weight > 0 && input.next_hops.contains(backend.endpoint.address);
}

// Names of a service's backends that count as healthy. When health leaves none that takes clients,
// `last_known` sets health aside.
std::set<std::string> healthy(const PlanInput& input, const ServiceConfig& service) {
  std::set<std::string> up;
  std::set<std::string> all;
  bool any_takes_clients = false;
  for (const BackendConfig& backend : service.backends) {
    const bool is_up = input.up.contains({service.name, backend.name});
    if (is_up) up.insert(backend.name);
    if (is_up || may_take_clients(input, backend)) all.insert(backend.name);
    any_takes_clients |= is_up && may_take_clients(input, backend);
  }
  return any_takes_clients || service.all_down == AllDownPolicy::kReject ? up : all;
}

// The ids and entries of everything that is configured, then of what lingers.
class Planner {
 public:
  Planner(const PlanState& current, const PlanInput& input)
      : current_(current),
        input_(input),
        service_ids_(known_services(current.forwarding), input.busy_services,
                     input.config.dataplane.max_services),
        backend_ids_(known_backends(current.forwarding), input.busy_backends,
                     input.config.dataplane.max_backends) {}

  Result<Plan> run() {
    plan_.next.forwarding.settings = settings(input_);
    for (const ServiceConfig& service : input_.config.services) {
      if (auto added = add(service); !added) return tl::unexpected(added.error());
    }
    keep_lingering_backends();
    deal_lookup_tables();
    plan_.delta.next = plan_.next.forwarding;
    plan_.changes_anything = !(plan_.next.forwarding == current_.forwarding) ||
                             !plan_.delta.lookup_tables.empty() || !plan_.delta.released.empty();
    return std::move(plan_);
  }

 private:
  Result<void> add(const ServiceConfig& service) {
    const auto id = new_service(service, service.vip);
    if (!id) return tl::unexpected(id.error());
    plan_.service_ids[service.name] = *id;
    plan_.next.forwarding.services[*id] = entry_of(service, *id);
    auto members = members_of(service);
    if (!members) return tl::unexpected(members.error());
    if (!service.tls) {
      plan_.next.members[*id] = std::move(*members);
      return {};
    }
    return add_tls(service, *id, std::move(*members));
  }

  // The place in the tables of a service or of what stands beside it.
  Result<ServiceId> new_service(const ServiceConfig& service, const Endpoint& vip) {
    ServiceId id = service_ids_.of({service.protocol, vip});
    if (id != 0) return id;
    return fail(
        ErrorKind::kConflict,
        fmt::format("no room for service {}{}: raise dataplane.max_services above {}", service.name,
                    service.tls ? ", which takes up to four with its tls" : "",
                    input_.config.dataplane.max_services));
  }

  ServiceEntry entry_of(const ServiceConfig& service, ServiceId id) const {
    ServiceEntry entry;
    entry.protocol = service.protocol;
    entry.vip = service.vip;
    entry.mode = service.mode;
    entry.has_flows = service.mode == Mode::kNat || had_flows(id);
    entry.client_prefix_bits =
        service.vip.address.is_ipv4() ? service.client_prefix.ipv4 : service.client_prefix.ipv6;
    entry.hashes_port = service.hash == HashOf::kFlow;
    entry.syn_cookies = service.syn_cookies;
    entry.clamps_mss = service.clamp_mss;
    entry.access = service.access;
    if (service.new_flows) entry.new_flows = limit_of(*service.new_flows, service.vip.address);
    if (service.affinity) {
      entry.affinity_idle = std::chrono::floor<std::chrono::seconds>(service.affinity->idle);
    }
    return entry;
  }

  Result<std::vector<LookupMember>> members_of(const ServiceConfig& service) {
    std::vector<LookupMember> members;
    const std::set<std::string> up = healthy(input_, service);
    for (const BackendConfig& backend : service.backends) {
      const bool is_up = up.contains(backend.name);
      const auto added = add(service, backend, is_up);
      if (!added) return tl::unexpected(added.error());
      members.push_back(
          {backend.name, backend.weight, is_up && may_take_clients(input_, backend), *added});
    }
    return members;
  }

  // What stands beside the service `id`, whose own clients' members are these.
  Result<void> add_tls(const ServiceConfig& service, ServiceId id,
                       std::vector<LookupMember> members) {
    if (!input_.sidecar) {
      return fail(ErrorKind::kConflict,
                  fmt::format("service {} has tls, and there is no sidecar", service.name));
    }
    const bool is_alone = is_redirect_alone(service);
    TlsServices& tls = plan_.tls[service.name];
    const auto onward = add_onward(service, onward_endpoint(service.vip.address.family, id));
    if (!onward) return tl::unexpected(onward.error());
    tls.onward = *onward;
    if (!is_alone) plan_.next.forwarding.services[tls.onward].clients_of = id;
    const auto clients = add_clients(service, service.tls->port);
    if (!clients) return tl::unexpected(clients.error());
    tls.clients = *clients;
    if (service.tls->redirect_http) {
      const auto redirect = add_clients(service, kRedirectPort);
      if (!redirect) return tl::unexpected(redirect.error());
      tls.redirect = *redirect;
    }
    if (const BackendConfig* acme = find_acme_backend(service)) {
      const auto added = add_onward(service, acme_endpoint(service.vip.address.family, id));
      if (!added) return tl::unexpected(added.error());
      tls.acme = *added;
      plan_.next.forwarding.services[tls.acme].affinity_idle = {};
      const BackendId backend = plan_.backend_ids.at({service.name, acme->name});
      plan_.next.members[tls.acme] = {{acme->name, 1, true, backend}};
    }
    if (is_alone) plan_.service_ids[service.name] = tls.onward;
    plan_.next.members[plan_.service_ids[service.name]] = std::move(members);
    return {};
  }

  // From clients to the sidecar, which answers from the address that they came to.
  Result<ServiceId> add_clients(const ServiceConfig& service, uint16_t port) {
    const Endpoint vip{service.vip.address, port};
    auto id = new_service(service, vip);
    if (!id) return id;
    ServiceEntry entry = entry_of(service, *id);
    entry.vip = vip;
    entry.mode = Mode::kDnat;
    entry.has_flows = had_flows(*id);
    entry.syn_cookies = false;
    entry.affinity_idle = {};
    plan_.next.forwarding.services[*id] = entry;
    const Instance sidecar{service.protocol, vip};
    auto backend = new_backend(service, "the sidecar", sidecar);
    if (!backend) return backend;
    BackendEntry& stands_for_it = plan_.next.forwarding.backends[*backend];
    stands_for_it = backend_entry(input_, sidecar);
    stands_for_it.next_hop = input_.sidecar;
    stands_for_it.down = false;
    stands_for_it.answers_for = *id;
    plan_.sidecar_backends.insert(*backend);
    plan_.next.members[*id] = {{"the sidecar", 1, true, *backend}};
    return id;
  }

  // From the sidecar alone. Who may come in, and how often, was asked before it; the lists are
  // asked once more, for what lasts longer than a change of them.
  Result<ServiceId> add_onward(const ServiceConfig& service, const Endpoint& vip) {
    auto id = new_service(service, vip);
    if (!id) return id;
    ServiceEntry entry = entry_of(service, *id);
    entry.vip = vip;
    entry.mode = Mode::kNat;
    entry.has_flows = true;
    entry.syn_cookies = false;
    entry.new_flows = {};
    entry.only_from = input_.sidecar->interface_index;
    plan_.next.forwarding.services[*id] = entry;
    return id;
  }

  bool had_flows(ServiceId id) const {
    const auto before = current_.forwarding.services.find(id);
    return before != current_.forwarding.services.end() && before->second.has_flows;
  }

  Result<BackendId> new_backend(const ServiceConfig& service, const std::string& name,
                                const Instance& instance) {
    BackendId id = backend_ids_.of(instance);
    if (id != 0) return id;
    return fail(ErrorKind::kConflict,
                fmt::format("no room for backend {} of service {}: raise "
                            "dataplane.max_backends above {}",
                            name, service.name, input_.config.dataplane.max_backends));
  }

  Result<BackendId> add(const ServiceConfig& service, const BackendConfig& backend, bool is_up) {
    const Instance instance{service.protocol, backend.endpoint};
    auto id = new_backend(service, backend.name, instance);
    if (!id) return id;
    plan_.backend_ids[{service.name, backend.name}] = *id;
    const auto entry =
        plan_.next.forwarding.backends.try_emplace(*id, backend_entry(input_, instance)).first;
    if (is_up) entry->second.down = false;
    if (service.mode == Mode::kDnat && !is_redirect_alone(service)) {
      entry->second.is_shared = entry->second.answers_for != 0;
      if (!entry->second.is_shared) entry->second.answers_for = plan_.service_ids[service.name];
    }
    return id;
  }

  void keep_lingering_backends() {
    for (const auto& [id, before] : current_.forwarding.backends) {
      if (plan_.next.forwarding.backends.contains(id) || !input_.busy_backends.contains(id)) {
        continue;
      }
      BackendEntry entry = backend_entry(input_, {before.protocol, before.endpoint});
      entry.down = false;  // nobody probes it any more, and its flows are to finish
      if (!entry.next_hop) entry.next_hop = before.next_hop;
      plan_.next.forwarding.backends[id] = entry;
    }
  }

  // A table is dealt anew when its members changed; packets meet it when the service points to it.
  void deal_lookup_tables() {
    plan_.next.tables = current_.tables;
    TablePlaces places(current_, input_, plan_);
    for (const auto& [id, service] : plan_.next.forwarding.services) {
      if (service.clients_of) continue;
      const std::vector<LookupMember>& now = plan_.next.members[id];
      const auto before = current_.members.find(id);
      if (before != current_.members.end() && before->second == now && !places.is_outdated(id)) {
        places.keep(id);
      } else {
        places.put(id, build_lookup_table(now, input_.hash_key));
      }
    }
    places.finish();
  }

  const PlanState& current_;
  const PlanInput& input_;
  Ids<ServiceId, Instance> service_ids_;
  Ids<BackendId, Instance> backend_ids_;
  Plan plan_;
};

}  // namespace

Result<Plan> make_plan(const PlanState& current, const PlanInput& input) {
  return Planner(current, input).run();
}

}  // namespace penstock
