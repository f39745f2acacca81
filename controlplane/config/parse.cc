// SPDX-License-Identifier: Apache-2.0
// The schema: which table has which keys. Rules between keys are in validate.cc.
#include "controlplane/config/parse.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "controlplane/config/clients.h"
#include "controlplane/config/dpdk.h"
#include "controlplane/config/text_file.h"
#include "controlplane/config/tls.h"
#include "controlplane/config/toml_reader.h"
#include "controlplane/config/validate.h"
#include "dataplane/dataplane.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

std::optional<PortRange> parse_port_range(const std::string& text) {
  PortRange range;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, range.first);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') return std::nullopt;
  const auto last = std::from_chars(first.ptr + 1, end, range.last);
  if (last.ec != std::errc() || last.ptr != end) return std::nullopt;
  if (range.first < 1024 || range.last < range.first) return std::nullopt;
  return range;
}

// An established flow is looked at every two seconds, not more often (dataplane/core/flow_index.h).
constexpr milliseconds kLeastEstablishedTimeout = std::chrono::seconds(3);
// Nor are its client's packets for up to two seconds after its backend has reset it.
constexpr milliseconds kLeastClosingTimeout = std::chrono::seconds(2);
constexpr milliseconds kMostFlowTimeout = std::chrono::hours(168);

void read_flow_timeout(TomlReader& reader, const char* key, milliseconds least,
                       milliseconds& timeout) {
  reader.duration(key, timeout);
  if (timeout < least) reader.fault(key, fmt::format("is shorter than {} ms", least.count()));
  if (timeout > kMostFlowTimeout) reader.fault(key, "is longer than 168h");
}

void read_flow_timeouts(const toml::table& table, const std::string& file, FlowTimeouts& timeouts,
                        Findings& findings) {
  TomlReader reader(table, file, "dataplane.flow_timeouts", findings);
  read_flow_timeout(reader, "tcp_half_open", milliseconds(1), timeouts.tcp_half_open);
  read_flow_timeout(reader, "tcp_established", kLeastEstablishedTimeout, timeouts.tcp_established);
  read_flow_timeout(reader, "tcp_closing", kLeastClosingTimeout, timeouts.tcp_closing);
  read_flow_timeout(reader, "udp_half_open", milliseconds(1), timeouts.udp_half_open);
  read_flow_timeout(reader, "udp_established", kLeastEstablishedTimeout, timeouts.udp_established);
  reader.finish();
}

void read_dataplane(const toml::table& table, const std::string& file, DataplaneConfig& dataplane,
                    ConfigPlaces& places, Findings& findings) {
  TomlReader reader(table, file, "dataplane", findings);
  places.dataplane = reader.place();
  places.interfaces = reader.place("interfaces");
  places.snat_addresses = reader.place("snat_addresses");
  places.snat_ports = reader.place("snat_ports");
  places.tunnel_sources = reader.place("tunnel_sources");
  reader.choice<std::string>("driver", dataplane.driver, {{"xdp", "xdp"}, {"dpdk", "dpdk"}});
  dataplane.interfaces = reader.texts("interfaces");
  reader.parsed_each("snat_addresses", dataplane.snat_addresses,
                     "an address such as \"192.0.2.1\"");
  reader.parsed("snat_ports", dataplane.snat_ports,
                "a range of ports from 1024 on, such as \"20000-32767\"", parse_port_range);
  reader.parsed_each("tunnel_sources", dataplane.tunnel_sources,
                     "a prefix such as \"198.51.100.0/24\"");
  reader.integer("flow_table_entries", dataplane.flow_table_entries, 1024, 16'777'216);
  reader.integer("max_services", dataplane.max_services, 2, 4096);
  reader.integer("max_backends", dataplane.max_backends, 2, kMaxBackends);
  reader.integer("affinity_tables", dataplane.affinity_tables, 0, 4096);
  reader.integer("affinity_entries", dataplane.affinity_entries, 16, 16'777'216);
  reader.integer("access_nodes", dataplane.access_nodes, 16, 1'048'576);
  reader.text("pin_path", dataplane.pin_path);
  if (const auto* timeouts = reader.table("flow_timeouts")) {
    read_flow_timeouts(*timeouts, file, dataplane.flow_timeouts, findings);
  }
  reader.finish();
}

void read_appliance(const toml::table& table, const std::string& file, ApplianceConfig& appliance,
                    Findings& findings) {
  TomlReader reader(table, file, "appliance", findings);
  reader.text("name", appliance.name);
  reader.text("hash_seed", appliance.hash_seed);
  reader.finish();
}

