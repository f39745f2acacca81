// SPDX-License-Identifier: Apache-2.0
#include "controlplane/control/tls_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "controlplane/control/counters_json.h"

namespace penstock {
namespace {

namespace json = boost::json;

// An operator who renews by hand wants to know in time.
constexpr int64_t kDaysToWarn = 30;

sys_seconds now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

json::string time_text(sys_seconds time) {
  return json::string(fmt::format("{:%FT%TZ}", time));
}

json::array services_with(const Config& config, const std::string& path) {
  json::array names;
  for (const ServiceConfig& service : config.services) {
    if (!service.tls) continue;
    const auto& paths = service.tls->certificates;
    if (std::find(paths.begin(), paths.end(), path) != paths.end()) {
      names.push_back(json::string(service.name));
    }
  }
  return names;
}

json::array certificates_json(const Sidecar& sidecar, const Config& config) {
  json::array all;
  for (const auto& [path, certificates] : sidecar.certificates()) {
    const auto refused = sidecar.refused().find(path);
    for (const Certificate& certificate : certificates) {
      all.push_back({{"file", certificate.path},
                     {"names", json::value_from(certificate.names)},
                     {"key", certificate.key_type},
                     {"issuer", certificate.issuer},
                     {"self_signed", certificate.is_self_signed},
                     {"not_before", time_text(certificate.not_before)},
                     {"not_after", time_text(certificate.not_after)},
                     {"days_left", certificate.days_left(now())},
                     {"fingerprint", certificate.fingerprint},
                     {"ocsp", certificate.has_ocsp_response},
                     {"services", services_with(config, path)},
                     {"refused", refused == sidecar.refused().end() ? "" : refused->second}});
    }
  }
  return all;
}

// Of several of the dataplane's services together, by reason; 0 is none of them.
json::array reasons_of(const std::map<ServiceId, std::map<std::string, uint64_t>>& counted,
                       const std::vector<ServiceId>& ids) {
  std::map<std::string, uint64_t> sum;
  for (const ServiceId id : ids) {
    const auto found = counted.find(id);
    if (id == 0 || found == counted.end()) continue;
    for (const auto& [reason, count] : found->second) sum[reason] += count;
  }
  return reasons_json(sum);
}

}  // namespace

std::optional<SidecarStatus> sidecar_status(const Daemon& daemon) {
  return daemon.sidecar() ? std::optional(daemon.sidecar()->status()) : std::nullopt;
}

json::value sidecar_json(const Daemon& daemon, const Config& config,
                         const std::optional<SidecarStatus>& status) {
  if (!status) return nullptr;
  const bool is_ours = status->kind == SidecarKind::kHaproxy;
  const char* state = !is_ours ? "not ours" : status->is_running ? "up" : "down";
  return {{"kind", is_ours ? "haproxy" : "none"},
          {"state", state},
          {"namespace", status->network_namespace},
          {"pid", status->pid},
          {"restarts", status->restarts},
          {"problem", status->problem},
          {"connections", status->connections},
          {"connections_per_second", status->connections_per_second},
          {"handshakes_per_second", status->handshakes_per_second},
          {"versions", json::value_from(status->versions)},
          {"certificates", certificates_json(*daemon.sidecar(), config)}};
}

json::value tls_json(const Daemon& daemon, const ServiceConfig& service,
                     const std::optional<SidecarStatus>& status, const CounterSnapshot& counters,
                     const FlowSnapshot& flows) {
  const auto places = daemon.plan().tls.find(service.name);
  if (!service.tls || !status || places == daemon.plan().tls.end()) return nullptr;
  const TlsServices& ids = places->second;
  const auto& entries = daemon.plan().next.forwarding.services;
  const auto traffic = status->traffic.find(service.name);
  const TlsTraffic seen = traffic == status->traffic.end() ? TlsTraffic{} : traffic->second;
  const auto of = [](const auto& map, ServiceId id) {
    const auto found = map.find(id);
    return found == map.end() ? typename std::decay_t<decltype(map)>::mapped_type{} : found->second;
  };
  const std::vector<ServiceId> all{ids.clients, ids.redirect, ids.onward, ids.acme};
  return {{"address", to_string(Endpoint{service.vip.address, service.tls->port})},
          {"onward", to_string(entries.at(ids.onward).vip)},
          {"http", service.tls->http},
          {"redirect_http", service.tls->redirect_http},
          {"connections", seen.sessions},
          {"connections_total", seen.sessions_total},
          {"failed_handshakes", seen.failed_handshakes},
          {"errors", seen.errors},
          {"flows", flows_json(of(flows.services, ids.onward))},
          {"counters", counters_json(of(counters.services, ids.clients))},
          {"dropped", reasons_of(counters.dropped, all)},
          {"passed", reasons_of(counters.passed, all)},
          {"answered", reasons_of(counters.answered, all)}};
}

std::vector<std::string> tls_warnings(const Daemon& daemon,
                                      const std::optional<SidecarStatus>& status) {
  std::vector<std::string> warnings;
  if (!status) return warnings;
  if (!status->problem.empty()) {
    warnings.push_back("TLS is not served as it is wanted: " + status->problem);
  } else if (status->kind == SidecarKind::kHaproxy && !status->is_running &&
             !daemon.plan().tls.empty()) {
    warnings.emplace_back("HAProxy does not run: nobody ends TLS");
  }
  for (const auto& [path, why] : daemon.sidecar()->refused()) {
    warnings.push_back(fmt::format("{}; the certificate before serves on", why));
  }
  for (const auto& [path, certificates] : daemon.sidecar()->certificates()) {
    for (const Certificate& certificate : certificates) {
      const int64_t days = certificate.days_left(now());
      if (days > kDaysToWarn) continue;
      warnings.push_back(
          days < 0 ? fmt::format("{} has expired: renew it", certificate.path)
                   : fmt::format("{} expires in {} days: renew it", certificate.path, days));
    }
  }
  return warnings;
}

}  // namespace penstock
