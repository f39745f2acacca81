// SPDX-License-Identifier: Apache-2.0
// Runs the health checks of all backends: a coroutine a target, on the caller's io_context.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/health/damper.h"

namespace penstock {

struct HealthTarget {
  std::string service;
  std::string backend;
  Endpoint endpoint;
  HealthCheckConfig check;
  bool operator==(const HealthTarget&) const = default;
};

struct HealthReport {
  Health health = Health::kUnknown;  // kUp at once for check type none
  std::string detail;  // last probe, for people: "HTTP 200 in 3 ms", "connection refused"
  std::chrono::system_clock::time_point since;  // when health last changed
};

class HealthMonitor {
 public:
  // on_change is called after a target's health changed, on the context's thread; it may call back
  // and may end the monitor. One thread calls the monitor and runs the context.
  HealthMonitor(boost::asio::io_context& context, std::function<void()> on_change);
  ~HealthMonitor();

  // Targets that stay equal keep their probe and health; others stop or start. A changed check of a
  // known backend starts from the health that it had; another endpoint starts from nothing.
  void set_targets(const std::vector<HealthTarget>& targets);

  // By (service, backend).
  std::map<std::pair<std::string, std::string>, HealthReport> reports() const;
  // Every target has had its first result.
  bool all_known() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
