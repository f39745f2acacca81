// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/tls.h"

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "controlplane/config/suggest.h"

namespace penstock {
namespace {

// HAProxy reads 64 words of a line, and a certificate takes two of those of `bind`.
constexpr size_t kMostCertificates = 24;

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void read_certificate_paths(TomlReader& reader, std::vector<std::string>& paths) {
  paths = reader.texts("certificates");
  std::set<std::string> seen;
  for (const std::string& path : paths) {
    if (path.empty() || path.front() != '/') {
      reader.fault("certificates", fmt::format("found {}, expected an absolute path such as "
                                               "\"/etc/penstock/tls/example.com.pem\"",
                                               in_quotes(path)));
    }
    if (has_control_character(path)) {
      reader.fault("certificates", fmt::format("{} has a line break or another control character: "
                                               "rename the file",
                                               in_quotes(path)));
    }
    if (!seen.insert(path).second) {
      reader.fault("certificates", fmt::format("{} is named twice", in_quotes(path)));
    }
  }
  if (paths.size() > kMostCertificates) {
    reader.fault("certificates", fmt::format("{} are more than the {} that a service can have: one "
                                             "certificate can stand for many names",
                                             paths.size(), kMostCertificates));
  }
}

void read_versions(TomlReader& reader, Tls& tls) {
  reader.choice<TlsVersion>("min_version", tls.min_version,
                            {{"1.2", TlsVersion::k12}, {"1.3", TlsVersion::k13}});
  reader.choice<TlsProfile>(
      "profile", tls.profile,
      {{"intermediate", TlsProfile::kIntermediate}, {"modern", TlsProfile::kModern}});
  if (tls.profile != TlsProfile::kModern) return;
  if (reader.has("min_version") && tls.min_version == TlsVersion::k12) {
    reader.fault("min_version",
                 "profile modern is TLS 1.3 only: leave min_version out, or use profile = "
                 "\"intermediate\"");
  }
  tls.min_version = TlsVersion::k13;
}

// Keys that make sense with http only, or without it only.
void read_http(TomlReader& reader, Tls& tls) {
  reader.boolean("http", tls.http);
  reader.boolean("redirect_http", tls.redirect_http);
  reader.duration_or_off("hsts", tls.hsts);
  reader.boolean("proxy_protocol", tls.proxy_protocol);
  if (tls.hsts.count() % 1000 != 0) {
    reader.fault("hsts", "expected whole seconds, such as \"8760h\"");
  }
  if (tls.redirect_http && !tls.http) {
    reader.fault("redirect_http", "needs http = true: only HTTP can tell clients where to go");
  }
  if (tls.hsts.count() > 0 && !tls.http) {
    reader.fault("hsts", "needs http = true: it is a header of HTTP");
  }
  if (tls.proxy_protocol && tls.http) {
    reader.fault("proxy_protocol",
                 "needs http = false: with http, backends find the client's address in "
                 "X-Forwarded-For");
  }
}

void read_acme(TomlReader& reader, Tls& tls) {
  reader.text("acme", tls.acme);
  if (!tls.acme.empty() && !tls.redirect_http) {
    reader.fault("acme",
                 "needs redirect_http = true: challenges come to port 80, which the sidecar does "
                 "not answer otherwise");
  }
}

void check_kind(const ServiceConfig& service, const Place& place, Findings& findings) {
  if (service.protocol != Protocol::kTcp) {
    findings.add(place, fmt::format("TLS goes over tcp, and service \"{}\" is for {}: leave it out",
                                    service.name, to_string(service.protocol)));
  } else if (service.mode != Mode::kNat && service.mode != Mode::kDnat) {
    findings.add(place,
                 fmt::format("needs mode nat or dnat, found mode {}: backends have to answer the "
                             "sidecar, not the client",
                             to_string(service.mode)));
  }
}

void check_certificates(const Config& config, const Tls& tls, const TlsPlaces& places,
                        Findings& findings) {
  if (!tls.certificates.empty() || config.sidecar == SidecarKind::kNone) return;
  findings.add(places.certificates,
               "name at least one certificate, such as certificates = "
               "[\"/etc/penstock/tls/example.com.pem\"]");
}

void check_acme(const ServiceConfig& service, const TlsPlaces& places, Findings& findings) {
  if (service.tls->acme.empty() || find_acme_backend(service)) return;
  std::vector<std::string> names;
  names.reserve(service.backends.size());
  for (const BackendConfig& backend : service.backends) names.push_back(backend.name);
  findings.add(places.acme,
               fmt::format("service \"{}\" has no backend {}: name one of its own{}", service.name,
                           in_quotes(service.tls->acme), did_you_mean(service.tls->acme, names)));
}

// Who owns a port that clients reach by TCP.
class PortOwners {
 public:
  explicit PortOwners(Findings& findings) : findings_(findings) {}

