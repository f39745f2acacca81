// SPDX-License-Identifier: Apache-2.0
// HAProxy's configuration for the TLS services: a pure function of a plan, so that equal plans give
// equal text, and a reload is needed only when the text changed. Written for HAProxy 2.6.
//
// Of each service there are a frontend that ends TLS, a backend whose only server is the place that
// the dataplane keeps for it, where it balances the connection as if the client had opened it, and,
// where asked for, a frontend that redirects and a backend for ACME challenges. HAProxy judges no
// health: penstock does.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "dataplane/address.h"
#include "dataplane/result.h"

namespace penstock {

struct SidecarListener {
  std::string service;           // its name
  Endpoint clients;              // the VIP with the TLS port
  Endpoint onward;               // where the dataplane balances the connection
  Tls tls;                       // with at least one certificate
  std::optional<Endpoint> acme;  // the same for tls.acme
  bool operator==(const SidecarListener&) const = default;
};

// There is no user and no group: HAProxy 2.6 does not start with them beside `usesrc`, though it
// finds such a configuration valid. Who starts it drops the privileges but CAP_NET_RAW and
// CAP_NET_BIND_SERVICE.
struct SidecarPlan {
  std::vector<SidecarListener> listeners;  // names and endpoints are unique; in any order
  std::string stats_socket;                // paths are absolute
  std::string ticket_key_file;             // three keys or more, of 80 bytes in base64, a line each
  std::string pid_file;                    // of the master
  uint32_t max_connections = 20'000;       // all listeners together, clients' side
  uint32_t threads = 1;
  // How long a WebSocket or a connection of a service without http may be silent: as long as the
  // dataplane keeps its flow (dataplane.flow_timeouts.tcp_established).
  milliseconds tunnel_timeout{124 * 60'000};
  bool operator==(const SidecarPlan&) const = default;
};

// kInvalid: a path that is not absolute, or that would break the line that it stands in.
Result<std::string> haproxy_config(const SidecarPlan& plan);

// The frontend of a service in HAProxy's statistics. Letters, digits and "-_." of the name stay,
// other bytes are as ":20", so that two services never share one.
std::string tls_frontend(const std::string& service);

// Its backend's one server, as commands name it.
std::string onward_server(const std::string& service);

}  // namespace penstock
