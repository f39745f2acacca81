// SPDX-License-Identifier: Apache-2.0
// The monitor over real servers on loopback. Times are limits to wait for, never to judge by.
#include "controlplane/health/monitor.h"

#include <gtest/gtest.h>

#include "tests/unit/health_backend.h"

namespace penstock {
namespace {

using namespace std::chrono_literals;

constexpr const char* kGood = "HTTP/1.1 200 OK\r\n\r\n";
constexpr const char* kBad = "HTTP/1.1 503 Busy\r\n\r\n";

HealthTarget target(const HealthBackend& backend, milliseconds interval = 20ms) {
  HealthTarget target{"web", "one", backend.endpoint(), {}};
  target.check.type = HealthCheckType::kHttp;
  target.check.interval = interval;
  target.check.timeout = 60s;
  return target;
}

class Monitor : public ::testing::Test {
 protected:
  void SetUp() override {
    monitor_ = std::make_unique<HealthMonitor>(context_, [this] { changes_++; });
  }

  template <typename Condition>
  bool wait_for(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + 60s;
    while (!condition() && std::chrono::steady_clock::now() < limit) context_.run_one_for(100ms);
    return condition();
  }

  HealthReport report() const { return monitor_->reports().at({"web", "one"}); }

  bool becomes(Health health) {
    return wait_for([&] { return report().health == health; });
  }

