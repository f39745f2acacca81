// SPDX-License-Identifier: Apache-2.0
// A coroutine a target. Its state is shared between the monitor, which reports from it, and the
// coroutine, which may outlive the monitor's interest in it by one turn of the loop: stopping
// cancels what it waits for.
#include "controlplane/health/monitor.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
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
  Watch(const HealthTarget& what, const HealthReport& known)
      : target(what), damper(what.check.rise, what.check.fall, known.health), report(known) {}

  const HealthTarget target;
  Damper damper;
  HealthReport report;
  asio::cancellation_signal cancel;
  bool stopped = false;
};

std::mt19937& random_engine() {
  static std::mt19937 engine{std::random_device{}()};
  return engine;
}

// From 90 to 100 % of the interval: jitter only shortens it, so that a failure is found in time.
steady_clock::duration jittered(milliseconds interval) {
  std::uniform_int_distribution<int64_t> ms(interval.count() * 9 / 10, interval.count());
  return milliseconds(std::max<int64_t>(1, ms(random_engine())));
}

// The first probes of a start are spread over a tenth of a second.
steady_clock::duration first_delay(milliseconds interval) {
  std::uniform_int_distribution<int64_t> ms(0, std::min<int64_t>(100, interval.count()));
  return milliseconds(ms(random_engine()));
}

// Intervals count from the start of a probe, so a slow answer does not put off the next.
asio::awaitable<void> run(std::shared_ptr<Watch> watch,
                          std::shared_ptr<const std::function<void()>> on_change) {
  const HealthTarget& target = watch->target;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(first_delay(target.check.interval));
  while (true) {
    co_await timer.async_wait(asio::use_awaitable);
    timer.expires_after(jittered(target.check.interval));
    const ProbeResult result = co_await probe(target.endpoint, target.check);
    if (watch->stopped) co_return;
    watch->report.detail = result.detail;
    if (result.outcome == ProbeOutcome::kNotTried) continue;
    if (!watch->damper.observe(result.outcome == ProbeOutcome::kSuccess)) continue;
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
    for (const auto& [key, watch] : watches_) stop(watch);
  }

  void set_targets(const std::vector<HealthTarget>& targets) {
    std::map<Key, std::shared_ptr<Watch>> before;
    before.swap(watches_);
    for (const HealthTarget& target : targets) {
      const Key key{target.service, target.backend};
      const auto known = before.find(key);
      if (known != before.end() && known->second->target == target) {
        watches_.insert(before.extract(known));
        continue;
      }
      // Another instance under the same name starts from nothing.
      const bool same_instance =
          known != before.end() && known->second->target.endpoint == target.endpoint;
      start(key, target, same_instance ? known->second->report : HealthReport{});
    }
    for (const auto& [key, watch] : before) stop(watch);
  }

  const std::map<Key, std::shared_ptr<Watch>>& watches() const { return watches_; }

 private:
  void start(const Key& key, const HealthTarget& target, HealthReport known) {
    const bool unchecked = target.check.type == HealthCheckType::kNone;
    if (known.health == Health::kUnknown || (unchecked && known.health != Health::kUp)) {
      known.since = system_clock::now();
    }
    if (unchecked) {
      known.health = Health::kUp;
      known.detail = "not checked";
    }
    const auto watch = std::make_shared<Watch>(target, known);
    watches_[key] = watch;
    if (unchecked) return;
    // The handler keeps the signal alive as long as the coroutine may look at its slot.
    auto done = [watch](const std::exception_ptr& error) {
      if (error && !watch->stopped) std::rethrow_exception(error);
    };
    asio::co_spawn(context_, run(watch, on_change_),
                   asio::bind_cancellation_slot(watch->cancel.slot(), std::move(done)));
  }

  // The signal is given from within the loop, where asio passes it on at once: from outside it
  // would keep a bare pointer for later, by when the coroutine may be gone.
  void stop(const std::shared_ptr<Watch>& watch) {
    watch->stopped = true;
    asio::post(context_, [watch] { watch->cancel.emit(asio::cancellation_type::terminal); });
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
