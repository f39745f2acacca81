// SPDX-License-Identifier: Apache-2.0
// Events (health, next hops, changes) ask for a plan; many in one turn of the loop make one plan.
#include "controlplane/control/daemon.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <filesystem>

#include "controlplane/config/parse.h"
#include "controlplane/control/fixed_settings.h"
#include "controlplane/control/state_files.h"
#include "controlplane/netlink/reserved_ports.h"
#include "controlplane/sidecar/namespace.h"
#include "dataplane/dpdk/dpdk_dataplane.h"
#include "dataplane/xdp/xdp_dataplane.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

// What lingers is looked after this often (a pass over the flow table each time), and a plan that
// failed is tried again.
constexpr std::chrono::seconds kAgainInterval{10};
// How long a forwarder that died may go unnoticed.
constexpr std::chrono::milliseconds kLookInterval{100};
// On top of the longest probe: its start is spread over 100 ms, and neighbours take a moment to
// answer.
constexpr milliseconds kSettleMargin{300};

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

bool has_leaving_backends(const Config& config, const Plan& plan) {
  std::set<std::pair<Protocol, Endpoint>> configured;
  for (const ServiceConfig& service : config.services) {
    for (const auto& backend : service.backends) {
      configured.emplace(service.protocol, backend.endpoint);
    }
  }
  const auto& backends = plan.next.forwarding.backends;
  return std::any_of(backends.begin(), backends.end(), [&](const auto& entry) {
    return !plan.sidecar_backends.contains(entry.first) &&
           !configured.contains({entry.second.protocol, entry.second.endpoint});
  });
}

// Those that stand for the sidecar: it answers by the very place that it is reached at.
std::set<BackendId> sidecar_backends(const ForwardingState& state) {
  std::set<BackendId> found;
  for (const auto& [id, backend] : state.backends) {
    const auto service = state.services.find(backend.answers_for);
    if (service != state.services.end() && service->second.vip == backend.endpoint) {
      found.insert(id);
    }
  }
  return found;
}

bool has_affinity(const ForwardingState& state) {
  return std::any_of(state.services.begin(), state.services.end(),
                     [](const auto& service) { return service.second.affinity_idle.count() > 0; });
}

// Those that services refer to now.
std::map<LookupTableId, LookupTable> affinity_tables(const Dataplane& dataplane,
                                                     const ForwardingState& state) {
  std::map<LookupTableId, LookupTable> tables;
  for (const auto& [id, service] : state.services) {
    if (service.affinity_idle.count() == 0) continue;
    tables[service.lookup_table] = dataplane.lookup_table(service.lookup_table);
    for (const LookupTableId place : service.earlier) tables[place] = dataplane.lookup_table(place);
  }
  return tables;
}

// A handler that does nothing once its owner is gone: one that is queued already cannot be
// cancelled.
template <typename Action>
auto while_alive(const std::shared_ptr<const bool>& owner, Action action) {
  return [owner = std::weak_ptr<const bool>(owner),
          action = std::move(action)](const boost::system::error_code& error = {}) {
    if (!error && !owner.expired()) action();
  };
}

SlotCounts count_slots(const LookupTable& table) {
  SlotCounts counts;
  for (const uint16_t slot : table) counts[holder_of(slot)]++;
  return counts;
}

// The first of several failures, of which none keeps the others from being tried.
Result<void> first_failure(std::initializer_list<Result<void>> results) {
  for (const auto& result : results) {
    if (!result) return result;
  }
  return {};
}

}  // namespace

Daemon::Daemon(boost::asio::io_context& context, Wanted wanted)
    : context_(context),
      wanted_(std::move(wanted)),
      settle_(context),
      again_(context),
      look_(context) {}

Result<std::unique_ptr<Daemon>> Daemon::start(boost::asio::io_context& context, std::string file,
                                              Config config, const OpenDataplane& open) {
  std::unique_ptr<Daemon> daemon(
      new Daemon(context, {std::move(file), std::move(config), Overrides{}}));
  if (auto opened = daemon->open(open); !opened) return tl::unexpected(opened.error());
  return daemon;
}

