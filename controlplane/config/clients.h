// SPDX-License-Identifier: Apache-2.0
// What a service says of its clients: which part of their address counts, who is let in, and how
// many flows they may open. The keys here, the rules between them beside.
#pragma once

#include <string>

#include "controlplane/config/config.h"
#include "controlplane/config/toml_reader.h"
#include "controlplane/config/validate.h"

namespace penstock {

// `name` is the table's in findings: "service.client_prefix".
void read_client_prefix(const toml::table& table, const std::string& file, const char* name,
                        ClientPrefix& prefix, Findings& findings);

// allow, deny, new_flows.
void read_access(TomlReader& reader, const std::string& file, ServiceConfig& service,
                 ServicePlaces& places, Findings& findings);

void check_access(const ServiceConfig& service, const ServicePlaces& places, Findings& findings);

}  // namespace penstock
