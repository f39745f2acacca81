// SPDX-License-Identifier: Apache-2.0
// A control plane whose dataplane does as it is told.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "controlplane/plan/plan.h"

namespace penstock {

inline IpAddress ip(const char* text) {
  return IpAddress::parse(text).value();
}

inline Endpoint at(const char* text) {
  return Endpoint::parse(text).value();
}

inline ServiceConfig service(const std::string& name, const char* vip,
                             const std::vector<const char*>& backends) {
  ServiceConfig service;
  service.name = name;
  service.vip = at(vip);
  for (const char* text : backends) {
    BackendConfig backend;
    backend.name = text;
    backend.endpoint = at(text);
    service.backends.push_back(backend);
  }
  return service;
}

class Planning : public ::testing::Test {
 protected:
  Planning() {
    input_.config.services = {
        service("web", "203.0.113.10:80", {"10.0.0.1:3000", "10.0.0.1:3001", "10.0.0.2:3000"})};
    input_.hash_key = hash_key_from_seed("penstock");
    input_.snat_addresses = {ip("2001:db8::254"), ip("10.0.0.254")};
    all_well();
  }

  // Everything configured is up and resolved.
  void all_well() {
    for (const ServiceConfig& service : input_.config.services) {
      for (const BackendConfig& backend : service.backends) {
        input_.up.insert({service.name, backend.name});
        input_.next_hops.emplace(backend.endpoint.address, NextHop{.interface_index = 2});
      }
    }
  }

  Plan plan() { return make_plan(state_, input_).value(); }

  Plan apply() {
    Plan plan = this->plan();
    state_ = plan.next;
    return plan;
  }

  // The state as a new process finds it.
  void restart() { state_.members.clear(); }

  ServiceConfig& web() { return input_.config.services[0]; }
  BackendId id(const char* backend) { return plan().backend_ids.at({"web", backend}); }

  PlanState state_;
  PlanInput input_;
};

}  // namespace penstock
