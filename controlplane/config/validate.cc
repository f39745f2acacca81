// SPDX-License-Identifier: Apache-2.0
// One function a rule.
#include "controlplane/config/validate.h"

#include <algorithm>
#include <map>
#include <set>

#include "controlplane/config/clients.h"
#include "controlplane/config/tls.h"

namespace penstock {
namespace {

constexpr size_t kMostInterfaces = 8;  // PS_MAX_INTERFACES in the core

std::string at(const Place& place) {
  return fmt::format("{}:{}", place.file, place.line);
}

// Loopback, unspecified, multicast, link-local IPv6 and IPv4-mapped addresses are not: no frame on
// the wire leads there, or not without a zone.
bool is_host_address(const IpAddress& address) {
  const auto& bytes = address.bytes;
  if (address.is_ipv4()) return bytes[0] != 0 && bytes[0] != 127 && bytes[0] < 224;
  const bool starts_with_zeros =
      std::all_of(bytes.begin(), bytes.begin() + 10, [](uint8_t byte) { return byte == 0; });
  const bool link_local = bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
  return !starts_with_zeros && !link_local && bytes[0] != 0xff;
}

std::string check_host_address(const IpAddress& address) {
  if (is_host_address(address)) return "";
  return fmt::format(
      "{} is not an address that other machines can reach: name one of the network's",
      to_string(address));
}

// A service whose own faults are noted already is not worth comparing.
bool is_whole(const ServiceConfig& service) {
  return !service.name.empty() && service.vip.port != 0 && service.vip.address != IpAddress{};
}

void check_interfaces(const Config& config, const ConfigPlaces& places, Findings& findings) {
  const auto& names = config.dataplane.interfaces;
  if (names.empty()) {
    findings.add(places.dataplane.line ? places.interfaces : places.dataplane,
                 "name at least one interface, such as interfaces = [\"eth0\"]");
  }
  if (names.size() > kMostInterfaces - config.has_tls()) {
    findings.add(places.interfaces,
                 config.has_tls() ? "at most 7 interfaces can be named where a service has tls, "
                                    "which takes one"
                                  : "at most 8 interfaces can be named");
  }
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 15 || name == "." || name == ".." ||
        name.find_first_of("/: \t\n") != std::string::npos) {
      findings.add(places.interfaces,
                   fmt::format("found {}, expected an interface's name of 1 to 15 characters",
                               in_quotes(name)));
    }
    if (!seen.insert(name).second) {
      findings.add(places.interfaces, fmt::format("\"{}\" is named twice", name));
    }
  }
}

// A port stands for a device that one of the interfaces is, or is a VLAN of.
void check_dpdk_ports(const Config& config, const ConfigPlaces& places, Findings& findings) {
  std::set<std::string> seen;
  for (const DpdkPortConfig& port : config.dpdk.ports) {
    const auto& names = config.dataplane.interfaces;
    const bool is_known = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return name == port.interface || name.rfind(port.interface + ".", 0) == 0;
    });
    if (!is_known) {
      findings.add(places.dpdk, fmt::format("ports: {} is none of dataplane.interfaces",
                                            in_quotes(port.interface)));
    }
    if (!seen.insert(port.interface).second || !seen.insert(port.device).second) {
      findings.add(places.dpdk, fmt::format("ports: {} = {} names one twice",
                                            in_quotes(port.interface), in_quotes(port.device)));
    }
  }
}

void check_snat_addresses(const Config& config, const ConfigPlaces& places, Findings& findings) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto count = std::count_if(
        config.dataplane.snat_addresses.begin(), config.dataplane.snat_addresses.end(),
        [&](const IpAddress& address) { return address.family == family; });
    if (count > 16) {
      findings.add(places.snat_addresses,
                   fmt::format("at most 16 {} addresses can be named", to_string(family)));
    }
  }
  std::set<IpAddress> seen;
  for (const IpAddress& address : config.dataplane.snat_addresses) {
    if (const auto fault = check_host_address(address); !fault.empty()) {
      findings.add(places.snat_addresses, fault);
    }
    if (!seen.insert(address).second) {
      findings.add(places.snat_addresses, fmt::format("{} is named twice", to_string(address)));
    }
  }
}

