// SPDX-License-Identifier: Apache-2.0
// What has to change in the tables: (what they hold, configuration, health, next hops) to a Delta.
// Pure.
//
// Ids are the only memory: a service or backend keeps its id as long as it is configured, and a
// backend that was removed keeps id and entry (it *lingers*) until no flow refers to it, so that
// removal breaks no connection.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/plan/lookup_table.h"
#include "dataplane/dataplane.h"

namespace penstock {

struct PlanInput {
  Config config;  // the file with the overrides over it
  HashKey hash_key{};
  std::vector<IpAddress> snat_addresses;  // resolved: never empty for a family in use
  std::vector<IpAddress> own_addresses;   // at most 16 of a family
  std::map<Family, Gateway> gateways;     // absent: no default route, or unresolved
  std::set<std::pair<std::string, std::string>>
      up;                                  // service name, backend name; health "none" included
  std::map<IpAddress, NextHop> next_hops;  // by backend address; absent: unresolved
  std::set<BackendId> busy_backends;       // live flows refer to these
  std::set<ServiceId> busy_services;
  std::optional<AffinitySnapshot> affinity;  // absent: earlier lookup tables stay as they are
  std::set<std::pair<std::string, std::string>> drained_out;  // service, backend: past the deadline
  std::optional<NextHop> sidecar;  // absent: there is none, and no service may have tls
};

// What a service with tls is beside itself, to the dataplane.
struct TlsServices {
  ServiceId clients = 0;   // at its TLS port: to the sidecar
  ServiceId redirect = 0;  // the same at port 80; 0: none
  ServiceId onward = 0;    // from the sidecar to its backends
  ServiceId acme = 0;      // from there to the one for ACME challenges; 0: none
  bool operator==(const TlsServices&) const = default;
};

// What is in the tables, and what it was computed from.
struct PlanState {
  ForwardingState forwarding;
  std::map<ServiceId, std::vector<LookupMember>> members;  // absent: not known (after a restart)
  std::map<LookupTableId, LookupTable> tables;  // the affinity tables that services refer to
};

struct Plan {
  Delta delta;
  PlanState next;  // the state once delta is applied
  // By name: whose lookup table has the service's backends. The one at its VIP, but where that
  // leads to the sidecar for a redirect.
  std::map<std::string, ServiceId> service_ids;
  std::map<std::pair<std::string, std::string>, BackendId>
      backend_ids;                         // by service name, backend name
  std::map<std::string, TlsServices> tls;  // by name: of those that have tls
  std::set<BackendId> sidecar_backends;    // that stand for the sidecar
  // Earlier lookup tables were given up for want of room: clients that were not seen since may
  // move.
  std::set<ServiceId> forgetful_services;
  bool changes_anything = false;
};

// kConflict when the tables have no room (max_services, max_backends), naming the key to raise.
Result<Plan> make_plan(const PlanState& current, const PlanInput& input);

}  // namespace penstock
