// SPDX-License-Identifier: Apache-2.0
// The control plane's one object: configuration, health and next hops in, plans out to the
// dataplane. Everything runs on one thread, the io_context's.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/config/overrides.h"
#include "controlplane/control/announcer.h"
#include "controlplane/control/event_log.h"
#include "controlplane/control/own_addresses.h"
#include "controlplane/health/monitor.h"
#include "controlplane/netlink/next_hops.h"
#include "controlplane/plan/plan.h"
#include "controlplane/sidecar/sidecar.h"
#include "dataplane/dataplane.h"

namespace penstock {

// Opens the dataplane that a configuration asks for.
using OpenDataplane = std::function<Result<std::unique_ptr<Dataplane>>(const Config&)>;

// A change of the overrides: (file, overrides before) to overrides after.
using Change = std::function<Result<Overrides>(const Config&, const Overrides&)>;

// How many slots of a lookup table each backend holds; 0: those that nobody holds.
using SlotCounts = std::map<BackendId, uint32_t>;

class Daemon {
 public:
  // Starts forwarding by `config`, which was read from `file`: adopts what an earlier daemon left,
  // and plans anew when the first health checks are through. On failure what ran before runs on.
  static Result<std::unique_ptr<Daemon>> start(boost::asio::io_context& context, std::string file,
                                               Config config, const OpenDataplane& open);

  // Reads the file again, or another one from now on. `discard_changes` drops the overrides. In
  // force when it returns, but for backends that have yet to pass their first health check. On
  // failure nothing has changed.
  Result<void> apply(const std::optional<std::string>& file, bool discard_changes);
  Result<void> change(const Change& change);
  // Ends forwarding and removes what outlives the process. Nothing is planned any more.
  Result<void> stop_forwarding();

  // What status and explain are made of.
  const std::string& file() const { return wanted_.file; }
  const Config& file_config() const { return wanted_.config; }
  const Overrides& overrides() const { return wanted_.overrides; }
  Config effective_config() const { return with_overrides(wanted_.config, wanted_.overrides); }
  const Plan& plan() const { return plan_; }
  const std::map<ServiceId, SlotCounts>& slots() const { return slots_; }
  const Dataplane& dataplane() const { return *dataplane_; }
  const HealthMonitor& health() const { return *monitor_; }
  const NextHopResolver& next_hops() const { return *resolver_; }
  const Sidecar* sidecar() const { return sidecar_.get(); }  // nullptr: no service had tls at start
  const HashKey& hash_key() const { return hash_key_; }
  // Why the last plan could not be carried out; empty: it was.
  const std::string& last_error() const { return last_error_; }
  std::chrono::steady_clock::time_point started() const { return started_; }

 private:
  struct Wanted {
    std::string file;
    Config config;  // what the file says
    Overrides overrides;
  };

  // By service and backend name.
  using DrainTimes =
      std::map<std::pair<std::string, std::string>, std::chrono::steady_clock::time_point>;

  Daemon(boost::asio::io_context& context, Wanted wanted);

  Result<void> open(const OpenDataplane& open_dataplane);
  Result<void> open_sidecar();
  Result<void> take_by_sidecar(const Config& config, const Plan& plan);
  Result<void> prepare();
  Result<void> open_watchers();
  Result<void> adopt(Wanted wanted);
  void follow(const Config& config);
  void plan_later();
  void plan_if_settled();
  Result<void> plan_now();
  Result<Plan> make_plan_for(const Config& config) const;
  Result<void> take(Plan plan);
  void note_drains(const Config& config);
  // Of backends whose drain has one.
  DrainTimes drain_deadlines(const Config& config) const;
  void watch_lingering();
  void plan_again_soon();
  void look_after_others();

  boost::asio::io_context& context_;
  Wanted wanted_;
  HashKey hash_key_{};
  OwnAddresses own_addresses_;  // at this start
  std::unique_ptr<Sidecar> sidecar_;
  std::unique_ptr<Dataplane> dataplane_;
  std::unique_ptr<HealthMonitor> monitor_;
  std::unique_ptr<NextHopResolver> resolver_;
  std::optional<Announcer> announcer_;
  EventLog events_;
  Plan plan_;  // carried out; its delta is not kept
  std::map<ServiceId, SlotCounts> slots_;
  std::set<ServiceId> retired_services_;  // gone from the configuration, perhaps still in flows
  DrainTimes drains_;  // since when a backend takes no new clients: from this start on
  std::string last_error_;
  bool waited_ = false;    // long enough for the first answers of health checks and neighbours
  bool settled_ = false;   // the first plan has been made
  bool planning_ = false;  // a plan is on its way
  bool stopped_ = false;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);  // see while_alive
  boost::asio::steady_timer settle_;
  boost::asio::steady_timer again_;
  boost::asio::steady_timer look_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

// The file's configuration. kInvalid: a line a fault.
Result<Config> read_config(const std::string& file);

// Cleans up what a daemon with this configuration has left, when none runs.
Result<void> clean_up(const Config& config);

}  // namespace penstock
