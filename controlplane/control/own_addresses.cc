// SPDX-License-Identifier: Apache-2.0
#include "controlplane/control/own_addresses.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "controlplane/netlink/addresses.h"
#include "dataplane/dataplane.h"

namespace penstock {
namespace {

std::vector<IpAddress> of_family(const std::vector<IpAddress>& addresses, Family family) {
  std::vector<IpAddress> some;
  std::copy_if(addresses.begin(), addresses.end(), std::back_inserter(some),
               [&](const IpAddress& address) { return address.family == family; });
  return some;
}

// The families that a service needs an address of the appliance in.
std::set<Family> families_from(const ServiceConfig& service) {
  std::set<Family> families;
  if (service.mode == Mode::kNat || service.tls) families.insert(service.vip.address.family);
  if (service.mode != Mode::kTunnel) return families;
  for (const auto& backend : service.backends) families.insert(backend.endpoint.address.family);
  return families;
}

bool has_source(const ServiceConfig& service, Family family, const Config& config,
                const std::vector<IpAddress>& snat_addresses) {
  const auto& prefixes = config.dataplane.tunnel_sources;
  return std::any_of(snat_addresses.begin(), snat_addresses.end(),
                     [&](const auto& address) { return address.family == family; }) ||
         (service.mode == Mode::kTunnel &&
          std::any_of(prefixes.begin(), prefixes.end(),
                      [&](const auto& prefix) { return prefix.address.family == family; }));
}

}  // namespace

Result<OwnAddresses> find_own_addresses(const DataplaneConfig& config) {
  OwnAddresses found;
  for (const std::string& interface : config.interfaces) {
    const auto own = interface_addresses(interface);
    if (!own) return tl::unexpected(own.error());
    found.all.insert(found.all.end(), own->begin(), own->end());
  }
  found.snat = config.snat_addresses;
  if (!found.snat.empty()) return found;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    std::vector<IpAddress> some = of_family(found.all, family);
    if (some.size() > kMaxOwnAddresses) some.resize(kMaxOwnAddresses);
    found.snat.insert(found.snat.end(), some.begin(), some.end());
  }
  return found;
}

Result<void> check_addresses(const Config& config, const OwnAddresses& addresses) {
  for (const ServiceConfig& service : config.services) {
    for (const Family family : families_from(service)) {
      if (has_source(service, family, config, addresses.snat)) continue;
      return fail(ErrorKind::kInvalid,
                  fmt::format("service {} needs an {} address to reach its backends from: give {} "
                              "one, or name it in dataplane.snat_addresses, and start the daemon "
                              "again",
                              service.name, to_string(family),
                              fmt::join(config.dataplane.interfaces, ", ")));
    }
    const Family family = service.vip.address.family;
    const size_t own = of_family(addresses.all, family).size();
    if (!goes_by_dnat(service) || own <= kMaxOwnAddresses) continue;
    return fail(
        ErrorKind::kInvalid,
        fmt::format("service {} is in mode dnat or has tls, which has to know the appliance's own "
                    "addresses: {} has {} {} addresses, and {} are the most",
                    service.name, fmt::join(config.dataplane.interfaces, ", "), own,
                    to_string(family), kMaxOwnAddresses));
  }
  return {};
}

}  // namespace penstock