// All that can fail for a reason of the operator's comes before the dataplane is touched.
Result<void> Daemon::open(const OpenDataplane& open_dataplane) {
  if (auto prepared = prepare(); !prepared) return prepared;
  if (auto opened = open_sidecar(); !opened) return opened;
  Config with_sidecar = wanted_.config;
  if (sidecar_) with_sidecar.dataplane.interfaces.emplace_back(kSidecarInterface);
  auto dataplane = open_dataplane(with_sidecar);
  if (!dataplane) {
    if (sidecar_) sidecar_->give_up();
    return tl::unexpected(dataplane.error());
  }
  dataplane_ = std::move(*dataplane);
  plan_.next.forwarding = dataplane_->current();
  plan_.next.tables = affinity_tables(*dataplane_, plan_.next.forwarding);
  plan_.sidecar_backends = sidecar_backends(plan_.next.forwarding);
  for (const auto& [id, flows] : dataplane_->flows().services) {
    if (!plan_.next.forwarding.services.contains(id)) retired_services_.insert(id);
  }
  const PortRange ports = wanted_.config.dataplane.snat_ports;
  if (auto reserved = reserve_ports(ports.first, ports.last); !reserved) return reserved;
  return open_watchers();
}

Result<void> Daemon::open_sidecar() {
  const Config config = effective_config();
  if (!config.has_tls()) return {};
  auto sidecar = Sidecar::open(context_, config, Sidecar::directory_of(config));
  if (!sidecar) return tl::unexpected(sidecar.error());
  sidecar_ = std::move(*sidecar);
  return {};
}

Result<void> Daemon::prepare() {
  const Config& config = wanted_.config;
  const std::string& directory = config.control.state_directory;
  if (auto made = make_state_directory(directory); !made) return made;
  auto overrides = load_overrides(directory);
  if (!overrides) return tl::unexpected(overrides.error());
  wanted_.overrides = std::move(*overrides);
  const auto seed = config.appliance.hash_seed.empty()
                        ? kept_hash_seed(directory)
                        : Result<std::string>(config.appliance.hash_seed);
  if (!seed) return tl::unexpected(seed.error());
  hash_key_ = hash_key_from_seed(*seed);
  auto addresses = find_own_addresses(config.dataplane);
  if (!addresses) return tl::unexpected(addresses.error());
  own_addresses_ = std::move(*addresses);
  if (auto served = check_addresses(config, own_addresses_); !served) return served;
  return check_ports(config.dataplane.snat_ports.first, config.dataplane.snat_ports.last);
}

Result<void> Daemon::open_watchers() {
  monitor_ = std::make_unique<HealthMonitor>(context_, [this] { plan_later(); });
  auto resolver = NextHopResolver::open(context_, wanted_.config.dataplane.interfaces,
                                        [this] { plan_later(); });
  if (!resolver) return tl::unexpected(resolver.error());
  resolver_ = std::move(*resolver);
  announcer_.emplace(context_, wanted_.config);
  follow(effective_config());
  settle_.expires_after(longest_timeout(wanted_.config) + kSettleMargin);
  settle_.async_wait(while_alive(alive_, [this] {
    waited_ = true;
    plan_later();
  }));
  plan_later();
  look_after_others();
  return {};
}

void Daemon::look_after_others() {
  if (stopped_) return;
  if (sidecar_) sidecar_->look_after();
  if (auto well = dataplane_->look_after(); !well) spdlog::error("{}", well.error().message);
  look_.expires_after(kLookInterval);
  look_.async_wait(while_alive(alive_, [this] { look_after_others(); }));
}

void Daemon::follow(const Config& config) {
  monitor_->set_targets(health_targets(config));
  std::set<IpAddress> addresses;
  for (const ServiceConfig& service : config.services) {
    for (const auto& backend : service.backends) addresses.insert(backend.endpoint.address);
  }
  for (const auto& [id, backend] : plan_.next.forwarding.backends) {
    if (plan_.sidecar_backends.contains(id)) continue;
    addresses.insert(backend.endpoint.address);  // one that lingers has to be reached too
  }
  resolver_->set_targets({addresses.begin(), addresses.end()});
  resolver_->follow_gateways(
      std::any_of(config.services.begin(), config.services.end(), goes_by_dnat));
}

void Daemon::plan_later() {
  if (planning_) return;
  planning_ = true;
  boost::asio::post(context_, while_alive(alive_, [this] {
                      planning_ = false;
                      plan_if_settled();
                    }));
}

// A start waits for the first answers: an adopted table is not emptied, and a new one leads no
// client to a dead backend.
void Daemon::plan_if_settled() {
  if (stopped_) return;
  const bool first = !settled_;
  if (first && !waited_ && !(monitor_->all_known() && resolver_->unresolved().empty())) return;
  settled_ = true;
  if (auto planned = plan_now(); !planned) {
    spdlog::error("{}", planned.error().message);
  } else if (first) {
    spdlog::info("ready");
  }
}