void read_control(const toml::table& table, const std::string& file, ControlConfig& control,
                  Findings& findings) {
  TomlReader reader(table, file, "control", findings);
  reader.text("socket", control.socket);
  if (control.socket.size() > 107) {
    reader.fault("socket", "is longer than the 107 bytes that a unix socket's path may have");
  }
  reader.text("state_directory", control.state_directory);
  reader.finish();
}

void read_health(const toml::table& table, const std::string& file, HealthCheckConfig& health,
                 ServicePlaces& places, Findings& findings) {
  TomlReader reader(table, file, "service.health", findings);
  places.timeout = reader.place("timeout");
  places.health_type = reader.place("type");
  reader.choice<HealthCheckType>("type", health.type,
                                 {{"http", HealthCheckType::kHttp},
                                  {"tcp", HealthCheckType::kTcp},
                                  {"none", HealthCheckType::kNone}});
  reader.text("path", health.path);
  if (health.path.empty() || health.path.front() != '/' ||
      health.path.find_first_of(" \r\n") != std::string::npos) {
    reader.fault("path", fmt::format("found {}, expected a path such as \"/healthz\"",
                                     in_quotes(health.path)));
  }
  reader.text("host", health.host);
  if (health.host.find_first_of(" \r\n") != std::string::npos) {
    reader.fault("host", "has a space or a line break");
  }
  if (reader.has("port")) {
    uint16_t port = 0;
    reader.integer("port", port, 1, 65535);
    health.port = port;
  }
  reader.duration("interval", health.interval);
  reader.duration("timeout", health.timeout);
  reader.integer("rise", health.rise, 1, 100);
  reader.integer("fall", health.fall, 1, 100);
  reader.finish();
}

AffinityConfig read_affinity(const toml::table& table, const std::string& file,
                             Findings& findings) {
  AffinityConfig affinity;
  TomlReader reader(table, file, "service.affinity", findings);
  reader.duration("idle", affinity.idle);
  if (affinity.idle.count() % 1000 != 0) {
    reader.fault("idle", "expected whole seconds, such as \"90s\" or \"30m\"");
  }
  if (reader.has("drain_deadline")) {
    reader.duration("drain_deadline", affinity.drain_deadline.emplace(0));
  }
  reader.finish();
  return affinity;
}

BackendConfig read_backend(const toml::table& table, const std::string& file, ServicePlaces& places,
                           Findings& findings) {
  BackendConfig backend;
  TomlReader reader(table, file, "service.backend", findings);
  places.backend_names.push_back(reader.place("name"));
  places.backend_addresses.push_back(reader.place("address"));
  reader.require("address");
  reader.parsed("address", backend.endpoint,
                "an address and port such as \"10.0.0.1:3000\" or \"[2001:db8::1]:3000\"",
                Endpoint::parse);
  backend.name = to_string(backend.endpoint);
  reader.text("name", backend.name);
  if (const auto fault = check_name(backend.name); !fault.empty()) reader.fault("name", fault);
  reader.integer("weight", backend.weight, 0, kMaxWeight);
  reader.boolean("drain", backend.drain);
  reader.finish();
  return backend;
}

void read_service(const toml::table& table, const std::string& file, Config& config,
                  ConfigPlaces& places, Findings& findings) {
  ServiceConfig& service = config.services.emplace_back();
  ServicePlaces& place = places.services.emplace_back();
  TomlReader reader(table, file, "service", findings);
  place.name = reader.place("name");
  place.address = reader.place("address");
  place.timeout = place.health_type = reader.place();
  for (const char* key : {"name", "address", "port"}) reader.require(key);
  reader.text("name", service.name);
  if (const auto fault = check_name(service.name); !fault.empty()) reader.fault("name", fault);
  reader.parsed("address", service.vip.address,
                "an address such as \"203.0.113.10\" or \"2001:db8::10\"", IpAddress::parse);
  reader.integer("port", service.vip.port, 1, 65535);
  reader.choice<Protocol>("protocol", service.protocol,
                          {{"tcp", Protocol::kTcp}, {"udp", Protocol::kUdp}});
  if (service.protocol == Protocol::kUdp) service.health.type = HealthCheckType::kNone;
  reader.choice<Mode>(
      "mode", service.mode,
      {{"nat", Mode::kNat}, {"dnat", Mode::kDnat}, {"dsr", Mode::kDsr}, {"tunnel", Mode::kTunnel}});
  reader.choice<AllDownPolicy>(
      "all_down", service.all_down,
      {{"reject", AllDownPolicy::kReject}, {"last_known", AllDownPolicy::kLastKnown}});
  reader.choice<HashOf>("hash", service.hash,
                        {{"client", HashOf::kClient}, {"flow", HashOf::kFlow}});
  reader.boolean("announce", service.announce);
  place.syn_cookies = reader.place("syn_cookies");
  reader.boolean("syn_cookies", service.syn_cookies);
  place.clamp_mss = reader.place("clamp_mss");
  reader.boolean("clamp_mss", service.clamp_mss);
  if (const auto* prefix = reader.table("client_prefix")) {
    read_client_prefix(*prefix, file, "service.client_prefix", service.client_prefix, findings);
  }
  read_access(reader, file, service, place, findings);
  if (const auto* affinity = reader.table("affinity")) {
    service.affinity = read_affinity(*affinity, file, findings);
  }
  if (const auto* health = reader.table("health")) {
    read_health(*health, file, service.health, place, findings);
  }
  if (const auto* tls = reader.table("tls")) {
    service.tls = read_tls(*tls, file, place.tls, findings);
  }
  for (const auto* backend : reader.tables("backend")) {
    service.backends.push_back(read_backend(*backend, file, place, findings));
  }
  reader.finish();
}