  // Two services at one place are found by another rule.
  void add_service(const ServiceConfig& service, const Place& place) {
    owners_.emplace(service.vip, owner(fmt::format("service \"{}\"", service.name), place));
  }

  void add(const Endpoint& endpoint, const std::string& what, const Place& place,
           const char* way_out) {
    const auto [entry, is_new] = owners_.emplace(endpoint, owner(what, place));
    if (is_new) return;
    findings_.add(
        place, fmt::format("{} is taken by {}: {}", to_string(endpoint), entry->second, way_out));
  }

 private:
  static std::string owner(const std::string& what, const Place& place) {
    return fmt::format("{} at {}:{}", what, place.file, place.line);
  }

  Findings& findings_;
  std::map<Endpoint, std::string> owners_;
};

void check_ports(const Config& config, const ConfigPlaces& places, Findings& findings) {
  PortOwners owners(findings);
  const auto each = [&](const auto& action) {
    for (size_t i = 0; i < config.services.size(); i++) {
      const ServiceConfig& service = config.services[i];
      const bool has_port = service.protocol == Protocol::kTcp && service.vip.port != 0;
      if (has_port) action(service, places.services[i]);
    }
  };
  each([&](const ServiceConfig& service, const ServicePlaces& place) {
    owners.add_service(service, place.address);
  });
  each([&](const ServiceConfig& service, const ServicePlaces& place) {
    if (!service.tls) return;
    owners.add({service.vip.address, service.tls->port},
               fmt::format("TLS of service \"{}\"", service.name), place.tls.port,
               "choose another port for one of them");
  });
  each([&](const ServiceConfig& service, const ServicePlaces& place) {
    if (!service.tls || !service.tls->redirect_http || service.vip.port == kRedirectPort) return;
    owners.add({service.vip.address, kRedirectPort},
               fmt::format("redirect_http of service \"{}\"", service.name),
               place.tls.redirect_http, "leave redirect_http out");
  });
}

}  // namespace

void read_sidecar(TomlReader& document, Config& config) {
  document.choice<SidecarKind>("sidecar", config.sidecar,
                               {{"haproxy", SidecarKind::kHaproxy}, {"none", SidecarKind::kNone}});
  document.text("sidecar_namespace", config.sidecar_namespace);
  if (!std::regex_match(config.sidecar_namespace, std::regex("[A-Za-z0-9_-]{1,64}"))) {
    document.fault("sidecar_namespace",
                   fmt::format("found {}, expected the name of a network namespace: letters, "
                               "digits, - and _",
                               in_quotes(config.sidecar_namespace)));
  }
}

Tls read_tls(const toml::table& table, const std::string& file, TlsPlaces& places,
             Findings& findings) {
  Tls tls;
  TomlReader reader(table, file, "service.tls", findings);
  places.table = reader.place();
  places.port = reader.place("port");
  places.certificates = reader.place("certificates");
  places.redirect_http = reader.place("redirect_http");
  places.acme = reader.place("acme");
  reader.integer("port", tls.port, 1, 65535);
  read_certificate_paths(reader, tls.certificates);
  read_versions(reader, tls);
  read_http(reader, tls);
  read_acme(reader, tls);
  reader.finish();
  return tls;
}

void check_tls(const Config& config, const ConfigPlaces& places, Findings& findings) {
  for (size_t i = 0; i < config.services.size(); i++) {
    const ServiceConfig& service = config.services[i];
    if (!service.tls) continue;
    const TlsPlaces& place = places.services[i].tls;
    check_kind(service, place.table, findings);
    check_certificates(config, *service.tls, place, findings);
    check_acme(service, place, findings);
  }
  check_ports(config, places, findings);
}

const BackendConfig* find_acme_backend(const ServiceConfig& service) {
  const std::string& wanted = service.tls->acme;
  for (const BackendConfig& backend : service.backends) {
    if (backend.name == wanted) return &backend;
  }
  for (const BackendConfig& backend : service.backends) {
    if (to_string(backend.endpoint) == wanted) return &backend;
  }
  return nullptr;
}

}  // namespace penstock
