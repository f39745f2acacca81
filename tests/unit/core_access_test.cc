// SPDX-License-Identifier: Apache-2.0
// Who is let in, and how many flows are, seen by packets.
#include <gtest/gtest.h>

#include "core_world.h"
#include "dataplane/tables/reader.h"

namespace penstock {
namespace {

constexpr uint32_t kIsn = CoreWorld::kHandshakeIsn;
constexpr uint32_t kTicksOfTwoSeconds = 8;

class Access : public ::testing::TestWithParam<Family> {
 protected:
  Endpoint client(uint32_t number = 1) const { return CoreWorld::client(GetParam(), number); }
  ServiceEntry& service(Protocol protocol = Protocol::kTcp) {
    return world_.state.services.at(CoreWorld::service_id(GetParam(), protocol));
  }
  void deny(const Endpoint& client) {
    const uint8_t whole = client.address.is_ipv4() ? 32 : 128;
    service().access.deny = {{client.address, whole}};
    world_.publish();
  }
  void limit(const NewFlowLimit& limit, Protocol protocol = Protocol::kTcp) {
    service(protocol).new_flows = limit;
    world_.publish();
  }
  uint8_t whole() const { return GetParam() == Family::kIpv4 ? 32 : 128; }
  ps_reason opens(uint32_t number) const {
    return world_.from_client(client(number), kSyn).verdict.reason;
  }
  // How many of so many SYNs of one client, each from another port, are let in.
  int opened(int tries) {
    int count = 0;
    for (int i = 0; i < tries; i++) {
      Endpoint from = client();
      from.port = next_port_++;
      count += world_.from_client(from, kSyn).verdict.reason == PS_REASON_NONE;
    }
    return count;
  }

  CoreWorld world_;
  uint16_t next_port_ = 1024;
};

INSTANTIATE_TEST_SUITE_P(Families, Access, ::testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& parameter) {
                           return std::string(to_string(parameter.param));
                         });

TEST_P(Access, OfADeniedClientIsRefusedAndCounted) {
  deny(client(1));
  EXPECT_EQ(opens(1), PS_REASON_access_denied);
  EXPECT_EQ(world_.from_client(client(1), kSyn).verdict.action, PS_DROP);
  EXPECT_EQ(opens(2), PS_REASON_NONE);
  auto dropped = read_counters(world_.tables()).dropped;
  EXPECT_EQ(dropped[CoreWorld::service_id(GetParam())]["access_denied"], 2u);
}

TEST_P(Access, IsTakenFromAnOpenConnectionWithinTwoSeconds) {
  world_.establish(client());
  world_.from_client(client(), kAck, kIsn + 1);
  deny(client());
  EXPECT_EQ(world_.from_client(client(), kAck, kIsn + 1).verdict.reason, PS_REASON_NONE);
  EXPECT_EQ(world_.from_client(client(), kFin | kAck, kIsn + 1).verdict.reason,
            PS_REASON_access_denied);
  world_.wait_ticks(kTicksOfTwoSeconds);
  EXPECT_EQ(world_.from_client(client(), kAck, kIsn + 1).verdict.reason, PS_REASON_access_denied);
}

TEST_P(Access, IsAskedOfEachPacketWithoutFlows) {
  service().mode = Mode::kDsr;
  service().has_flows = false;
  service().access.allow = {{client(1).address, whole()}};
  world_.publish();
  EXPECT_NE(world_.from_client(client(1), kAck).verdict.reason, PS_REASON_access_denied);
  EXPECT_EQ(world_.from_client(client(2), kAck).verdict.reason, PS_REASON_access_denied);
}

TEST_P(Access, IsExplained) {
  deny(client(1));
  const auto explain = [&](uint32_t number) {
    return explain_client(world_.tables(), CoreWorld::service_id(GetParam()), client(number),
                          world_.now_ticks);
  };
  EXPECT_TRUE(explain(1).is_denied);
  EXPECT_FALSE(explain(2).is_denied);
}

TEST_P(Access, OfNewFlowsIsCountedOnceAFlow) {
  limit({1, 1, whole()});
  EXPECT_EQ(opens(1), PS_REASON_NONE);
  EXPECT_EQ(opens(1), PS_REASON_NONE);  // its SYN comes again
  EXPECT_EQ(opened(1), 0);
  EXPECT_EQ(opens(2), PS_REASON_NONE);                                  // another client
  EXPECT_EQ(world_.datagram(client()).verdict.reason, PS_REASON_NONE);  // another service
  auto dropped = read_counters(world_.tables()).dropped;
  EXPECT_EQ(dropped[CoreWorld::service_id(GetParam())]["new_flow_limit"], 1u);
}

TEST_P(Access, OfNewFlowsIsThePrefixesTogether) {
  limit({1, 2, static_cast<uint8_t>(whole() - 8)});
  EXPECT_EQ(opens(1), PS_REASON_NONE);
  EXPECT_EQ(opens(2), PS_REASON_NONE);
  EXPECT_EQ(opens(3), PS_REASON_new_flow_limit);
  EXPECT_EQ(opens(300), PS_REASON_NONE);
}

TEST_P(Access, OfNewFlowsCountsAnOldFlowThatIsOpenedAgain) {
  limit({1, 2, whole()});
  world_.establish(client());
  world_.from_client(client(), kRst | kAck, kIsn + 1);
  EXPECT_EQ(opens(1), PS_REASON_NONE);
  EXPECT_EQ(opened(1), 0);
}

TEST_P(Access, OfNewFlowsAsksDatagramsThatHaveNoFlow) {
  limit({1, 1, whole()}, Protocol::kUdp);
  EXPECT_EQ(world_.datagram(client()).verdict.reason, PS_REASON_NONE);
  const Sent again = world_.datagram(client());
  EXPECT_EQ(again.verdict.reason, PS_REASON_NONE);
  Endpoint other = client();
  other.port++;
  EXPECT_EQ(world_.datagram(other).verdict.reason, PS_REASON_new_flow_limit);
  // One that leaves a backend that is down begins anew.
  const ServiceId id = CoreWorld::service_id(GetParam(), Protocol::kUdp);
  std::vector<BackendId> others;
  for (uint32_t n = 0; n < 4; n++) {
    BackendEntry& backend = world_.state.backends.at(backend_id(id, n));
    backend.down = backend.endpoint == again.packet.destination;
    if (!backend.down) others.push_back(backend_id(id, n));
  }
  world_.publish(id, others);
  EXPECT_EQ(world_.datagram(client()).verdict.reason, PS_REASON_new_flow_limit);
}

TEST_P(Access, OfNewFlowsCountsSynsWithoutFlows) {
  service().mode = Mode::kDsr;
  service().has_flows = false;
  limit({1, 1, whole()});
  EXPECT_NE(opens(1), PS_REASON_new_flow_limit);
  EXPECT_EQ(opens(1), PS_REASON_new_flow_limit);
  EXPECT_NE(world_.from_client(client(), kAck).verdict.reason, PS_REASON_new_flow_limit);
}

// The bucket by itself: what it lets through in so many ticks, asked more often than it gives.
class Bucket : public ::testing::Test {
 protected:
  void make(uint32_t per_second, uint32_t burst) {
    world_.state.services.at(1).new_flows = {per_second, burst, 32};
    world_.publish();
  }
  bool take(uint32_t now_ticks) const {
    const uint32_t generation = world_.tables().control->generation & 1;
    ps_address client{};
    client.word[0].raw = 7;
    return ps_take_new_flow(&world_.tables(), ps_settings_at(&world_.tables(), generation),
                            ps_service_at(&world_.tables(), generation, 1), &client,
                            now_ticks) == PS_REASON_NONE;
  }
  uint32_t take_all(uint32_t now_ticks) const {
    uint32_t taken = 0;
    while (take(now_ticks)) taken++;
    return taken;
  }