void check_tunnel_sources(const Config& config, const ConfigPlaces& places, Findings& findings) {
  const auto& prefixes = config.dataplane.tunnel_sources;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (std::count_if(prefixes.begin(), prefixes.end(), [&](const IpPrefix& prefix) {
          return prefix.address.family == family;
        }) > 1) {
      findings.add(places.tunnel_sources,
                   fmt::format("at most one {} prefix can be named", to_string(family)));
    }
  }
  for (const IpPrefix& prefix : prefixes) {
    if (const auto fault = check_host_address(prefix.address); !fault.empty()) {
      findings.add(places.tunnel_sources, fault);
    }
  }
}

void check_distinct_services(const Config& config, const ConfigPlaces& places, Findings& findings) {
  std::map<std::string, const Place*> names;
  std::map<std::pair<Protocol, Endpoint>, const Place*> vips;
  for (size_t i = 0; i < config.services.size(); i++) {
    const ServiceConfig& service = config.services[i];
    const ServicePlaces& place = places.services[i];
    if (!is_whole(service)) continue;
    const auto [name, new_name] = names.emplace(service.name, &place.name);
    if (!new_name) {
      findings.add(place.name, fmt::format("a service \"{}\" is already at {}: give this one "
                                           "another name",
                                           service.name, at(*name->second)));
    }
    const auto [vip, new_vip] =
        vips.emplace(std::pair{service.protocol, service.vip}, &place.address);
    if (!new_vip) {
      findings.add(
          place.address,
          fmt::format("{} {} is already served at {}: choose another address, port or "
                      "protocol",
                      to_string(service.protocol), to_string(service.vip), at(*vip->second)));
    }
  }
}

void check_vip(const Config& config, const ServiceConfig& service, const ServicePlaces& place,
               Findings& findings) {
  const IpAddress& vip = service.vip.address;
  if (const auto fault = check_host_address(vip); !fault.empty()) {
    findings.add(place.address, fault);
  }
  const auto& snat = config.dataplane.snat_addresses;
  if (std::find(snat.begin(), snat.end(), vip) != snat.end()) {
    findings.add(place.address,
                 fmt::format("{} is one of dataplane.snat_addresses: a service needs "
                             "an address of its own",
                             to_string(vip)));
  }
}

void check_backends(const Config& config, const ServiceConfig& service, const ServicePlaces& place,
                    Findings& findings) {
  std::set<std::string> names;
  std::set<Endpoint> endpoints;
  for (size_t i = 0; i < service.backends.size(); i++) {
    const BackendConfig& backend = service.backends[i];
    if (backend.endpoint.port == 0) continue;
    if (!endpoints.insert(backend.endpoint).second) {
      findings.add(
          place.backend_addresses[i],
          fmt::format("service \"{}\" has {} already", service.name, to_string(backend.endpoint)));
    } else if (!names.insert(backend.name).second) {
      findings.add(place.backend_names[i],
                   fmt::format("service \"{}\" has a backend \"{}\" already: give this one "
                               "another name",
                               service.name, backend.name));
    }
    if (const auto fault = check_backend_address(config, service, backend.endpoint);
        !fault.empty()) {
      findings.add(place.backend_addresses[i], fault);
    }
  }
}

void check_health(const ServiceConfig& service, const ServicePlaces& place, Findings& findings) {
  if (service.health.timeout > service.health.interval) {
    findings.add(place.timeout,
                 fmt::format("{} ms is longer than the interval of {} ms: make it at most that",
                             service.health.timeout.count(), service.health.interval.count()));
  }
  if (service.protocol == Protocol::kUdp && service.health.type != HealthCheckType::kNone &&
      !service.health.port) {
    findings.add(place.health_type,
                 "a udp service is probed on a TCP port of its instances: name it with "
                 "health.port, or use type = \"none\"");
  }
}

// Of a key that is about SYNs and for one mode only; `why` it is.
void check_key_of_syns(const ServiceConfig& service, const Place& place, Mode mode, const char* why,
                       Findings& findings) {
  if (service.protocol == Protocol::kUdp) {
    findings.add(place, "makes no sense for protocol udp: only TCP has SYNs");
  } else if (service.mode != mode) {
    findings.add(place, fmt::format("needs mode {}, found mode {}: {}", to_string(mode),
                                    to_string(service.mode), why));
  }
}

