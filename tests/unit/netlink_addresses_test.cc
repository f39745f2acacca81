// SPDX-License-Identifier: Apache-2.0
// Addresses on the loopback of a namespace, and announcements as they arrive at the other end of a
// veth pair.
#include "controlplane/netlink/addresses.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "tests/unit/netlink_world.h"

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bytes = std::vector<uint8_t>;

class Addresses : public NetlinkWorld {
 protected:
  // What the peer receives of one ethertype, beginning before `cause` runs.
  template <typename Cause>
  std::vector<Bytes> received(uint16_t ethertype, size_t count, Cause cause) {
    int tap = -1;
    in_peer([&] {
      tap = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ethertype));
      sockaddr_ll at{};
      at.sll_family = AF_PACKET;
      at.sll_protocol = htons(ethertype);
      at.sll_ifindex = static_cast<int>(if_nametoindex("ps1"));
      ASSERT_EQ(bind(tap, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
      const timeval limit{10, 0};
      ASSERT_EQ(setsockopt(tap, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    });
    cause();
    std::vector<Bytes> frames;
    std::array<uint8_t, 2048> buffer;
    while (frames.size() < count) {
      const ssize_t size = recv(tap, buffer.data(), buffer.size(), 0);
      if (size < 0) break;
      if (is_the_kernels_own(buffer.data(), static_cast<size_t>(size))) continue;
      frames.emplace_back(buffer.begin(), buffer.begin() + size);
    }
    close(tap);
    return frames;
  }

 private:
  // A fresh interface reports its multicast groups and solicits routers on its own.
  static bool is_the_kernels_own(const uint8_t* frame, size_t size) {
    constexpr size_t kIcmpType = 14 + 40;
    const bool ipv6 = frame[12] == 0x86 && frame[13] == 0xdd;
    return ipv6 && (size <= kIcmpType || frame[20] != IPPROTO_ICMPV6 || frame[kIcmpType] != 136);
  }
};

TEST_F(Addresses, OfAnInterfaceAreTheGlobalOnes) {
  const auto addresses = interface_addresses("ps0");
  ASSERT_TRUE(addresses) << addresses.error().message;
  EXPECT_THAT(*addresses, ElementsAre(ip("192.0.2.254"), ip("2001:db8::fe")));
}

TEST_F(Addresses, OfAMissingInterfaceNameThoseThatThereAre) {
  const auto addresses = interface_addresses("eth9");
  ASSERT_FALSE(addresses);
  EXPECT_EQ(addresses.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(addresses.error().message, "there is no interface eth9: choose one of lo, ps0");
}

TEST_F(Addresses, GoOnTheLoopbackOnce) {
  for (const IpAddress& vip : {ip("203.0.113.10"), ip("2001:db8:113::10")}) {
    EXPECT_EQ(add_address("lo", vip).value(), true);
    EXPECT_EQ(add_address("lo", vip).value(), false);
  }
  run("ip -oneline address show dev lo | grep -q 203.0.113.10/32");
  // Duplicate address detection would keep the address from being used at first.
  run("ip -oneline address show dev lo | grep 2001:db8:113::10/128 | grep -vq tentative");
}

// A datagram to a port where nobody listens: whoever owns the address says so.
bool is_refused_by(const IpAddress& address) {
  sockaddr_storage to{};
  socklen_t size = sizeof(sockaddr_in6);
  if (address.is_ipv4()) {
    auto& ipv4 = reinterpret_cast<sockaddr_in&>(to);
    ipv4 = {AF_INET, htons(9), {}, {}};
    std::memcpy(&ipv4.sin_addr, address.bytes.data(), sizeof ipv4.sin_addr);
    size = sizeof ipv4;
  } else {
    auto& ipv6 = reinterpret_cast<sockaddr_in6&>(to);
    ipv6 = {AF_INET6, htons(9), 0, {}, 0};
    std::memcpy(&ipv6.sin6_addr, address.bytes.data(), sizeof ipv6.sin6_addr);
  }
  const int datagrams = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const timeval limit{10, 0};
  setsockopt(datagrams, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  char byte = 0;
  const bool refused = connect(datagrams, reinterpret_cast<const sockaddr*>(&to), size) == 0 &&
                       send(datagrams, &byte, 1, 0) == 1 && recv(datagrams, &byte, 1, 0) < 0 &&
                       errno == ECONNREFUSED;
  close(datagrams);
  return refused;
}

TEST_F(Addresses, AnswerTheSegment) {
  ASSERT_TRUE(add_address("lo", ip("203.0.113.10")));
  ASSERT_TRUE(add_address("ps0", ip("2001:db8:113::10")));
  for (const IpAddress& vip : {ip("203.0.113.10"), ip("2001:db8:113::10")}) {
    in_peer([&] {
      run("ip route add " + to_string(vip) + " dev ps1");
      EXPECT_TRUE(is_refused_by(vip)) << to_string(vip);
    });
  }
}

TEST_F(Addresses, LeaveAndMayBeGoneAlready) {
  for (const char* interface : {"lo", "ps0", "gone0"}) {
    for (const IpAddress& vip : {ip("203.0.113.10"), ip("2001:db8:113::10")}) {
      EXPECT_EQ(add_address(interface, vip).has_value(), interface != std::string("gone0"));
      EXPECT_TRUE(remove_address(interface, vip));
      EXPECT_TRUE(remove_address(interface, vip));
    }
  }
  run("! ip -oneline address show | grep -e 203.0.113.10 -e 2001:db8:113::10");
}

// Probes and the pool of source addresses keep to the appliance's own.
TEST_F(Addresses, OfVipsAreNotTheInterfacesOwn) {
  ASSERT_TRUE(add_address("ps0", ip("2001:db8:113::10")));
  EXPECT_THAT(interface_addresses("ps0").value(),
              ElementsAre(ip("192.0.2.254"), ip("2001:db8::fe")));
  run("ip route add 2001:db8:113::/64 via 2001:db8::1");
  run("ip -6 route get 2001:db8:113::11 | grep -q 'src 2001:db8::fe'");
}

TEST_F(Addresses, AreAnnouncedByArpRequestAndReply) {
  const auto frames = received(ETH_P_ARP, 2, [] {
    const auto announced = announce_address("ps0", ip("203.0.113.10"));
    EXPECT_TRUE(announced) << announced.error().message;
  });
  // clang-format off
  const auto frame = [](uint8_t operation) {
    return Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0xfe, 8, 6,  // to everybody
                 0, 1, 8, 0, 6, 4, 0, operation,                               // Ethernet, IPv4
                 2, 0, 0, 0, 0, 0xfe, 203, 0, 113, 10,                         // sender
                 0, 0, 0, 0, 0, 0, 203, 0, 113, 10};                           // target
  };
  // clang-format on
  EXPECT_THAT(frames, ElementsAre(frame(1), frame(2)));
}

TEST_F(Addresses, AreAnnouncedByNeighbourAdvertisement) {
  const auto frames = received(ETH_P_IPV6, 1, [] {
    const auto announced = announce_address("ps0", ip("2001:db8:113::10"));
    EXPECT_TRUE(announced) << announced.error().message;
  });
  // clang-format off
  const Bytes expected{
      0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xfe, 0x86, 0xdd,                   // to all nodes
      0x60, 0, 0, 0, 0, 32, 58, 255,                                             // hop limit 255
      0x20, 0x01, 0x0d, 0xb8, 0x01, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,       // from the VIP
      0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,                      // to ff02::1
      136, 0, 0xf5, 0xe9, 0x20, 0, 0, 0,                                         // override
      0x20, 0x01, 0x0d, 0xb8, 0x01, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,       // target
      2, 1, 2, 0, 0, 0, 0, 0xfe};                                                // is at this MAC
  // clang-format on
  EXPECT_THAT(frames, ElementsAre(expected));
}

TEST_F(Addresses, CannotBeAnnouncedOnALinkThatIsDown) {
  run("ip link set ps0 down");
  const auto announced = announce_address("ps0", ip("203.0.113.10"));
  ASSERT_FALSE(announced);
  EXPECT_THAT(announced.error().message, HasSubstr("cannot announce 203.0.113.10 on ps0: "));
}

}  // namespace
}  // namespace penstock
