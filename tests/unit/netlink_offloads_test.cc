// SPDX-License-Identifier: Apache-2.0
// What is said of an interface's offloads, by value; and what the kernel says of a veth's.
#include <gmock/gmock.h>

#include "controlplane/netlink/offload_reader.h"
#include "tests/unit/netlink_world.h"

namespace penstock {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

auto problem(const std::string& words, const std::string& command, bool certain = true) {
  return AllOf(Field("text", &OffloadProblem::text, HasSubstr(words)),
               Field("command", &OffloadProblem::command, command),
               Field("certain", &OffloadProblem::certain, certain));
}

InterfaceOffloads nic(const FeatureNames& on) {
  return {.interface = "eth0", .driver = "ixgbe", .on = on, .changeable = on};
}

InterfaceOffloads veth(const VethPeer& peer) {
  InterfaceOffloads offloads{.interface = "eth0", .driver = "veth"};
  offloads.peer = peer;
  return offloads;
}

TEST(Offloads, OfAPlainNicAreNoProblem) {
  EXPECT_THAT(offload_problems(nic({"rx-checksum", "tx-checksum-ip-generic", "rx-gro",
                                    "tx-tcp-segmentation", "rx-vlan-hw-parse"})),
              IsEmpty());
}

TEST(Offloads, ThatMergePacketsAreNamedWithTheLineThatEndsThem) {
  EXPECT_THAT(offload_problems(nic({"rx-lro", "rx-gro-hw"})),
              ElementsAre(problem("merges packets", "ethtool -K eth0 lro off"),
                          problem("merges packets", "ethtool -K eth0 rx-gro-hw off")));
}

TEST(Offloads, ThatAreFixedComeWithoutALine) {
  InterfaceOffloads offloads = nic({"rx-lro"});
  offloads.changeable.clear();
  EXPECT_THAT(offload_problems(offloads), ElementsAre(problem("does not let it", "")));
}

TEST(Offloads, ThatTakeVlanTagsOffMatterWhereVlansAre) {
  InterfaceOffloads offloads = nic({"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"});
  EXPECT_THAT(offload_problems(offloads), IsEmpty());
  offloads.has_vlans = true;
  EXPECT_THAT(offload_problems(offloads),
              ElementsAre(problem("VLAN tags", "ethtool -K eth0 rxvlan off"),
                          problem("VLAN tags", "ethtool -K eth0 rx-vlan-stag-hw-parse off")));
}

TEST(Offloads, OfVirtioAreTheDriversBusinessWhereTheHostLetsIt) {
  InterfaceOffloads offloads = nic({"rx-gro-hw", "rx-checksum"});
  offloads.driver = "virtio_net";
  EXPECT_THAT(offload_problems(offloads), IsEmpty());
  for (const VirtioFeature feature : {kVirtioGuestChecksum, kVirtioGuestTso4}) {
    offloads.virtio_features = uint64_t{1} << feature;
    EXPECT_THAT(offload_problems(offloads), ElementsAre(problem("ctrl_guest_offloads=on", "")));
    offloads.virtio_features |= uint64_t{1} << kVirtioGuestOffloadsChange;
    EXPECT_THAT(offload_problems(offloads), IsEmpty());
  }
}

TEST(Offloads, OfAVethAreThoseOfItsOtherEnd) {
  EXPECT_THAT(offload_problems(veth({"client0", "", FeatureNames{"rx-gro", "tx-vlan-hw-insert"}})),
              IsEmpty());
  EXPECT_THAT(offload_problems(veth({"client0", "", FeatureNames{"tx-checksum-ip-generic"}})),
              ElementsAre(problem("client0, its other end", "ethtool -K client0 tx off")));
  EXPECT_THAT(offload_problems(veth({"client0", "clients", FeatureNames{"tx-checksum-ipv4"}})),
              ElementsAre(problem("TCP hangs", "ip netns exec clients ethtool -K client0 tx off")));
}

TEST(Offloads, OfAnOtherEndOutOfSightAreNotCertain) {
  EXPECT_THAT(offload_problems(veth({"client0", "", std::nullopt})),
              ElementsAre(problem("cannot be read from here", "ethtool -K client0 tx off", false)));
  EXPECT_THAT(offload_problems(veth({})),
              ElementsAre(problem("cannot be read", "ethtool -K OTHER_END tx off", false)));
}

TEST(Offloads, OfAVethsOtherEndThatKeepTagsAsideMatterWhereVlansAre) {
  InterfaceOffloads offloads =
      veth({"client0", "", FeatureNames{"tx-vlan-hw-insert", "tx-vlan-stag-hw-insert"}});
  offloads.has_vlans = true;
  EXPECT_THAT(
      offload_problems(offloads),
      ElementsAre(problem("VLAN", "ethtool -K client0 txvlan off tx-vlan-stag-hw-insert off")));
}

TEST(Offloads, AreTaughtInOneLine) {
  EXPECT_EQ(to_string({"it harms", "ethtool -K eth0 lro off", true}),
            "it harms; run: ethtool -K eth0 lro off");
  EXPECT_EQ(to_string({"it harms: have the host end it", "", true}),
            "it harms: have the host end it");
}

using OffloadsOfTheKernel = NetlinkWorld;

TEST_F(OffloadsOfTheKernel, OfAVethsOtherEndInThisNamespaceAreRead) {
  run("ip link add left9 type veth peer name right9");
  EXPECT_THAT(find_offload_problems("left9"),
              ElementsAre(problem("right9, its other end", "ethtool -K right9 tx off")));
  run("ethtool -K right9 tx off >/dev/null");
  EXPECT_THAT(find_offload_problems("left9"), IsEmpty());
}

TEST_F(OffloadsOfTheKernel, OfAVethsOtherEndInANamelessNamespaceAreNot) {
  EXPECT_THAT(
      find_offload_problems("ps0"),
      ElementsAre(problem("ps1, its other end, cannot be read", "ethtool -K ps1 tx off", false)));
}

TEST_F(OffloadsOfTheKernel, OfAVlanAreThoseOfTheDeviceUnderneath) {
  run("ip link add left9 type veth peer name right9 && ethtool -K right9 tx off >/dev/null");
  if (std::system("ip link add link left9 name left9.1 type vlan id 100") != 0) {
    GTEST_SKIP() << "this kernel has no VLAN devices; tests/vm has one that does";
  }
  run("ip link add link left9.1 name left9.1.2 type vlan id 200");
  for (const char* interface : {"left9", "left9.1", "left9.1.2"}) {
    EXPECT_THAT(find_offload_problems(interface),
                ElementsAre(problem("VLAN tags beside its packets",
                                    "ethtool -K right9 txvlan off tx-vlan-stag-hw-insert off")));
  }
}

TEST_F(OffloadsOfTheKernel, ThatAVlanOnABridgeHasAreNoneOfXdpsToSee) {
  run("ip link add br9 type bridge");
  if (std::system("ip link add link br9 name br9.1 type vlan id 100") != 0) {
    GTEST_SKIP() << "this kernel has no VLAN devices; tests/vm has one that does";
  }
  EXPECT_THAT(find_offload_problems("br9.1"), ElementsAre(problem("a VLAN on br9, a bridge", "")));
}

TEST_F(OffloadsOfTheKernel, AreReadByName) {
  const auto offloads = read_offloads("ps0");
  ASSERT_TRUE(offloads) << offloads.error().message;
  EXPECT_EQ(offloads->driver, "veth");
  EXPECT_TRUE(offloads->on.contains("tx-checksum-ip-generic"));
  EXPECT_TRUE(offloads->changeable.contains("tx-checksum-ip-generic"));
  EXPECT_FALSE(offloads->on.contains("rx-lro"));
  EXPECT_FALSE(offloads->changeable.contains("rx-lro"));
}

TEST_F(OffloadsOfTheKernel, OfNoInterfaceAreNoProblem) {
  EXPECT_FALSE(read_offloads("gone9"));
  EXPECT_THAT(find_offload_problems("gone9"), IsEmpty());
  EXPECT_THAT(find_offload_problems("lo"), IsEmpty());
}

}  // namespace
}  // namespace penstock
