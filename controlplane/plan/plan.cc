// SPDX-License-Identifier: Apache-2.0
// Ids first, then entries, then lookup tables where their members changed.
#include "controlplane/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>

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

ForwardingSettings settings(const PlanInput& input) {
  const DataplaneConfig& from = input.config.dataplane;
  ForwardingSettings to;
  to.hash_key = input.hash_key;
  to.snat_addresses = input.snat_addresses;
  std::stable_sort(to.snat_addresses.begin(), to.snat_addresses.end(),
                   [](const auto& a, const auto& b) { return a.family < b.family; });
  to.snat_port_first = from.snat_ports.first;
  to.snat_port_last = from.snat_ports.last;
  to.tcp_half_open_timeout = from.flow_timeouts.tcp_half_open;
  to.tcp_established_timeout = from.flow_timeouts.tcp_established;
  to.tcp_closing_timeout = from.flow_timeouts.tcp_closing;
  to.udp_half_open_timeout = from.flow_timeouts.udp_half_open;
  to.udp_established_timeout = from.flow_timeouts.udp_established;
  return to;
}

BackendEntry backend_entry(const PlanInput& input, const Instance& instance) {
  BackendEntry entry;
  entry.protocol = instance.first;
  entry.endpoint = instance.second;
  const auto hop = input.next_hops.find(entry.endpoint.address);
  if (hop != input.next_hops.end()) entry.next_hop = hop->second;
  return entry;
}

// Who takes clients in a service. With all down by health, `last_known` sets health aside.
std::vector<LookupMember> members(const PlanInput& input, const ServiceConfig& service,
                                  const std::map<BackendName, BackendId>& ids) {
  std::vector<LookupMember> members;
  bool any = false;
  for (const BackendConfig& backend : service.backends) {
    const BackendName name{service.name, backend.name};
    LookupMember member{backend.name, backend.weight, false, ids.at(name)};
    member.takes_clients = !backend.drain && backend.weight > 0 && input.up.contains(name) &&
                           input.next_hops.contains(backend.endpoint.address);
    any |= member.takes_clients;
    members.push_back(std::move(member));
  }
  if (any || service.all_down == AllDownPolicy::kReject) return members;
  for (size_t i = 0; i < members.size(); i++) {
    members[i].takes_clients = !service.backends[i].drain && members[i].weight > 0;
  }
  return members;
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
    mark_backends_that_are_down();
    keep_lingering_backends();
    deal_lookup_tables();
    plan_.delta.next = plan_.next.forwarding;
    plan_.changes_anything = !(plan_.next.forwarding == current_.forwarding);
    return std::move(plan_);
  }

 private:
  Result<void> add(const ServiceConfig& service) {
    const ServiceId id = service_ids_.of({service.protocol, service.vip});
    if (id == 0) {
      return fail(ErrorKind::kConflict,
                  fmt::format("no room for service {}: raise dataplane.max_services above {}",
                              service.name, input_.config.dataplane.max_services));
    }
    plan_.service_ids[service.name] = id;
    ServiceEntry& entry = plan_.next.forwarding.services[id];
    entry.protocol = service.protocol;
    entry.vip = service.vip;
    entry.client_prefix_bits =
        service.vip.address.is_ipv4() ? service.client_prefix.ipv4 : service.client_prefix.ipv6;
    for (const BackendConfig& backend : service.backends) {
      if (auto added = add(service, backend); !added) return added;
    }
    return {};
  }

  Result<void> add(const ServiceConfig& service, const BackendConfig& backend) {
    const Instance instance{service.protocol, backend.endpoint};
    const BackendId id = backend_ids_.of(instance);
    if (id == 0) {
      return fail(ErrorKind::kConflict,
                  fmt::format("no room for backend {} of service {}: raise "
                              "dataplane.max_backends above {}",
                              backend.name, service.name, input_.config.dataplane.max_backends));
    }
    plan_.backend_ids[{service.name, backend.name}] = id;
    plan_.next.forwarding.backends[id] = backend_entry(input_, instance);
    return {};
  }

  void mark_backends_that_are_down() {
    std::set<BackendId> up;
    for (const auto& [name, id] : plan_.backend_ids) {
      if (input_.up.contains(name)) up.insert(id);
    }
    for (auto& [id, backend] : plan_.next.forwarding.backends) backend.down = !up.contains(id);
  }

  void keep_lingering_backends() {
    for (const auto& [id, before] : current_.forwarding.backends) {
      if (plan_.next.forwarding.backends.contains(id) || !input_.busy_backends.contains(id)) {
        continue;
      }
      BackendEntry entry = backend_entry(input_, {before.protocol, before.endpoint});
      if (!entry.next_hop) entry.next_hop = before.next_hop;
      plan_.next.forwarding.backends[id] = entry;
    }
  }

  void deal_lookup_tables() {
    const bool same_key = current_.forwarding.settings.hash_key == input_.hash_key;
    for (const ServiceConfig& service : input_.config.services) {
      const ServiceId id = plan_.service_ids.at(service.name);
      auto& now = plan_.next.members[id];
      now = members(input_, service, plan_.backend_ids);
      const auto before = current_.members.find(id);
      const auto entry = current_.forwarding.services.find(id);
      const bool was_there = entry != current_.forwarding.services.end();
      uint8_t& which = plan_.next.forwarding.services[id].lookup_table;
      if (was_there) which = entry->second.lookup_table;
      if (was_there && same_key && before != current_.members.end() && before->second == now) {
        continue;
      }
      which ^= 1;
      plan_.delta.lookup_tables[id] = build_lookup_table(now, input_.hash_key);
    }
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