Result<void> Daemon::plan_now() {
  events_.tell_health(monitor_->reports());
  events_.tell_unresolved(resolver_->unresolved());
  const Config config = effective_config();
  note_drains(config);
  auto plan = make_plan_for(config);
  auto taken = plan
                   ? take_by_sidecar(config, *plan).and_then([&] { return take(std::move(*plan)); })
                   : Result<void>(tl::unexpected(plan.error()));
  last_error_ = taken ? "" : taken.error().message;
  if (!taken) {
    plan_again_soon();
    return taken;
  }
  // Only now: a VIP that is announced before it is served gets resets from the kernel.
  if (auto announced = announcer_->update(config.services); !announced) {
    spdlog::warn("{}", announced.error().message);
  }
  watch_lingering();
  return {};
}

// Before the dataplane leads clients there. What is wrong with it is told by its status, and keeps
// no change of the backends from being made.
Result<void> Daemon::take_by_sidecar(const Config& config, const Plan& plan) {
  if (!sidecar_) return {};
  if (auto taken = sidecar_->apply(config, plan); !taken) {
    spdlog::error("{}", taken.error().message);
  }
  return {};
}

Result<Plan> Daemon::make_plan_for(const Config& config) const {
  PlanInput input;
  input.config = config;
  input.hash_key = hash_key_;
  input.snat_addresses = own_addresses_.snat;
  input.own_addresses = own_addresses_.all;
  input.next_hops = resolver_->next_hops();
  input.gateways = resolver_->gateways();
  for (const auto& [name, report] : monitor_->reports()) {
    if (report.health == Health::kUp) input.up.insert(name);
  }
  if (has_leaving_backends(config, plan_)) {  // else the pass is saved
    for (const auto& [id, counts] : dataplane_->flows().backends) input.busy_backends.insert(id);
  }
  input.busy_services = retired_services_;
  if (sidecar_) input.sidecar = sidecar_->hop();
  if (has_affinity(plan_.next.forwarding)) input.affinity = dataplane_->affinity();
  for (const auto& [name, deadline] : drain_deadlines(config)) {
    if (std::chrono::steady_clock::now() >= deadline) input.drained_out.insert(name);
  }
  return make_plan(plan_.next, input);
}

Result<void> Daemon::take(Plan plan) {
  if (plan.changes_anything) {
    if (auto applied = dataplane_->apply(plan.delta); !applied) return applied;
    for (const auto& [id, service] : plan_.next.forwarding.services) {
      if (!plan.next.forwarding.services.contains(id)) retired_services_.insert(id);
    }
    spdlog::info("applied: {} services, {} backends, {} lookup tables rebuilt",
                 plan.delta.next.services.size(), plan.delta.next.backends.size(),
                 plan.delta.lookup_tables.size());
  }
  for (const auto& [id, service] : plan.next.forwarding.services) {
    const auto table = plan.delta.lookup_tables.find(service.lookup_table);
    if (table != plan.delta.lookup_tables.end()) slots_[id] = count_slots(table->second);
    if (!plan.forgetful_services.contains(id)) continue;
    spdlog::warn(
        "{}: its backends changed more often than there is room for in dataplane.affinity_tables: "
        "a few clients that were not seen since may move",
        to_string(service.vip));
  }
  plan.delta = {};
  plan_ = std::move(plan);
  return {};
}

// A drain begins when it is first planned: after a restart anew.
void Daemon::note_drains(const Config& config) {
  DrainTimes drains;
  for (const ServiceConfig& service : config.services) {
    for (const BackendConfig& backend : service.backends) {
      if (!backend.drain && backend.weight > 0) continue;
      const std::pair name{service.name, backend.name};
      const auto known = drains_.find(name);
      drains[name] = known == drains_.end() ? std::chrono::steady_clock::now() : known->second;
    }
  }
  drains_ = std::move(drains);
}

Daemon::DrainTimes Daemon::drain_deadlines(const Config& config) const {
  DrainTimes deadlines;
  for (const ServiceConfig& service : config.services) {
    if (!service.affinity || !service.affinity->drain_deadline) continue;
    for (const BackendConfig& backend : service.backends) {
      const auto drain = drains_.find({service.name, backend.name});
      if (drain == drains_.end()) continue;
      deadlines[drain->first] = drain->second + *service.affinity->drain_deadline;
    }
  }
  return deadlines;
}

// As long as something that left the configuration is still in flows, and earlier lookup tables
// are kept.
void Daemon::watch_lingering() {
  const auto flows = retired_services_.empty() ? FlowSnapshot{} : dataplane_->flows();
  std::erase_if(retired_services_, [&](ServiceId id) { return !flows.services.contains(id); });
  std::set<BackendId> configured;
  for (const auto& [name, id] : plan_.backend_ids) configured.insert(id);
  configured.insert(plan_.sidecar_backends.begin(), plan_.sidecar_backends.end());
  again_.cancel();
  const auto& state = plan_.next.forwarding;
  const bool keeps_tables =
      std::any_of(state.services.begin(), state.services.end(), [&](const auto& service) {
        const auto table = plan_.next.tables.find(service.second.lookup_table);
        return table != plan_.next.tables.end() &&
               std::any_of(table->second.begin(), table->second.end(),
                           [](uint16_t slot) { return (slot & kContested) != 0; });
      });
  if (keeps_tables || !retired_services_.empty() || configured.size() != state.backends.size()) {
    plan_again_soon();
  }
}