void read_document(const toml::table& document, const ConfigSource& source, bool is_main,
                   Config& config, ConfigPlaces& places, Findings& findings) {
  TomlReader reader(document, source.file, "", findings);
  read_sidecar(reader, config);
  if (is_main) {
    places.dataplane = places.interfaces = {source.file, 0, 0, "dataplane.interfaces"};
    if (const auto* table = reader.table("appliance")) {
      read_appliance(*table, source.file, config.appliance, findings);
    }
    if (const auto* table = reader.table("dataplane")) {
      read_dataplane(*table, source.file, config.dataplane, places, findings);
    }
    if (const auto* table = reader.table("dpdk")) {
      places.dpdk = TomlReader(*table, source.file, "dpdk", findings).place();
      read_dpdk(*table, source.file, config.dpdk, findings);
    }
    if (const auto* table = reader.table("control")) {
      read_control(*table, source.file, config.control, findings);
    }
  } else {
    for (const char* key : {"appliance", "dataplane", "dpdk", "control"}) {
      if (reader.table(key))
        reader.fault(key, "belongs in the main file: a fragment holds [[service]]");
    }
    for (const char* key : {"sidecar", "sidecar_namespace"}) {
      if (reader.has(key)) reader.fault(key, "belongs in the main file");
    }
  }
  for (const auto* service : reader.tables("service")) {
    read_service(*service, source.file, config, places, findings);
  }
  reader.finish();
}

std::vector<std::string> fragments_of(const std::string& path) {
  std::vector<std::string> files;
  std::error_code ignored;
  const fs::path directory = fs::path(path).replace_extension(".d");
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    if (entry.path().extension() == ".toml") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

std::string to_string(const Diagnostic& diagnostic) {
  std::string text = diagnostic.file;
  if (diagnostic.line) text += fmt::format(":{}:{}", diagnostic.line, diagnostic.column);
  if (!diagnostic.key.empty()) text += ": " + diagnostic.key;
  return text + ": " + diagnostic.message;
}

ParseResult parse_config(const std::vector<ConfigSource>& sources) {
  Config config;
  ConfigPlaces places;
  Findings findings;
  bool all_are_toml = true;
  for (const ConfigSource& source : sources) {
    try {
      read_document(toml::parse(source.text, source.file), source, &source == sources.data(),
                    config, places, findings);
    } catch (const toml::parse_error& error) {
      const auto& begin = error.source().begin;
      findings.add({source.file, begin.line, begin.column, ""}, std::string(error.description()));
      all_are_toml = false;
    }
  }
  if (all_are_toml) validate(config, places, findings);
  if (!findings.empty()) return tl::unexpected(findings.take());
  return config;
}

ParseResult load_config(const std::string& path) {
  std::vector<std::string> files{path};
  for (std::string& fragment : fragments_of(path)) files.push_back(std::move(fragment));
  std::vector<ConfigSource> sources;
  for (const std::string& file : files) {
    auto text = read_text_file(file);
    if (!text) {
      return tl::unexpected(std::vector<Diagnostic>{
          {file, 0, 0, "",
           fmt::format("cannot be read: {}: name a configuration file", text.error().message())}});
    }
    sources.push_back({file, std::move(*text)});
  }
  return parse_config(sources);
}

}  // namespace penstock
