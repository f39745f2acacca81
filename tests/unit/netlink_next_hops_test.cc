// SPDX-License-Identifier: Apache-2.0
// The resolver against a real kernel's routes and neighbours. Limits are how long a test waits
// before it gives up.
#include "controlplane/netlink/next_hops.h"

#include <net/if.h>

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <thread>

#include "controlplane/netlink/addresses.h"
#include "tests/unit/netlink_world.h"

namespace penstock {
namespace {

using namespace std::chrono_literals;

constexpr MacAddress kOwnMac{{2, 0, 0, 0, 0, 0xfe}};
constexpr MacAddress kPeerMac{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress kOtherMac{{2, 0, 0, 0, 0, 2}};

class NextHops : public NetlinkWorld {
 protected:
  void SetUp() override {
    NetlinkWorld::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    open_for({"ps0"});
  }

  void TearDown() override {
    resolver_.reset();
    NetlinkWorld::TearDown();
  }

  void open_for(const std::vector<std::string>& interfaces) {
    auto opened = NextHopResolver::open(context_, interfaces, [this] { changes_++; });
    ASSERT_TRUE(opened) << opened.error().message;
    resolver_ = std::move(*opened);
  }

  template <typename Condition>
  bool wait_for(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + 60s;
    while (!condition() && std::chrono::steady_clock::now() < limit) context_.run_one_for(100ms);
    return condition();
  }

  bool reaches(const IpAddress& target, const MacAddress& mac) {
    return wait_for([&] {
      const auto hops = resolver_->next_hops();
      const auto hop = hops.find(target);
      return hop != hops.end() && hop->second == NextHop{if_nametoindex("ps0"), kOwnMac, mac, 1500};
    });
  }

  // The reason that the target is unresolved for, or what is known of it instead.
  std::string reason(const IpAddress& target) {
    wait_for([&] { return resolver_->unresolved().contains(target); });
    const auto reasons = resolver_->unresolved();
    return reasons.contains(target) ? reasons.at(target) : "it is resolved";
  }

  boost::asio::io_context context_;
  std::unique_ptr<NextHopResolver> resolver_;
  int changes_ = 0;
};

TEST_F(NextHops, ResolveABackendOnTheLink) {
  resolver_->set_targets({ip("192.0.2.1"), ip("2001:db8::1")});
  EXPECT_TRUE(reaches(ip("192.0.2.1"), kPeerMac)) << reason(ip("192.0.2.1"));
  EXPECT_TRUE(reaches(ip("2001:db8::1"), kPeerMac)) << reason(ip("2001:db8::1"));
  EXPECT_TRUE(resolver_->unresolved().empty());
}

TEST_F(NextHops, ResolveABackendBehindAGateway) {
  run("ip route add 198.51.100.0/24 via 192.0.2.1 && "
      "ip route add 2001:db8:51::/64 via 2001:db8::1");
  resolver_->set_targets({ip("198.51.100.7"), ip("2001:db8:51::7")});
  EXPECT_TRUE(reaches(ip("198.51.100.7"), kPeerMac)) << reason(ip("198.51.100.7"));
  EXPECT_TRUE(reaches(ip("2001:db8:51::7"), kPeerMac)) << reason(ip("2001:db8:51::7"));
}

// What else the kernel knows of routes is not in the way of it.
TEST_F(NextHops, FindTheGatewaysOfDefaultRoutesWhenAsked) {
  run("ip route add default via 192.0.2.1 metric 7 && ip route add 0.0.0.0/1 via 192.0.2.77 && "
      "ip route add default via 192.0.2.66 metric 9 && "
      "ip route add default via 192.0.2.55 table 99 && "
      "ip -6 route add default via 2001:db8::1");
  EXPECT_TRUE(resolver_->gateways().empty());
  resolver_->follow_gateways(true);
  const Gateway gateway{if_nametoindex("ps0"), kPeerMac};
  const std::map<Family, Gateway> both{{Family::kIpv4, gateway}, {Family::kIpv6, gateway}};
  EXPECT_TRUE(wait_for([&] { return resolver_->gateways() == both; }));
  const std::map<Family, Gateway> one{{Family::kIpv6, gateway}};
  run("ip route del default via 192.0.2.1 metric 7");  // nobody is at the next one
  EXPECT_TRUE(wait_for([&] { return resolver_->gateways() == one; }));
  run("ip route add default via 192.0.2.1 metric 1");
  EXPECT_TRUE(wait_for([&] { return resolver_->gateways() == both; }));
  resolver_->follow_gateways(false);
  EXPECT_TRUE(resolver_->gateways().empty());
}

TEST_F(NextHops, ResolveAnIpv4BackendBehindAnIpv6Gateway) {
  run("ip route add 198.51.100.0/24 via inet6 2001:db8::1 dev ps0");
  resolver_->set_targets({ip("198.51.100.7")});
  EXPECT_TRUE(reaches(ip("198.51.100.7"), kPeerMac)) << reason(ip("198.51.100.7"));
}

TEST_F(NextHops, FollowAnAnnouncedMac) {
  resolver_->set_targets({ip("192.0.2.1"), ip("2001:db8::1")});
  ASSERT_TRUE(reaches(ip("192.0.2.1"), kPeerMac));
  ASSERT_TRUE(reaches(ip("2001:db8::1"), kPeerMac));
  in_peer([] {
    run("ip link set ps1 address 02:00:00:00:00:02");
    EXPECT_TRUE(announce_address("ps1", ip("192.0.2.1")));
    EXPECT_TRUE(announce_address("ps1", ip("2001:db8::1")));
  });
  EXPECT_TRUE(reaches(ip("192.0.2.1"), kOtherMac));
  EXPECT_TRUE(reaches(ip("2001:db8::1"), kOtherMac));
}

TEST_F(NextHops, NoticeAMacThatChangedInSilence) {
  for (const char* family : {"ipv4", "ipv6"}) {
    const std::string neighbour = std::string("/proc/sys/net/") + family + "/neigh/ps0/";
    write_file(neighbour + "base_reachable_time_ms", "200");
    write_file(neighbour + "delay_first_probe_time", "1");
    write_file(neighbour + "retrans_time_ms", "100");
  }
  resolver_->set_targets({ip("192.0.2.1"), ip("2001:db8::1")});
  ASSERT_TRUE(reaches(ip("192.0.2.1"), kPeerMac));
  ASSERT_TRUE(reaches(ip("2001:db8::1"), kPeerMac));
  in_peer([] { run("ip link set ps1 address 02:00:00:00:00:02"); });
  EXPECT_TRUE(reaches(ip("192.0.2.1"), kOtherMac));
  EXPECT_TRUE(reaches(ip("2001:db8::1"), kOtherMac));
}

TEST_F(NextHops, FollowTheOwnMac) {
  resolver_->set_targets({ip("192.0.2.1")});
  ASSERT_TRUE(reaches(ip("192.0.2.1"), kPeerMac));
  run("ip link set ps0 address 02:00:00:00:00:aa");
  EXPECT_TRUE(wait_for([&] {
    const auto hops = resolver_->next_hops();
    return hops.contains(ip("192.0.2.1")) &&
           hops.at(ip("192.0.2.1")).source == MacAddress{{2, 0, 0, 0, 0, 0xaa}};
  }));
}

TEST_F(NextHops, LeaveAFixedNeighbourAsItIs) {
  run("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev ps0");
  resolver_->set_targets({ip("192.0.2.2"), ip("192.0.2.1")});
  ASSERT_TRUE(reaches(ip("192.0.2.2"), kOtherMac));
  ASSERT_TRUE(reaches(ip("192.0.2.1"), kPeerMac));
  run("ip neigh show 192.0.2.2 | grep -q PERMANENT");
}

TEST_F(NextHops, FollowAChangedRoute) {
  run("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev ps0 && "
      "ip route add 198.51.100.0/24 via 192.0.2.1");
  resolver_->set_targets({ip("198.51.100.7")});
  ASSERT_TRUE(reaches(ip("198.51.100.7"), kPeerMac));
  run("ip route replace 198.51.100.0/24 via 192.0.2.2");
  EXPECT_TRUE(reaches(ip("198.51.100.7"), kOtherMac));
  run("ip route delete 198.51.100.0/24");
  EXPECT_EQ(reason(ip("198.51.100.7")), "no route");
}

TEST_F(NextHops, FollowAChangedRule) {
  run("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev ps0 && "
      "ip route add 198.51.100.0/24 via 192.0.2.1 && "
      "ip route add 198.51.100.0/24 via 192.0.2.2 table 100");
  resolver_->set_targets({ip("198.51.100.7")});
  ASSERT_TRUE(reaches(ip("198.51.100.7"), kPeerMac));
  run("ip rule add to 198.51.100.0/24 lookup 100");
  EXPECT_TRUE(reaches(ip("198.51.100.7"), kOtherMac));
}

TEST_F(NextHops, AreLostWhileTheLinkIsDown) {
  resolver_->set_targets({ip("192.0.2.1")});
  ASSERT_TRUE(reaches(ip("192.0.2.1"), kPeerMac));
  in_peer([] { run("ip link set ps1 down"); });
  EXPECT_EQ(reason(ip("192.0.2.1")), "ps0 is down");
  in_peer([] { run("ip link set ps1 up"); });
  EXPECT_TRUE(reaches(ip("192.0.2.1"), kPeerMac)) << reason(ip("192.0.2.1"));
}

TEST_F(NextHops, FindABackendThatComesLate) {
  resolver_->set_targets({ip("192.0.2.9")});
  EXPECT_EQ(reason(ip("192.0.2.9")), "192.0.2.9 does not answer ARP on ps0");
  in_peer([] { run("ip address add 192.0.2.9/24 dev ps1"); });
  EXPECT_TRUE(reaches(ip("192.0.2.9"), kPeerMac));
}

TEST_F(NextHops, SayWhyABackendIsUnresolved) {
  run("ip link add other type veth peer name other1 && ip link set other up && "
      "ip link set other1 up && ip address add 198.51.100.1/24 dev other && "
      "ip route add blackhole 203.0.113.0/24");
  resolver_->set_targets({ip("192.0.2.77"), ip("2001:db8::77"), ip("192.0.2.254"),
                          ip("198.51.100.7"), ip("203.0.113.7"), ip("2001:db8:1::1")});
  EXPECT_EQ(reason(ip("192.0.2.77")), "192.0.2.77 does not answer ARP on ps0");
  EXPECT_EQ(reason(ip("2001:db8::77")), "2001:db8::77 does not answer neighbour discovery on ps0");
  EXPECT_EQ(reason(ip("192.0.2.254")), "it is an address of this machine");
  EXPECT_EQ(reason(ip("198.51.100.7")),
            "its route leaves by other, which is not among dataplane.interfaces");
  EXPECT_EQ(reason(ip("203.0.113.7")), "no route");
  EXPECT_EQ(reason(ip("2001:db8:1::1")), "no route");
  EXPECT_TRUE(resolver_->next_hops().empty());
}

TEST_F(NextHops, TellOfAChangeOnce) {
  run("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev ps0");
  resolver_->set_targets({ip("192.0.2.2")});
  EXPECT_EQ(resolver_->next_hops().at(ip("192.0.2.2")).destination, kOtherMac);
  EXPECT_EQ(changes_, 0) << "told from within set_targets";
  ASSERT_TRUE(wait_for([&] { return changes_ > 0; }));
  resolver_->set_targets({ip("192.0.2.2"), ip("192.0.2.2")});
  run("ip neigh add 192.0.2.3 lladdr 02:00:00:00:00:03 dev ps0 && "
      "ip route add 198.51.100.0/24 via 192.0.2.1");
  context_.run_for(500ms);
  EXPECT_EQ(changes_, 1);
  resolver_->set_targets({});
  EXPECT_TRUE(resolver_->next_hops().empty());
  EXPECT_TRUE(wait_for([&] { return changes_ == 2; }));
}

// Many more events than the socket holds: the kernel drops what does not fit and says so.
TEST_F(NextHops, SurviveLostNotifications) {
  run("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev ps0 && "
      "ip route add 198.51.100.0/24 via 192.0.2.1");
  resolver_->set_targets({ip("198.51.100.7")});
  ASSERT_TRUE(reaches(ip("198.51.100.7"), kPeerMac));
  context_.run_for(300ms);
  run("for i in $(seq 0 9); do for j in $(seq 1 250); do "
      "echo \"neigh add 10.9.$i.$j lladdr 02:00:00:00:00:03 dev ps0\"; done; done | ip -batch -");
  run("ip route replace 198.51.100.0/24 via 192.0.2.2");
  EXPECT_TRUE(reaches(ip("198.51.100.7"), kOtherMac));
}

TEST_F(NextHops, LeaveQuietlyWithHandlersQueued) {
  resolver_->set_targets({ip("192.0.2.1")});
  run("ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev ps0");
  bool left = false;
  boost::asio::steady_timer later(context_, 200ms);
  later.async_wait([&](const auto&) {
    resolver_.reset();
    left = true;
  });
  std::this_thread::sleep_for(300ms);  // now the resolver's own handlers are due as well
  context_.run_for(500ms);
  EXPECT_TRUE(left);
}

}  // namespace
}  // namespace penstock
