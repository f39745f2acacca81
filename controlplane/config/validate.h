// SPDX-License-Identifier: Apache-2.0
// What no single key can tell: faults between keys, services and backends. Pure.
#pragma once

#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/config/toml_reader.h"

namespace penstock {

// Where each part of the configuration stands, in the order of Config's own lists.
struct TlsPlaces {
  Place table;
  Place port;
  Place certificates;
  Place redirect_http;
  Place acme;
};

struct ServicePlaces {
  Place name;
  Place address;
  Place timeout;
  Place health_type;
  Place syn_cookies;
  Place clamp_mss;
  Place allow;
  Place deny;
  Place new_flows;
  TlsPlaces tls;
  std::vector<Place> backend_names;
  std::vector<Place> backend_addresses;
};

struct ConfigPlaces {
  Place dataplane;
  Place interfaces;
  Place snat_addresses;
  Place snat_ports;
  Place tunnel_sources;
  Place dpdk;
  std::vector<ServicePlaces> services;
};

void validate(const Config& config, const ConfigPlaces& places, Findings& findings);

// The rules of one value that the control socket shares with the file; empty: good, else what is
// wrong.
std::string check_name(const std::string& name);
std::string check_weight(uint32_t weight);
// Whether an instance at `endpoint` can serve `service`, one of `config`'s.
std::string check_backend_address(const Config& config, const ServiceConfig& service,
                                  const Endpoint& endpoint);

constexpr uint32_t kMaxWeight = 1000;

}  // namespace penstock
