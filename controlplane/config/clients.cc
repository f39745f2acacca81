// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/clients.h"

#include <algorithm>
#include <set>

namespace penstock {
namespace {

constexpr uint32_t kMostNewFlows = 100'000;  // per_second
constexpr uint32_t kMostBurst = 500'000;

NewFlowsConfig read_new_flows(const toml::table& table, const std::string& file,
                              Findings& findings) {
  NewFlowsConfig limit;
  TomlReader reader(table, file, "service.new_flows", findings);
  reader.require("per_second");
  reader.integer("per_second", limit.per_second, 1, kMostNewFlows);
  limit.burst = limit.per_second;
  reader.integer("burst", limit.burst, 1, kMostBurst);
  if (limit.burst < limit.per_second) {
    reader.fault("burst", fmt::format("{} is less than per_second, {}: make it at least that",
                                      limit.burst, limit.per_second));
  }
  if (const auto* prefix = reader.table("prefix")) {
    read_client_prefix(*prefix, file, "service.new_flows.prefix", limit.prefix, findings);
  }
  reader.finish();
  return limit;
}

void check_family(const ServiceConfig& service, const std::vector<IpPrefix>& prefixes,
                  const Place& place, Findings& findings) {
  const Family family = service.vip.address.family;
  for (const IpPrefix& prefix : prefixes) {
    if (prefix.address.family == family) continue;
    findings.add(place, fmt::format("{} is {}, but service \"{}\" is at {}, which is {}: it has "
                                    "no such clients",
                                    to_string(prefix), to_string(prefix.address.family),
                                    service.name, to_string(service.vip), to_string(family)));
  }
}

}  // namespace

void read_client_prefix(const toml::table& table, const std::string& file, const char* name,
                        ClientPrefix& prefix, Findings& findings) {
  TomlReader reader(table, file, name, findings);
  reader.integer("ipv4", prefix.ipv4, 1, 32);
  reader.integer("ipv6", prefix.ipv6, 1, 128);
  reader.finish();
}

void read_access(TomlReader& reader, const std::string& file, ServiceConfig& service,
                 ServicePlaces& places, Findings& findings) {
  constexpr const char* kExpected =
      "a prefix such as \"198.51.100.0/24\", whose bits behind its length are zero";
  places.allow = reader.place("allow");
  places.deny = reader.place("deny");
  places.new_flows = reader.place("new_flows");
  reader.parsed_each("allow", service.access.allow, kExpected);
  reader.parsed_each("deny", service.access.deny, kExpected);
  if (const auto* limit = reader.table("new_flows")) {
    service.new_flows = read_new_flows(*limit, file, findings);
  }
}

void check_access(const ServiceConfig& service, const ServicePlaces& places, Findings& findings) {
  const AccessRules& access = service.access;
  check_family(service, access.allow, places.allow, findings);
  check_family(service, access.deny, places.deny, findings);
  const std::set<IpPrefix> allowed(access.allow.begin(), access.allow.end());
  for (const IpPrefix& prefix : access.deny) {
    if (!allowed.contains(prefix)) continue;
    findings.add(places.deny,
                 fmt::format("{} is in allow too: take it out of one of them", to_string(prefix)));
  }
  if (service.new_flows && service.protocol == Protocol::kUdp && service.mode != Mode::kNat) {
    findings.add(places.new_flows,
                 fmt::format("mode {} keeps no flows, so a new one of udp cannot be told from "
                             "others: leave new_flows out, or use mode = \"nat\"",
                             to_string(service.mode)));
  }
}

}  // namespace penstock
