// SPDX-License-Identifier: Apache-2.0
// The dataplane says where a client goes; the table with every backend up says where it is at home;
// the difference has a reason.
#include "controlplane/control/explain_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

namespace penstock {
namespace {

namespace json = boost::json;

// The name of the backend that the slot belongs to with every backend up; empty: nobody's.
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

// Why a backend takes no clients.
std::string state_of(const Daemon& daemon, const std::string& service,
                     const BackendConfig& backend) {
  if (backend.drain || backend.weight == 0) return "drains";
  const auto reports = daemon.health().reports();
  const auto report = reports.find({service, backend.name});
  if (report != reports.end() && report->second.health == Health::kDown) {
    return fmt::format("is down since {:%F %T} UTC ({})", fmt::gmtime(report->second.since),
                       report->second.detail);
  }
  const auto unresolved = daemon.next_hops().unresolved();
  const auto reason = unresolved.find(backend.endpoint.address);
  if (reason != unresolved.end()) return fmt::format("is unresolved ({})", reason->second);
  return "has not passed a health check yet";
}

std::string why(const Daemon& daemon, const ServiceConfig& service, const std::string& home,
                const std::string& backend, const std::string& selected) {
  if (backend != selected) {
    return fmt::format("affinity keeps it there while it is active; its slot leads to {} now",
                       selected.empty() ? "nobody" : selected);
  }
  if (backend.empty()) return fmt::format("no backend of {} takes clients", service.name);
  if (home == backend) return "its hash leads there, and the backend takes clients";
  for (const BackendConfig& candidate : service.backends) {
    if (candidate.name != home) continue;
    return fmt::format("its own backend {} {}; its slot is dealt to {}", home,
                       state_of(daemon, service.name, candidate), backend);
  }
  return fmt::format("its slot is dealt to {}", backend);
}

std::string why_denied(const ServiceConfig& service, const IpAddress& client) {
  const auto prefix = longest_match(service.access.deny, client);
  return prefix ? fmt::format("{} is in deny of {}", to_string(*prefix), service.name)
                : fmt::format("no prefix in allow of {} has it", service.name);
}

const ServiceConfig* find_service(const Config& config, const std::string& name) {
  for (const ServiceConfig& service : config.services) {
    if (service.name == name) return &service;
  }
  return nullptr;
}

std::string hashed_text(const ServiceConfig& service, const Endpoint& client) {
  const ClientPrefix& prefix = service.client_prefix;
  const std::string text =
      prefix_text(client.address, client.address.is_ipv4() ? prefix.ipv4 : prefix.ipv6);
  return service.hash == HashOf::kFlow ? fmt::format("{}, port {}", text, client.port) : text;
}

// Where the client's connections by TLS lead; null: it has none, or a port of the sidecar's own
// would say.
json::value backend_by_tls(const Daemon& daemon, const ServiceConfig& service,
                           const Endpoint& client) {
  const auto places = daemon.plan().tls.find(service.name);
  if (places == daemon.plan().tls.end() || service.hash == HashOf::kFlow) return nullptr;
  const Explanation explanation = daemon.dataplane().explain(places->second.onward, client);
  return json::value_from(
      explanation.is_denied ? "" : name_of(daemon, service.name, explanation.backend));
}

// An address alone has port 0.
std::optional<Endpoint> parse_client(const std::string& text) {
  if (const auto address = IpAddress::parse(text)) return Endpoint{*address, 0};
  return Endpoint::parse(text);
}

}  // namespace

std::string prefix_text(IpAddress address, int bits) {
  for (int i = 0; i < 16; i++) {
    const int kept = std::clamp(bits - 8 * i, 0, 8);
    auto& byte = address.bytes[static_cast<size_t>(i)];
    byte = static_cast<uint8_t>(byte & (0xff00 >> kept));
  }
  return fmt::format("{}/{}", to_string(address), bits);
}

Result<json::object> explain_json(const Daemon& daemon, const std::string& client_text,
                                  const std::string& service_name) {
  const auto client = parse_client(client_text);
  if (!client) {
    return fail(ErrorKind::kInvalid,
                fmt::format("\"{}\" is not an address such as 198.51.100.7, nor one with a port "
                            "such as 198.51.100.7:40000",
                            client_text));
  }
  const Config config = daemon.effective_config();
  const ServiceConfig* service = find_service(config, service_name);
  if (!service) {
    return fail(
        ErrorKind::kNotFound,
        fmt::format("there is no service \"{}\": `penstock status` lists them", service_name));
  }
  const Family family = client->address.family;
  if (service->vip.address.family != family) {
    return fail(ErrorKind::kInvalid,
                fmt::format("{} is {}, service \"{}\" is {}", client_text, to_string(family),
                            service_name, to_string(service->vip.address.family)));
  }
  if (service->hash == HashOf::kFlow && client->port == 0) {
    return fail(ErrorKind::kInvalid,
                fmt::format("service \"{}\" hashes the client's port too: name it, as {}",
                            service_name, to_string(Endpoint{client->address, 40000})));
  }
  const auto id = daemon.plan().service_ids.find(service_name);
  if (id == daemon.plan().service_ids.end()) {
    return fail(ErrorKind::kConflict,
                "the first health checks are not through: ask again in a second");
  }
  const Explanation explanation = daemon.dataplane().explain(id->second, *client);
  const std::string home = home_of(daemon, id->second, explanation.slot);
  const std::string backend =
      explanation.is_denied ? "" : name_of(daemon, service_name, explanation.backend);
  const std::string selected = name_of(daemon, service_name, explanation.selected);
  return json::object{
      {"service", service_name},
      {"client", client_text},
      {"hashed", hashed_text(*service, *client)},
      {"hash", fmt::format("{:016x}", explanation.client_hash)},
      {"slot", explanation.slot},
      {"backend", backend},
      {"selected", selected},
      {"home", home},
      {"backend_by_tls", backend_by_tls(daemon, *service, *client)},
      {"denied", explanation.is_denied},
      {"why", explanation.is_denied ? why_denied(*service, client->address)
                                    : why(daemon, *service, home, backend, selected)}};
}

}  // namespace penstock
