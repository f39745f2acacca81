// SPDX-License-Identifier: Apache-2.0
// A coroutine a target. It shares the target's state with the monitor and lets go of it when `stopped` is set, which the
// monitor does when the target changes and when it ends itself.
#include "controlplane/health/monitor.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <random>

#include "controlplane/health/probe.h"

namespace penstock {
namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using Key = std::pair<std::string, std::string>;

struct Watch {
  Watch(asio::io_context& context, HealthTarget what, Health known)
      : target(std::move(what)),
        damper(target.check.rise, target.check.fall, known),
        timer(context) {
    report.health = known;
  }

  HealthTarget target;
  Damper damper;
  HealthReport report;
  asio::steady_timer timer;
  bool stopped = false;
};

std::mt19937& random_engine() {
  static std::mt19937 engine{std::random_device{}()};
  return engine;
}

// From 90 to 100 % of the interval: jitter only ever shortens it, so that a failure is found in time.
steady_clock::duration jittered(milliseconds interval) {
  std::uniform_int_distribution<int64_t> ms(interval.count() * 9 / 10, interval.count());
  return milliseconds(std::max<int64_t>(1, ms(random_engine())));
}

// The first probes of a start are spread over a tenth of a second.
steady_clock::duration first_delay(milliseconds interval) {
  std::uniform_int_distribution<int64_t> ms(0, std::min<int64_t>(100, interval.count()));
  return milliseconds(ms(random_engine()));
}

asio::awaitable<bool> wait_until(Watch& watch, steady_clock::time_point when) {
  boost::system::error_code ignored;
  watch.timer.expires_at(when);
  co_await watch.timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  co_return !watch.stopped;
}

asio::awaitable<void> run(std::shared_ptr<Watch> watch,
                          std::shared_ptr<const std::function<void()>> on_change) {
  const HealthTarget& target = watch->target;
  auto next = steady_clock::now() + first_delay(target.check.interval);
  while (co_await wait_until(*watch, next)) {
    next = steady_clock::now() + jittered(target.check.interval);
    const ProbeResult result = co_await probe(target.endpoint, target.check);
    if (watch->stopped) co_return;
    watch->report.detail = result.detail;
    if (!watch->damper.observe(result.success)) continue;
    watch->report.health = watch->damper.health();
    watch->report.since = system_clock::now();
    (*on_change)();
  }
}

}  // namespace

class HealthMonitor::Impl {
 public:
  Impl(asio::io_context& context, std::function<void()> on_change)
      : context_(context),
        on_change_(std::make_shared<const std::function<void()>>(std::move(on_change))) {}

  ~Impl() {
    for (auto& [key, watch] : watches_) stop(*watch);
  }

  void set_targets(const std::vector<HealthTarget>& targets) {
    std::map<Key, std::shared_ptr<Watch>> before;
    before.swap(watches_);
    for (const HealthTarget& target : targets) {
      const Key key{target.service, target.backend};
      const auto known = before.find(key);
      if (known != before.end() && known->second->target == target) {
        watches_[key] = known->second;
        before.erase(known);
        continue;
      }
      // Another instance under the same name starts from nothing.
      const bool same_instance =
          known != before.end() && known->second->target.endpoint == target.endpoint;
      start(key, target, same_instance ? known->second->report.health : Health::kUnknown);
    }
    for (auto& [key, watch] : before) stop(*watch);
  }

  const std::map<Key, std::shared_ptr<Watch>>& watches() const { return watches_; }

 private:
  void start(const Key& key, const HealthTarget& target, Health known) {
    const bool unchecked = target.check.type == HealthCheckType::kNone;
    auto watch = std::make_shared<Watch>(context_, target, unchecked ? Health::kUp : known);
    watch->report.since = system_clock::now();
    if (unchecked) watch->report.detail = "not checked";
    watches_[key] = watch;
    if (!unchecked) asio::co_spawn(context_, run(watch, on_change_), asio::detached);
  }

  static void stop(Watch& watch) {
    watch.stopped = true;
    watch.timer.cancel();
  }

  asio::io_context& context_;
  std::shared_ptr<const std::function<void()>> on_change_;
  std::map<Key, std::shared_ptr<Watch>> watches_;
};

HealthMonitor::HealthMonitor(asio::io_context& context, std::function<void()> on_change)
    : impl_(std::make_unique<Impl>(context, std::move(on_change))) {}

HealthMonitor::~HealthMonitor() = default;

void HealthMonitor::set_targets(const std::vector<HealthTarget>& targets) {
  impl_->set_targets(targets);
}

std::map<Key, HealthReport> HealthMonitor::reports() const {
  std::map<Key, HealthReport> reports;
  for (const auto& [key, watch] : impl_->watches()) reports[key] = watch->report;
  return reports;
}

bool HealthMonitor::all_known() const {
  return std::all_of(impl_->watches().begin(), impl_->watches().end(), [](const auto& entry) {
    return entry.second->report.health != Health::kUnknown;
  });
}

}  // namespace penstock
