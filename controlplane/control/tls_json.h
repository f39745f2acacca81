// SPDX-License-Identifier: Apache-2.0
// The parts of the status document that are about TLS.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <optional>

#include "controlplane/control/daemon.h"

namespace penstock {

// Read once for the whole document; nullopt: there is no sidecar.
std::optional<SidecarStatus> sidecar_status(const Daemon& daemon);

// The sidecar and its certificates; null where no service had tls when the daemon began.
boost::json::value sidecar_json(const Daemon& daemon, const Config& config,
                                const std::optional<SidecarStatus>& status);

// Of a service: what comes to it by TLS; null without.
boost::json::value tls_json(const Daemon& daemon, const ServiceConfig& service,
                            const std::optional<SidecarStatus>& status,
                            const CounterSnapshot& counters, const FlowSnapshot& flows);

// What needs a person, a sentence each.
std::vector<std::string> tls_warnings(const Daemon& daemon,
                                      const std::optional<SidecarStatus>& status);

}  // namespace penstock