  boost::asio::io_context context_;
  std::unique_ptr<HealthMonitor> monitor_;
  int changes_ = 0;
};

TEST_F(Monitor, ProbesAtOnceHoweverLongTheInterval) {
  HealthBackend backend(context_, answering(kGood));
  monitor_->set_targets({target(backend, 1h)});
  EXPECT_EQ(report().health, Health::kUnknown);
  EXPECT_FALSE(monitor_->all_known());
  EXPECT_TRUE(becomes(Health::kUp));
  EXPECT_TRUE(monitor_->all_known());
  EXPECT_EQ(report().detail.substr(0, 8), "HTTP 200");
  EXPECT_EQ(changes_, 1);
}

TEST_F(Monitor, FollowsABackendDownAndUp) {
  HealthBackend backend(context_, answering(kGood));
  monitor_->set_targets({target(backend)});
  ASSERT_TRUE(becomes(Health::kUp));
  const auto since = report().since;
  backend.become(answering(kBad));
  EXPECT_TRUE(becomes(Health::kDown));
  EXPECT_EQ(report().detail.substr(0, 8), "HTTP 503");
  EXPECT_GT(report().since, since);
  backend.become(answering(kGood));
  EXPECT_TRUE(becomes(Health::kUp));
  EXPECT_EQ(changes_, 3);
}

TEST_F(Monitor, WaitsForFallFailures) {
  HealthBackend backend(context_, answering(kGood));
  auto patient = target(backend);
  patient.check.fall = 5;
  monitor_->set_targets({patient});
  ASSERT_TRUE(becomes(Health::kUp));
  const int before = backend.connections();
  backend.become(answering(kBad));
  EXPECT_TRUE(becomes(Health::kDown));
  EXPECT_GE(backend.connections() - before, 5);
}

TEST_F(Monitor, CallsABackendUpThatIsNotChecked) {
  HealthBackend backend(context_, answering(kBad));
  auto unchecked = target(backend);
  unchecked.check.type = HealthCheckType::kNone;
  monitor_->set_targets({unchecked});
  EXPECT_EQ(report().health, Health::kUp);
  EXPECT_EQ(report().detail, "not checked");
  EXPECT_TRUE(monitor_->all_known());
  context_.run_for(300ms);
  EXPECT_EQ(backend.connections(), 0);
}

TEST_F(Monitor, KeepsWhatIsTheSame) {
  HealthBackend backend(context_, answering(kGood));
  const auto same = target(backend, 1h);
  monitor_->set_targets({same});
  ASSERT_TRUE(becomes(Health::kUp));
  auto other = same;
  other.backend = "two";
  monitor_->set_targets({other, same});
  EXPECT_EQ(report().health, Health::kUp);
  EXPECT_TRUE(wait_for([&] { return monitor_->all_known(); }));
  EXPECT_EQ(backend.connections(), 2);
}

TEST_F(Monitor, KeepsTheHealthOverAChangedCheck) {
  HealthBackend backend(context_, answering(kGood));
  monitor_->set_targets({target(backend, 1h)});
  ASSERT_TRUE(becomes(Health::kUp));
  const auto before = report();
  backend.become(answering(kBad));
  auto changed = target(backend);
  changed.check.path = "/other";
  monitor_->set_targets({changed});
  EXPECT_EQ(report().health, Health::kUp);
  EXPECT_EQ(report().since, before.since);
  EXPECT_TRUE(monitor_->all_known());
  EXPECT_EQ(changes_, 1);
  EXPECT_TRUE(becomes(Health::kDown));
}

TEST_F(Monitor, KnowsNothingOfAnotherInstanceUnderTheSameName) {
  HealthBackend backend(context_, answering(kGood));
  monitor_->set_targets({target(backend)});
  ASSERT_TRUE(becomes(Health::kUp));
  HealthBackend other(context_, silent());
  monitor_->set_targets({target(other)});
  EXPECT_EQ(report().health, Health::kUnknown);
  EXPECT_FALSE(monitor_->all_known());
}

TEST_F(Monitor, ForgetsWhatIsGone) {
  HealthBackend backend(context_, answering(kGood));
  monitor_->set_targets({target(backend)});
  ASSERT_TRUE(becomes(Health::kUp));
  monitor_->set_targets({});
  EXPECT_TRUE(monitor_->reports().empty());
  EXPECT_TRUE(monitor_->all_known());
  const int before = backend.connections();
  context_.run_for(300ms);
  EXPECT_LE(backend.connections(), before + 1) << "one may have been under way";
}

// A listener without asio: the kernel accepts, nobody answers, and only the monitor has work to do.
class StoppedMonitor : public Monitor {
 protected:
  HealthTarget silent_target() {
    listener_.emplace(other_context_,
                      boost::asio::ip::tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    HealthTarget target{"web", "one", {}, {}};
    target.endpoint = {IpAddress::parse("127.0.0.1").value(), listener_->local_endpoint().port()};
    target.check.type = HealthCheckType::kHttp;
    target.check.interval = 1h;
    target.check.timeout = 1h;
    return target;
  }

  boost::asio::io_context other_context_;
  std::optional<boost::asio::ip::tcp::acceptor> listener_;
};

TEST_F(StoppedMonitor, LeavesNoWorkBehindInTheMiddleOfAProbe) {
  monitor_->set_targets({silent_target()});
  context_.run_for(300ms);
  monitor_.reset();
  context_.run();
  EXPECT_EQ(changes_, 0);
}

TEST_F(StoppedMonitor, LeavesNoWorkBehindBeforeItsFirstProbe) {
  monitor_->set_targets({silent_target()});
  monitor_.reset();
  context_.run();
  EXPECT_EQ(changes_, 0);
}

TEST_F(StoppedMonitor, LeavesNoWorkBehindWhenItsTargetsGo) {
  monitor_->set_targets({silent_target()});
  context_.run_for(300ms);
  monitor_->set_targets({});
  context_.run();
  EXPECT_EQ(changes_, 0);
}

TEST_F(StoppedMonitor, MayEndFromWithinItsOwnCall) {
  auto refused = silent_target();
  listener_->close();
  monitor_ = std::make_unique<HealthMonitor>(context_, [this] {
    changes_++;
    monitor_.reset();
  });
  monitor_->set_targets({refused});
  context_.run();
  EXPECT_EQ(changes_, 1);
}

TEST_F(StoppedMonitor, MayOutliveItsLoop) {
  monitor_->set_targets({silent_target()});
  context_.run_for(300ms);
  context_.stop();
}

}  // namespace
}  // namespace penstock