void Daemon::plan_again_soon() {
  const auto now = std::chrono::steady_clock::now();
  auto when = now + kAgainInterval;
  for (const auto& [name, deadline] : drain_deadlines(effective_config())) {
    if (deadline > now) when = std::min(when, deadline);
  }
  again_.expires_at(when);
  again_.async_wait(while_alive(alive_, [this] { plan_later(); }));
}

Result<void> Daemon::apply(const std::optional<std::string>& file, bool discard_changes) {
  const std::string path = file.value_or(wanted_.file);
  auto config = read_config(path);
  if (!config) return tl::unexpected(config.error());
  if (const auto key = fixed_key_that_differs(wanted_.config, *config); !key.empty()) {
    return fail(
        ErrorKind::kConflict,
        fmt::format("{} differs from what runs, and cannot change while it does: set it "
                    "back, or `penstock stop` and `penstock run` (open connections will be lost)",
                    key));
  }
  Overrides overrides = discard_changes ? Overrides{} : prune(*config, wanted_.overrides);
  if (auto adopted = adopt({path, std::move(*config), std::move(overrides)}); !adopted) {
    return adopted;
  }
  spdlog::info("the configuration is {}", path);
  return {};
}

Result<void> Daemon::change(const Change& change) {
  auto overrides = change(wanted_.config, wanted_.overrides);
  if (!overrides) return tl::unexpected(overrides.error());
  return adopt({wanted_.file, wanted_.config, std::move(*overrides)});
}

Result<void> Daemon::adopt(Wanted wanted) {
  if (stopped_) return fail(ErrorKind::kConflict, "the daemon is ending: start it again first");
  const Config effective = with_overrides(wanted.config, wanted.overrides);
  if (auto served = check_addresses(effective, own_addresses_); !served) return served;
  if (effective.has_tls() && !sidecar_) {
    return fail(ErrorKind::kConflict,
                "this daemon was started without [service.tls], and only a start makes the "
                "sidecar's place: restart it (`systemctl restart penstock`, or end `penstock run` "
                "and run it again); packets are forwarded on meanwhile");
  }
  const auto plan = make_plan_for(effective);
  if (!plan) return tl::unexpected(plan.error());
  if (sidecar_) {
    if (auto able = sidecar_->check(effective, *plan); !able) return able;
  }
  const std::string& directory = wanted_.config.control.state_directory;
  if (auto saved = save_overrides(directory, wanted.overrides); !saved) return saved;
  std::swap(wanted_, wanted);
  follow(effective);
  if (!settled_) return {};
  auto planned = plan_now();
  if (planned) return planned;
  wanted_ = std::move(wanted);
  follow(effective_config());
  plan_later();  // the sidecar may have the other one already
  const auto saved = save_overrides(wanted_.config.control.state_directory, wanted_.overrides);
  return first_failure({planned, saved});
}

Result<void> Daemon::stop_forwarding() {
  if (auto removed = dataplane_->remove(); !removed) return removed;
  stopped_ = true;
  const auto sidecar_ended = sidecar_ ? sidecar_->end() : Result<void>{};
  const PortRange ports = wanted_.config.dataplane.snat_ports;
  return first_failure(
      {sidecar_ended, announcer_->withdraw(), release_ports(ports.first, ports.last)});
}

Result<Config> read_config(const std::string& file) {
  auto config = load_config(file);
  if (config) return std::move(*config);
  std::vector<std::string> lines;
  for (const Diagnostic& diagnostic : config.error()) lines.push_back(to_string(diagnostic));
  return fail(ErrorKind::kInvalid, fmt::format("{}", fmt::join(lines, "\n")));
}

Result<void> clean_up(const Config& config) {
  auto removed = config.dataplane.driver == "dpdk"
                     ? remove_dpdk_dataplane(config.dpdk.segment)
                     : remove_xdp_dataplane(config.dataplane.pin_path);
  if (!removed) return removed;
  std::error_code ignored;  // nobody listens there: the dataplane was nobody's
  if (fs::is_socket(config.control.socket, ignored)) fs::remove(config.control.socket, ignored);
  const PortRange ports = config.dataplane.snat_ports;
  return first_failure({Sidecar::clean_up(config), withdraw_all(config.control.state_directory),
                        release_ports(ports.first, ports.last)});
}

}  // namespace penstock
