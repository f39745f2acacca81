// SPDX-License-Identifier: Apache-2.0
// The table [service.tls] and the keys `sidecar` and `sidecar_namespace`, and their rules. Files
// that are named are not looked at: sidecar/certificate.h does that.
//
// Ports that clients reach by TCP have one owner each at an address: a service, TLS, or a redirect.
// The one exception is redirect_http of a service at port 80, the usual case: clients who come
// there get the redirect, whoever they are, and only the sidecar's own connections go on to the
// backends (the dataplane tells them apart by the interface that they come in by). So with it the
// plain service is there for the sidecar alone, which is what asking for https everywhere means.
#pragma once

#include <string>

#include "controlplane/config/config.h"
#include "controlplane/config/toml_reader.h"
#include "controlplane/config/validate.h"

namespace penstock {

constexpr uint16_t kRedirectPort = 80;

void read_sidecar(TomlReader& document, Config& config);

Tls read_tls(const toml::table& table, const std::string& file, TlsPlaces& places,
             Findings& findings);

// Of all services, since they may want the same port.
void check_tls(const Config& config, const ConfigPlaces& places, Findings& findings);

// The backend that tls.acme means: by its name, else by its address. nullptr: none, or it is not
// there. `service` has tls.
const BackendConfig* find_acme_backend(const ServiceConfig& service);

}  // namespace penstock