  CoreWorld world_;
};

TEST_F(Bucket, HoldsItsBurstAndFillsAtItsRate) {
  constexpr double kTick = (1 << PS_TICK_SHIFT) / 1e9;
  for (const uint32_t rate : {1u, 3u, 10u, 999u, 99'999u, 100'000u}) {
    SCOPED_TRACE(rate);
    make(rate, 2 * rate);
    const uint32_t begin = world_.now_ticks += 100'000;
    EXPECT_EQ(take_all(begin), 2 * rate);
    EXPECT_EQ(take_all(begin), 0u);
    uint32_t taken = 0;
    for (uint32_t tick = 1; tick <= 400; tick++) taken += take_all(begin + tick);
    EXPECT_NEAR(taken, 400 * kTick * rate, 1 + 0.001 * 400 * kTick * rate);
  }
}

TEST_F(Bucket, IsFullWhenItIsNotKnownOrOld) {
  make(1, 500'000);
  EXPECT_EQ(take_all(5), 500'000u);
  EXPECT_EQ(take_all(5 + 4), 1u);
  EXPECT_EQ(take_all(5 + 1004), 268u);           // 269.5 s of which one has been used
  EXPECT_EQ(take_all(5 + 4'000'000), 500'000u);  // 12 days
}

TEST_F(Bucket, GoesOnWhereItsTimeWraps) {
  constexpr uint32_t kWrap = 1u << (PS_RECENT_TIME_SHIFT - PS_LIMIT_SHIFT);
  make(10, 20);
  EXPECT_EQ(take_all(kWrap - 1), 20u);
  EXPECT_EQ(take_all(kWrap - 1), 0u);
  EXPECT_EQ(take_all(kWrap), 2u);
  EXPECT_EQ(take_all(kWrap + 3), 8u);
}

TEST_F(Bucket, ThatIsMadeSmallerIsFullOnce) {
  make(10, 500);
  EXPECT_EQ(take_all(7), 500u);
  make(10, 20);
  EXPECT_EQ(take_all(7), 20u);
  EXPECT_EQ(take_all(7), 0u);
}

}  // namespace
}  // namespace penstock