void check_handshakes(const ServiceConfig& service, const ServicePlaces& places,
                      Findings& findings) {
  if (service.syn_cookies) {
    check_key_of_syns(service, places.syn_cookies, Mode::kNat,
                      "sequence numbers are translated from then on, and answers have to come back "
                      "through penstock",
                      findings);
  }
  if (service.clamp_mss) {
    check_key_of_syns(service, places.clamp_mss, Mode::kTunnel,
                      "without a tunnel's header what fits the client's way fits the backend's",
                      findings);
  }
}

void check_room(const Config& config, const ConfigPlaces& places, Findings& findings) {
  std::set<std::pair<Protocol, Endpoint>> backends;
  for (const ServiceConfig& service : config.services) {
    for (const auto& backend : service.backends) {
      backends.insert({service.protocol, backend.endpoint});
    }
  }
  if (config.services.size() >= config.dataplane.max_services) {
    findings.add(places.dataplane, fmt::format("{} services need max_services = {} or more",
                                               config.services.size(), config.services.size() + 1));
  }
  const auto with_affinity =
      std::count_if(config.services.begin(), config.services.end(),
                    [](const ServiceConfig& service) { return service.affinity.has_value(); });
  if (2 * with_affinity > config.dataplane.affinity_tables) {
    findings.add(places.dataplane,
                 fmt::format("{} services with affinity need affinity_tables = {} or more",
                             with_affinity, 2 * with_affinity));
  }
  if (backends.size() >= config.dataplane.max_backends) {
    findings.add(places.dataplane, fmt::format("{} backends need max_backends = {} or more",
                                               backends.size(), backends.size() + 1));
  }
}

}  // namespace

std::string check_name(const std::string& name) {
  if (!name.empty() && name.find('/') == std::string::npos) return "";
  return fmt::format("found {}, expected a name without \"/\"", in_quotes(name));
}

std::string check_weight(uint32_t weight) {
  if (weight <= kMaxWeight) return "";
  return fmt::format("found {}, expected a whole number from 0 to {}", weight, kMaxWeight);
}

bool keeps_ports(Mode mode) {
  return mode == Mode::kDsr || mode == Mode::kTunnel;
}

std::string check_backend_address(const Config& config, const ServiceConfig& service,
                                  const Endpoint& endpoint) {
  const IpAddress& address = endpoint.address;
  const IpAddress& vip = service.vip.address;
  if (service.mode != Mode::kTunnel && address.family != vip.family) {
    return fmt::format(
        "{} is {}, but service \"{}\" is at {}, which is {}: mode {} keeps the "
        "family, so name an {} address of the instance",
        to_string(address), to_string(address.family), service.name, to_string(vip),
        to_string(vip.family), to_string(service.mode), to_string(vip.family));
  }
  if (keeps_ports(service.mode) && endpoint.port != service.vip.port) {
    return fmt::format(
        "mode {} leaves ports as they are, and service \"{}\" is at port {}: the instance has to "
        "listen there, so name {}",
        to_string(service.mode), service.name, service.vip.port,
        to_string(Endpoint{address, service.vip.port}));
  }
  for (const ServiceConfig& other : config.services) {
    if (other.vip.address != address) continue;
    return fmt::format("{} is the address of service \"{}\": name the instance's own",
                       to_string(address), other.name);
  }
  return check_host_address(address);
}

void validate(const Config& config, const ConfigPlaces& places, Findings& findings) {
  check_interfaces(config, places, findings);
  check_dpdk_ports(config, places, findings);
  check_snat_addresses(config, places, findings);
  check_tunnel_sources(config, places, findings);
  check_distinct_services(config, places, findings);
  for (size_t i = 0; i < config.services.size(); i++) {
    const ServiceConfig& service = config.services[i];
    check_vip(config, service, places.services[i], findings);
    if (is_whole(service)) check_backends(config, service, places.services[i], findings);
    if (is_whole(service)) check_access(service, places.services[i], findings);
    check_health(service, places.services[i], findings);
    check_handshakes(service, places.services[i], findings);
  }
  check_tls(config, places, findings);
  check_room(config, places, findings);
}

}  // namespace penstock
