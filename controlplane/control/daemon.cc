// SPDX-License-Identifier: Apache-2.0
// Events (health, next hops, changes) ask for a plan; many in one turn of the loop make one plan.
#include "controlplane/control/daemon.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "controlplane/config/parse.h"
#include "controlplane/control/state_files.h"
#include "controlplane/netlink/addresses.h"
#include "controlplane/netlink/reserved_ports.h"
#include "dataplane/xdp/xdp_dataplane.h"

namespace penstock {
namespace {

// What lingers is looked after this often: a pass over the flow table each time.
constexpr std::chrono::seconds kLingeringInterval{10};

std::vector<HealthTarget> health_targets(const Config& config) {
  std::vector<HealthTarget> targets;
  for (const ServiceConfig& service : config.services) {
    for (const BackendConfig& backend : service.backends) {
      targets.push_back({service.name, backend.name, backend.endpoint, service.health});
    }
  }
  return targets;
}

milliseconds longest_timeout(const Config& config) {
  milliseconds longest{0};
  for (const ServiceConfig& service : config.services) {
    longest = std::max(longest, service.health.timeout);
  }
  return longest;
}

// The keys that a running daemon cannot change, and whether they differ.
std::string fixed_key_that_differs(const Config& before, const Config& after) {
  const DataplaneConfig& a = before.dataplane;
  const DataplaneConfig& b = after.dataplane;
  if (a.driver != b.driver) return "dataplane.driver";
  if (a.interfaces != b.interfaces) return "dataplane.interfaces";
  if (a.snat_addresses != b.snat_addresses) return "dataplane.snat_addresses";
  if (!(a.snat_ports == b.snat_ports)) return "dataplane.snat_ports";
  if (a.flow_table_entries != b.flow_table_entries) return "dataplane.flow_table_entries";
  if (a.max_services != b.max_services) return "dataplane.max_services";
  if (a.max_backends != b.max_backends) return "dataplane.max_backends";
  if (a.pin_path != b.pin_path) return "dataplane.pin_path";
  if (!(before.control == after.control)) return "control.socket and control.state_directory";
  if (before.appliance.hash_seed != after.appliance.hash_seed) return "appliance.hash_seed";
  return "";
}

bool has_leaving_backends(const Config& config, const ForwardingState& state) {
  std::set<std::pair<Protocol, Endpoint>> configured;
  for (const ServiceConfig& service : config.services) {
    for (const auto& backend : service.backends) {
      configured.emplace(service.protocol, backend.endpoint);
    }
  }
  return std::any_of(state.backends.begin(), state.backends.end(), [&](const auto& entry) {
    return !configured.contains({entry.second.protocol, entry.second.endpoint});
  });
}

std::string join_diagnostics(const std::vector<Diagnostic>& diagnostics) {
  std::vector<std::string> lines;
  for (const Diagnostic& diagnostic : diagnostics) lines.push_back(to_string(diagnostic));
  return fmt::format("{}", fmt::join(lines, "\n"));
}

}  // namespace

Daemon::Daemon(boost::asio::io_context& context, std::string file, Config config)
    : context_(context),
      file_(std::move(file)),
      config_(std::move(config)),
      settle_(context),
      lingering_(context) {}

Result<std::unique_ptr<Daemon>> Daemon::start(boost::asio::io_context& context, std::string file,
                                              Config config, const OpenDataplane& open) {
  std::unique_ptr<Daemon> daemon(new Daemon(context, std::move(file), std::move(config)));
  if (auto opened = daemon->open(open); !opened) return tl::unexpected(opened.error());
  return daemon;
}

Result<void> Daemon::open(const OpenDataplane& open_dataplane) {
  const std::string& directory = config_.control.state_directory;
  if (auto made = make_state_directory(directory); !made) return made;
  auto overrides = load_overrides(directory);
  if (!overrides) return tl::unexpected(overrides.error());
  overrides_ = std::move(*overrides);
  const auto seed = config_.appliance.hash_seed.empty()
                        ? kept_hash_seed(directory)
                        : Result<std::string>(config_.appliance.hash_seed);
  if (!seed) return tl::unexpected(seed.error());
  hash_key_ = hash_key_from_seed(*seed);
  const PortRange ports = config_.dataplane.snat_ports;
  if (auto free = check_ports(ports.first, ports.last); !free) return free;
  if (auto found = find_snat_addresses(); !found) return found;

  auto dataplane = open_dataplane(config_);
  if (!dataplane) return tl::unexpected(dataplane.error());
  dataplane_ = std::move(*dataplane);
  state_.forwarding = dataplane_->current();
  for (const auto& [id, flows] : dataplane_->flows().services) {
    if (!state_.forwarding.services.contains(id)) retired_services_.insert(id);
  }
  if (auto reserved = reserve_ports(ports.first, ports.last); !reserved) return reserved;

  monitor_ = std::make_unique<HealthMonitor>(context_, [this] { plan_later(); });
  auto resolver =
      NextHopResolver::open(context_, config_.dataplane.interfaces, [this] { plan_later(); });
  if (!resolver) return tl::unexpected(resolver.error());
  resolver_ = std::move(*resolver);
  announcer_.emplace(context_, config_);
  follow(effective_config());
  settle_.expires_after(longest_timeout(config_) + milliseconds(300));
  settle_.async_wait([this](const boost::system::error_code& error) {
    if (error || settled_) return;
    settled_ = true;
    plan_later();
  });
  plan_later();
  return {};
}

// The configured ones, else those of the interfaces; every family that is served needs one.
Result<void> Daemon::find_snat_addresses() {
  snat_addresses_ = config_.dataplane.snat_addresses;
  if (snat_addresses_.empty()) {
    for (const std::string& interface : config_.dataplane.interfaces) {
      const auto addresses = interface_addresses(interface);
      if (!addresses) return tl::unexpected(addresses.error());
      snat_addresses_.insert(snat_addresses_.end(), addresses->begin(), addresses->end());
    }
  }
  for (const ServiceConfig& service : config_.services) {
    const Family family = service.vip.address.family;
    const bool served = std::any_of(snat_addresses_.begin(), snat_addresses_.end(),
                                    [&](const auto& address) { return address.family == family; });
    if (served) continue;
    return fail(
        ErrorKind::kInvalid,
        fmt::format("service {} needs an {} address to reach its backends from: give {} one, or "
                    "name it in dataplane.snat_addresses",
                    service.name, to_string(family),
                    fmt::join(config_.dataplane.interfaces, ", ")));
  }
  return {};
}

void Daemon::follow(const Config& config) {
  monitor_->set_targets(health_targets(config));
  std::vector<IpAddress> addresses;
  for (const ServiceConfig& service : config.services) {
    for (const auto& backend : service.backends) addresses.push_back(backend.endpoint.address);
  }
  for (const auto& [id, backend] : state_.forwarding.backends) {
    addresses.push_back(backend.endpoint.address);
  }
  resolver_->set_targets(addresses);
  if (auto announced = announcer_->update(config.services); !announced) {
    spdlog::warn("{}", announced.error().message);
  }
}

void Daemon::plan_later() {
  if (planning_) return;
  planning_ = true;
  boost::asio::post(context_, [this] {
    planning_ = false;
    if (!settled_ && !(monitor_->all_known() && resolver_->unresolved().empty())) return;
    if (!settled_) spdlog::info("ready");
    settled_ = true;
    plan_now();
  });
}

Result<Plan> Daemon::make_plan_for(const Config& config) const {
  PlanInput input;
  input.config = config;
  input.hash_key = hash_key_;
  input.snat_addresses = snat_addresses_;
  input.next_hops = resolver_->next_hops();
  for (const auto& [name, report] : monitor_->reports()) {
    if (report.health == Health::kUp) input.up.insert(name);
  }
  if (has_leaving_backends(config, state_.forwarding)) {  // else the pass over the flows is saved
    for (const auto& [id, counts] : dataplane_->flows().backends) input.busy_backends.insert(id);
  }
  input.busy_services = retired_services_;
  return make_plan(state_, input);
}

void Daemon::plan_now() {
  log_health();
  auto plan = make_plan_for(effective_config());
  if (!plan) {
    last_error_ = plan.error().message;
    spdlog::error("{}", last_error_);
    return;
  }
  take(std::move(*plan));
}

void Daemon::take(Plan plan) {
  const bool changes = plan.changes_anything || !plan.delta.lookup_tables.empty();
  if (changes) {
    if (auto applied = dataplane_->apply(plan.delta); !applied) {
      last_error_ = applied.error().message;
      spdlog::error("{}", last_error_);
      return;
    }
    for (const auto& [id, service] : state_.forwarding.services) {
      if (!plan.next.forwarding.services.contains(id)) retired_services_.insert(id);
    }
    spdlog::info("applied: {} services, {} backends, {} lookup tables rebuilt",
                 plan.delta.next.services.size(), plan.delta.next.backends.size(),
                 plan.delta.lookup_tables.size());
  }
  last_error_.clear();
  state_ = plan.next;
  plan_ = std::move(plan);
  watch_lingering();
}

// As long as something that left the configuration is still in flows.
void Daemon::watch_lingering() {
  const auto flows = retired_services_.empty() ? FlowSnapshot{} : dataplane_->flows();
  std::erase_if(retired_services_, [&](ServiceId id) { return !flows.services.contains(id); });
  std::set<BackendId> configured;
  for (const auto& [name, id] : plan_.backend_ids) configured.insert(id);
  const bool lingering =
      !retired_services_.empty() || configured.size() != state_.forwarding.backends.size();
  lingering_.cancel();
  if (!lingering) return;
  lingering_.expires_after(kLingeringInterval);
  lingering_.async_wait([this](const boost::system::error_code& error) {
    if (!error) plan_later();
  });
}

void Daemon::log_health() {
  for (const auto& [name, report] : monitor_->reports()) {
    Health& logged = logged_health_[name];
    if (logged == report.health || report.health == Health::kUnknown) continue;
    logged = report.health;
    spdlog::info("{}/{} is {}: {}", name.first, name.second,
                 report.health == Health::kUp ? "up" : "down", report.detail);
  }
}

Result<void> Daemon::apply(const std::optional<std::string>& file, bool discard_changes) {
  const std::string path = file.value_or(file_);
  auto config = load_config(path);
  if (!config) return fail(ErrorKind::kInvalid, join_diagnostics(config.error()));
  if (const auto key = fixed_key_that_differs(config_, *config); !key.empty()) {
    return fail(
        ErrorKind::kConflict,
        fmt::format("{} differs from what runs, and cannot change while it does: set it "
                    "back, or `penstock stop` and `penstock run` (open connections will be lost)",
                    key));
  }
  const Overrides overrides = discard_changes ? Overrides{} : prune(*config, overrides_);
  if (auto plan = make_plan_for(with_overrides(*config, overrides)); !plan) {
    return tl::unexpected(plan.error());
  }
  if (auto saved = save_overrides(config_.control.state_directory, overrides); !saved) {
    return saved;
  }
  file_ = path;
  config_ = std::move(*config);
  overrides_ = overrides;
  follow(effective_config());
  plan_later();
  spdlog::info("{} applied", path);
  return {};
}

Result<void> Daemon::change(const Change& change) {
  auto overrides = change(config_, overrides_);
  if (!overrides) return tl::unexpected(overrides.error());
  if (auto plan = make_plan_for(with_overrides(config_, *overrides)); !plan) {
    return tl::unexpected(plan.error());
  }
  if (auto saved = save_overrides(config_.control.state_directory, *overrides); !saved) {
    return saved;
  }
  overrides_ = std::move(*overrides);
  follow(effective_config());
  plan_later();
  return {};
}

Result<void> Daemon::stop_forwarding() {
  if (auto removed = dataplane_->remove(); !removed) return removed;
  if (auto withdrawn = withdraw_all(config_.control.state_directory); !withdrawn) return withdrawn;
  const PortRange ports = config_.dataplane.snat_ports;
  return release_ports(ports.first, ports.last);
}

Result<void> clean_up(const Config& config) {
  unlink(config.control.socket.c_str());
  if (auto removed = remove_xdp_dataplane(config.dataplane.pin_path); !removed) return removed;
  if (std::set<IpAddress> ours = load_announced(config.control.state_directory); !ours.empty()) {
    if (auto withdrawn = withdraw_all(config.control.state_directory); !withdrawn) {
      return withdrawn;
    }
  }
  return release_ports(config.dataplane.snat_ports.first, config.dataplane.snat_ports.last);
}

}  // namespace penstock
