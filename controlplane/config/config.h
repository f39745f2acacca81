// SPDX-License-Identifier: Apache-2.0
// What the TOML file says, as values. Every field has the default that a file gets that leaves it
// out. Parsing is config/parse.h, changes made at the control socket are config/overrides.h.
#pragma once

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/access_rules.h"
#include "dataplane/address.h"
#include "dataplane/mode.h"

namespace penstock {

using std::chrono::milliseconds;

enum class HealthCheckType : uint8_t { kNone, kTcp, kHttp };

struct HealthCheckConfig {
  HealthCheckType type = HealthCheckType::kTcp;
  std::string path = "/";        // http only
  std::string host;              // http only, the Host header; empty: the backend's address
  std::optional<uint16_t> port;  // where to probe; nullopt: the backend's own port
  milliseconds interval{2000};
  milliseconds timeout{1000};  // at most interval
  uint32_t rise = 2;           // consecutive successes that bring a backend up
  uint32_t fall = 3;           // consecutive failures that take it down
  bool operator==(const HealthCheckConfig&) const = default;
};

struct BackendConfig {
  std::string name;  // its identity; the file's default is address:port
  Endpoint endpoint;
  uint32_t weight = 1;  // 0 to 1000; 0 means drain
  bool drain = false;   // no new clients, known flows finish
  bool operator==(const BackendConfig&) const = default;
};

enum class AllDownPolicy : uint8_t {
  kReject,     // the kernel answers: a reset for TCP, port unreachable for UDP
  kLastKnown,  // health is set aside: every client where it would be with all backends up
};

// How much of a client's address counts, in bits.
struct ClientPrefix {
  uint8_t ipv4 = 32;
  uint8_t ipv6 = 128;
  bool operator==(const ClientPrefix&) const = default;
};

enum class HashOf : uint8_t {
  kClient,  // the client's address: it stays at one backend
  kFlow,    // its port too: each of its flows has a backend of its own
};

// A client that was here within `idle` keeps its backend, whatever changes but its failure.
struct AffinityConfig {
  milliseconds idle{30 * 60'000};              // whole seconds
  std::optional<milliseconds> drain_deadline;  // a drain ends then; nullopt: when the last is idle
  bool operator==(const AffinityConfig&) const = default;
};

// How many flows the clients of a prefix may open.
struct NewFlowsConfig {
  uint32_t per_second = 1;
  uint32_t burst = 1;  // at once; the file's default is per_second
  ClientPrefix prefix{32, 64};
  bool operator==(const NewFlowsConfig&) const = default;
};

enum class TlsVersion : uint8_t { k12, k13 };

// Mozilla's, https://wiki.mozilla.org/Security/Server_Side_TLS: modern is TLS 1.3 only.
enum class TlsProfile : uint8_t { kIntermediate, kModern };

// What clients get who come by TLS. The sidecar ends it, and goes on to the service's own port from
// the client's address, so that both lead to one backend. Session tickets are always on.
struct Tls {
  uint16_t port = 443;                       // at the service's address
  std::vector<std::string> certificates;     // absolute paths; the first is for names that none has
  TlsVersion min_version = TlsVersion::k12;  // k13 with the modern profile
  TlsProfile profile = TlsProfile::kIntermediate;
  bool http = true;             // HTTP/2 and HTTP/1.1; false: bytes
  bool redirect_http = false;   // port 80 of the address answers 308; http only
  milliseconds hsts{0};         // whole seconds; 0: none; http only
  bool proxy_protocol = false;  // version 2, to the backends; without http only
  std::string acme;  // the backend's name or address that gets ACME challenges; empty: none
  bool operator==(const Tls&) const = default;
};

struct ServiceConfig {
  std::string name;  // unique
  Endpoint vip;      // unique with the protocol
  Protocol protocol = Protocol::kTcp;
  Mode mode = Mode::kNat;
  HashOf hash = HashOf::kClient;
  ClientPrefix client_prefix;  // is hashed
  std::optional<AffinityConfig> affinity;
  bool syn_cookies = false;  // the appliance answers SYNs; mode nat, TCP
  bool clamp_mss = false;    // SYNs ask for segments that fit the tunnel; mode tunnel, TCP
  AccessRules access;
  std::optional<NewFlowsConfig> new_flows;  // nullopt: no limit
  AllDownPolicy all_down = AllDownPolicy::kReject;
  bool announce = true;  // put the VIP on the loopback and announce it
  HealthCheckConfig health;
  std::optional<Tls> tls;               // protocol TCP, mode nat or dnat
  std::vector<BackendConfig> backends;  // names unique within the service; may be empty
  bool operator==(const ServiceConfig&) const = default;
};

// Whether backends, or the sidecar, answer clients by the appliance: it has to know the way back.
inline bool goes_by_dnat(const ServiceConfig& service) {
  return service.mode == Mode::kDnat || service.tls;
}

struct PortRange {
  uint16_t first = 20000;
  uint16_t last = 32767;  // inclusive
  bool operator==(const PortRange&) const = default;
};

// How long a flow may be silent before its place is free again.
struct FlowTimeouts {
  milliseconds tcp_half_open{10'000};
  milliseconds tcp_established{124 * 60'000};  // RFC 5382 REQ-5
  milliseconds tcp_closing{10'000};
  milliseconds udp_half_open{30'000};
  milliseconds udp_established{300'000};  // RFC 4787 REQ-5
  bool operator==(const FlowTimeouts&) const = default;
};

struct DataplaneConfig {
  std::string driver = "xdp";
  std::vector<std::string> interfaces;    // at least one
  std::vector<IpAddress> snat_addresses;  // empty: the interface's own; at most 16 a family
  PortRange snat_ports;
  std::vector<IpPrefix> tunnel_sources;     // at most one a family; none: the first snat address
  uint32_t flow_table_entries = 1'048'576;  // for each family
  uint32_t max_services = 64;
  uint32_t max_backends = 4096;  // distinct address:port, all services together
  uint32_t affinity_tables = 8;  // of 4.3 MB each: two a service with affinity, one a change more
  uint32_t affinity_entries = 262'144;  // clients that keep another backend than the table's
  uint32_t access_nodes = 16'384;       // of access lists, of 128 bytes each
  std::string pin_path = "/sys/fs/bpf/penstock";
  FlowTimeouts flow_timeouts;
  bool operator==(const DataplaneConfig&) const = default;
};

// Of a device that an interface stands on: which NIC a driver of user space has for it.
struct DpdkPortConfig {
  std::string interface;
  std::string device;  // a PCI address
  bool operator==(const DpdkPortConfig&) const = default;
};

// With driver = "dpdk": how penstock-dpdk runs.
struct DpdkConfig {
  std::vector<uint32_t> lcores;       // processors, a worker each; empty: the last one
  std::vector<DpdkPortConfig> ports;  // of the others the kernel keeps the NIC: AF_XDP
  bool hugepages = false;             // for frames, which have to be reserved; else ordinary memory
  uint32_t memory_mb = 256;           // of frames
  uint32_t burst = 32;                // frames that are walked together
  uint32_t descriptors = 1024;        // of each queue of a NIC
  uint32_t idle_sleep_us = 50;        // when there is nothing to do; 0: the worker goes on polling
  std::string segment = "/dev/shm/penstock";  // the tables; on a hugetlbfs: large pages
  std::vector<std::string> eal;               // more arguments for DPDK's environment
  bool operator==(const DpdkConfig&) const = default;
};

struct ControlConfig {
  std::string socket = "/run/penstock/control.sock";
  std::string state_directory = "/var/lib/penstock";
  bool operator==(const ControlConfig&) const = default;
};

struct ApplianceConfig {
  std::string name = "penstock";
  std::string hash_seed;  // empty: made once and kept in the state directory
  bool operator==(const ApplianceConfig&) const = default;
};

// Who ends TLS.
enum class SidecarKind : uint8_t {
  kHaproxy,  // started, configured and watched by penstock
  kNone,     // the operator's own, at the place that is kept for it
};

struct Config {
  // Whether any service is for the sidecar.
  bool has_tls() const {
    return std::any_of(services.begin(), services.end(),
                       [](const ServiceConfig& service) { return service.tls.has_value(); });
  }

  ApplianceConfig appliance;
  DataplaneConfig dataplane;
  DpdkConfig dpdk;
  ControlConfig control;
  SidecarKind sidecar = SidecarKind::kHaproxy;
  std::string sidecar_namespace = "penstock-tls";  // the network namespace that it is in
  std::vector<ServiceConfig> services;
  bool operator==(const Config&) const = default;
};

}  // namespace penstock
