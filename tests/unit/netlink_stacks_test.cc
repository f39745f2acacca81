// SPDX-License-Identifier: Apache-2.0
// VLAN devices: from the kernel's message about one to the device underneath and the tags.
#include "controlplane/netlink/stacks.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/if_ether.h>
#include <net/if.h>

#include <cstdlib>

#include "tests/unit/netlink_world.h"

namespace penstock {
namespace {

using ::testing::HasSubstr;

const VlanTag kOuter{100, true};
const VlanTag kInner{200, false};

Link device(const std::string& name, const std::string& kind = "") {
  Link link;
  link.name = name;
  link.kind = kind;
  return link;
}

Link vlan(const std::string& name, uint32_t on, VlanTag tag) {
  Link link = device(name, "vlan");
  link.linked_index = on;
  link.tag = tag;
  return link;
}

Links two_vlans() {
  return {{2, device("eth0")},
          {3, vlan("eth0.100", 2, kOuter)},
          {4, vlan("eth0.100.200", 3, kInner)},
          {5, device("br0", "bridge")}};
}

std::string refusal(const Links& links, const std::string& name) {
  const auto stack = find_stack(links, name);
  return stack ? "it is " + stack->device : stack.error().message;
}

TEST(Stacks, OfAnyOtherDeviceAreItself) {
  for (const char* name : {"eth0", "br0", "missing0"}) {
    EXPECT_EQ(find_stack(two_vlans(), name).value(), (InterfaceStack{name, name, {}}));
  }
}

TEST(Stacks, OfVlansGoDownToTheDeviceUnderneath) {
  EXPECT_EQ(find_stack(two_vlans(), "eth0.100").value(),
            (InterfaceStack{"eth0.100", "eth0", {kOuter}}));
  EXPECT_EQ(find_stack(two_vlans(), "eth0.100.200").value(),
            (InterfaceStack{"eth0.100.200", "eth0", {kOuter, kInner}}));
}

TEST(Stacks, SayWhatToNameInsteadOfThreeTags) {
  Links links = two_vlans();
  links[6] = vlan("deep", 4, {300, false});
  EXPECT_THAT(refusal(links, "deep"), HasSubstr("frames of deep have 3 VLAN tags"));
  EXPECT_THAT(refusal(links, "deep"), HasSubstr("name a VLAN that is on the network card itself"));
}

TEST(Stacks, SayOnWhatXdpDoesNotSeeTags) {
  Links links = two_vlans();
  links[6] = vlan("br0.100", 5, kOuter);
  EXPECT_THAT(refusal(links, "br0.100"), HasSubstr("br0.100 is a VLAN on br0, a bridge"));
  links[6].linked_namespace = 0;
  EXPECT_THAT(refusal(links, "br0.100"), HasSubstr("in another network namespace"));
  links[6] = vlan("lost", 99, kOuter);
  EXPECT_THAT(refusal(links, "lost"), HasSubstr("what lost is on is gone"));
  links[6].tag.reset();
  EXPECT_THAT(refusal(links, "lost"), HasSubstr("does not tell the VLAN of lost"));
}

// As `ip link add link eth0 name eth0.100 type vlan proto 802.1ad id 100` has the kernel tell it.
TEST(Links, AreReadFromTheKernelsMessage) {
  std::array<char, 512> bytes{};
  nlmsghdr* message = mnl_nlmsg_put_header(bytes.data());
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  header->ifi_flags = IFF_UP | IFF_RUNNING;
  mnl_attr_put_strz(message, IFLA_IFNAME, "eth0.100");
  mnl_attr_put_u32(message, IFLA_MTU, 1496);
  mnl_attr_put_u32(message, IFLA_LINK, 2);
  nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  mnl_attr_put_strz(message, IFLA_INFO_KIND, "vlan");
  nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
  mnl_attr_put_u16(message, IFLA_VLAN_PROTOCOL, htons(ETH_P_8021AD));
  mnl_attr_put_u16(message, IFLA_VLAN_ID, 100);
  mnl_attr_nest_end(message, data);
  mnl_attr_nest_end(message, info);

  const Link link = link_from(message);
  EXPECT_EQ(link.name, "eth0.100");
  EXPECT_EQ(link.kind, "vlan");
  EXPECT_EQ(link.mtu, 1496);
  EXPECT_EQ(link.linked_index, 2u);
  EXPECT_EQ(link.linked_namespace, std::nullopt);
  EXPECT_EQ(link.tag, kOuter);
  EXPECT_TRUE(link.up);
}

using StacksOfTheKernel = NetlinkWorld;

TEST_F(StacksOfTheKernel, AreReadOfAVeth) {
  const auto stacks = read_stacks({"ps0", "missing0"});
  ASSERT_TRUE(stacks) << stacks.error().message;
  EXPECT_EQ(*stacks,
            (std::vector<InterfaceStack>{{"ps0", "ps0", {}}, {"missing0", "missing0", {}}}));
}

TEST_F(StacksOfTheKernel, AreReadOfAVlanOnAVlan) {
  if (std::system("ip link add link ps0 name ps0.1 type vlan proto 802.1ad id 100") != 0) {
    GTEST_SKIP() << "this kernel has no VLAN devices; tests/vm has one that does";
  }
  run("ip link add link ps0.1 name ps0.1.2 type vlan id 200");
  const auto stacks = read_stacks({"ps0.1.2"});
  ASSERT_TRUE(stacks) << stacks.error().message;
  EXPECT_EQ(stacks->front(), (InterfaceStack{"ps0.1.2", "ps0", {kOuter, kInner}}));
}

}  // namespace
}  // namespace penstock
