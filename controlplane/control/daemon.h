// SPDX-License-Identifier: Apache-2.0
// The control plane's one object: configuration, health and next hops in, plans out to the
// dataplane. Everything runs on one thread, the io_context's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "controlplane/config/config.h"
#include "controlplane/config/overrides.h"
#include "controlplane/control/announcer.h"
#include "controlplane/health/monitor.h"
#include "controlplane/netlink/next_hops.h"
#include "controlplane/plan/plan.h"
#include "dataplane/dataplane.h"

namespace penstock {

// Opens the dataplane that a configuration asks for.
using OpenDataplane = std::function<Result<std::unique_ptr<Dataplane>>(const Config&)>;

// A change of the overrides: (file, overrides before) to overrides after.
using Change = std::function<Result<Overrides>(const Config&, const Overrides&)>;

class Daemon {
 public:
  // Starts forwarding by `config`, which was read from `file`: adopts what an earlier daemon left,
  // and plans anew when the first health checks are through. On failure what ran before runs on.
  static Result<std::unique_ptr<Daemon>> start(boost::asio::io_context& context, std::string file,
                                               Config config, const OpenDataplane& open);

  // Reads the file again, or another one from now on. `discard_changes` drops the overrides. A
  // refused file changes nothing.
  Result<void> apply(const std::optional<std::string>& file, bool discard_changes);
  Result<void> change(const Change& change);
  // Ends forwarding and removes what outlives the process.
  Result<void> stop_forwarding();

  // What status and explain are made of.
  const std::string& file() const { return file_; }
  const Config& file_config() const { return config_; }
  const Overrides& overrides() const { return overrides_; }
  Config effective_config() const { return with_overrides(config_, overrides_); }
  const Plan& plan() const { return plan_; }
  const Dataplane& dataplane() const { return *dataplane_; }
  const HealthMonitor& health() const { return *monitor_; }
  const NextHopResolver& next_hops() const { return *resolver_; }
  const HashKey& hash_key() const { return hash_key_; }
  const std::string& last_error() const { return last_error_; }
  std::chrono::steady_clock::time_point started() const { return started_; }

 private:
  Daemon(boost::asio::io_context& context, std::string file, Config config);

  Result<void> open(const OpenDataplane& open_dataplane);
  Result<void> find_snat_addresses();
  void follow(const Config& config);
  void plan_later();
  void plan_now();
  Result<Plan> make_plan_for(const Config& config) const;
  void take(Plan plan);
  void log_health();
  void watch_lingering();

  boost::asio::io_context& context_;
  std::string file_;
  Config config_;
  Overrides overrides_;
  HashKey hash_key_{};
  std::vector<IpAddress> snat_addresses_;
  std::unique_ptr<Dataplane> dataplane_;
  std::unique_ptr<HealthMonitor> monitor_;
  std::unique_ptr<NextHopResolver> resolver_;
  std::optional<Announcer> announcer_;
  PlanState state_;
  Plan plan_;
  std::set<ServiceId> retired_services_;  // gone from the configuration, perhaps still in flows
  std::map<std::pair<std::string, std::string>, Health> logged_health_;
  std::string last_error_;  // why the last plan could not be carried out; empty: it was
  bool settled_ = false;    // the first health checks are through
  bool planning_ = false;   // a plan is on its way
  boost::asio::steady_timer settle_;
  boost::asio::steady_timer lingering_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

// Cleans up what a daemon with this configuration has left, when none runs.
Result<void> clean_up(const Config& config);

}  // namespace penstock
