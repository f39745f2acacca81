// SPDX-License-Identifier: Apache-2.0
// The XDP driver on real interfaces: veth pairs in a network and mount namespace of the test's own,
// which end with it.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "dataplane/xdp/xdp_dataplane.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr TableSizes kSizes{.flow_table_entries = 4096, .max_services = 8, .max_backends = 16};

class XdpDataplane : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to attach XDP programs";
    ASSERT_EQ(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    directory_ = fs::temp_directory_path() / ("penstock-test-" + std::to_string(getpid()));
    fs::create_directories(directory_);
    ASSERT_EQ(mount("bpf", directory_.c_str(), "bpf", 0, nullptr), 0);
    ASSERT_EQ(std::system("ip link add ps0 type veth peer name ps1 && ip link set ps0 up && "
                          "ip link set ps1 up"),
              0);
  }

  void TearDown() override {
    if (directory_.empty()) return;
    umount2(directory_.c_str(), MNT_DETACH);
    fs::remove(directory_);
  }

  XdpOptions options(const std::string& interface = "ps0") const {
    return {{{interface, interface, {}}}, (directory_ / "penstock").string(), kSizes};
  }

  static uint32_t attached_program(const char* interface) {
    uint32_t id = 0;
    bpf_xdp_query_id(static_cast<int>(if_nametoindex(interface)), 0, &id);
    return id;
  }

  static Delta one_service() {
    Delta delta;
    delta.next.settings.snat_addresses = {*IpAddress::parse("192.0.2.254")};
    delta.next.settings.snat_port_first = 20000;
    delta.next.settings.snat_port_last = 20999;
    delta.next.services[1] = {Protocol::kTcp, *Endpoint::parse("203.0.113.10:80"), 32,
                              own_lookup_table(1, 0)};
    delta.next.backends[1].endpoint = *Endpoint::parse("192.0.2.1:3000");
    delta.lookup_tables[own_lookup_table(1, 0)] = LookupTable(kLookupTableSlots, 1);
    return delta;
  }

  fs::path directory_;
};

TEST_F(XdpDataplane, AttachesNativelyToAVeth) {
  auto dataplane = open_xdp_dataplane(options());
  ASSERT_TRUE(dataplane) << dataplane.error().message;
  const DataplaneStatus status = (*dataplane)->status();
  EXPECT_EQ(status.driver, "xdp");
  EXPECT_FALSE(status.adopted);
  ASSERT_EQ(status.interfaces.size(), 1u);
  EXPECT_EQ(status.interfaces[0].attach_mode, "native");
  EXPECT_EQ(status.interfaces[0].degraded, "");
  EXPECT_NE(attached_program("ps0"), 0u);
}

TEST_F(XdpDataplane, FallsBackToGenericXdpAndSaysWhy) {
  ASSERT_EQ(std::system("ip link add psbr type bridge && ip link set psbr up"), 0);
  auto dataplane = open_xdp_dataplane(options("psbr"));
  ASSERT_TRUE(dataplane) << dataplane.error().message;
  const DataplaneStatus status = (*dataplane)->status();
  EXPECT_EQ(status.interfaces[0].attach_mode, "generic");
  EXPECT_NE(status.interfaces[0].degraded.find("native XDP was refused"), std::string::npos);
}

TEST_F(XdpDataplane, StaysAttachedWhenItsProcessLetsGoAndIsTakenOver) {
  {
    auto first = open_xdp_dataplane(options());
    ASSERT_TRUE(first) << first.error().message;
    ASSERT_TRUE((*first)->apply(one_service()));
  }
  EXPECT_NE(attached_program("ps0"), 0u);
  auto second = open_xdp_dataplane(options());
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_TRUE((*second)->status().adopted);
  EXPECT_EQ((*second)->status().interfaces[0].attach_mode, "native");
  EXPECT_EQ((*second)->current().services, one_service().next.services);
  EXPECT_EQ((*second)->explain(1, {*IpAddress::parse("198.18.0.1"), 0}).backend, 1);
}

TEST_F(XdpDataplane, RefusesASecondDaemonOnTheSamePins) {
  auto first = open_xdp_dataplane(options());
  ASSERT_TRUE(first) << first.error().message;
  auto second = open_xdp_dataplane(options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kConflict);
  EXPECT_NE(second.error().message.find("another penstock daemon"), std::string::npos);
}

TEST_F(XdpDataplane, RefusesAnInterfaceThatHasAnotherProgramAndLeavesThatInPlace) {
  auto first = open_xdp_dataplane(options());
  ASSERT_TRUE(first) << first.error().message;
  const uint32_t program = attached_program("ps0");
  XdpOptions elsewhere = options();
  elsewhere.pin_path += "-other";
  auto second = open_xdp_dataplane(elsewhere);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kConflict);
  EXPECT_NE(second.error().message.find("ps0 already has an XDP program"), std::string::npos);
  EXPECT_EQ(attached_program("ps0"), program);
  EXPECT_FALSE(fs::exists(elsewhere.pin_path));
}

TEST_F(XdpDataplane, RefusesTablesOfOtherSizesAndLetsThemRunOn) {
  ASSERT_TRUE(open_xdp_dataplane(options()));
  XdpOptions larger = options();
  larger.sizes.flow_table_entries = 8192;
  auto second = open_xdp_dataplane(larger);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kConflict);
  EXPECT_NE(second.error().message.find("flow_table_entries = 4096"), std::string::npos);
  EXPECT_NE(attached_program("ps0"), 0u);
}

TEST_F(XdpDataplane, NamesTheInterfacesThatThereAreWhenOneIsMissing) {
  auto dataplane = open_xdp_dataplane(options("eth7"));
  ASSERT_FALSE(dataplane);
  EXPECT_EQ(dataplane.error().kind, ErrorKind::kNotFound);
  EXPECT_NE(dataplane.error().message.find("ps0"), std::string::npos);
}

TEST_F(XdpDataplane, RefusesAPinPathThatIsNotOnABpffs) {
  XdpOptions elsewhere = options();
  elsewhere.pin_path = "/tmp/penstock-not-a-bpffs/pins";
  auto dataplane = open_xdp_dataplane(elsewhere);
  ASSERT_FALSE(dataplane);
  EXPECT_NE(dataplane.error().message.find("mount -t bpf"), std::string::npos);
}

TEST_F(XdpDataplane, RemovesEverythingItPinned) {
  auto dataplane = open_xdp_dataplane(options());
  ASSERT_TRUE(dataplane) << dataplane.error().message;
  ASSERT_TRUE((*dataplane)->remove());
  EXPECT_EQ(attached_program("ps0"), 0u);
  EXPECT_FALSE(fs::exists(options().pin_path));
}

TEST_F(XdpDataplane, CleansUpAfterADaemonThatDied) {
  ASSERT_TRUE(open_xdp_dataplane(options()));
  ASSERT_TRUE(remove_xdp_dataplane(options().pin_path));
  EXPECT_EQ(attached_program("ps0"), 0u);
  EXPECT_FALSE(fs::exists(options().pin_path));
  EXPECT_TRUE(remove_xdp_dataplane(options().pin_path)) << "twice is no error";
}

TEST_F(XdpDataplane, AttachesAnewToAnInterfaceThatWasMadeAgain) {
  ASSERT_TRUE(open_xdp_dataplane(options()));
  ASSERT_EQ(std::system("ip link del ps0 && ip link add ps0 type veth peer name ps1"), 0);
  auto dataplane = open_xdp_dataplane(options());
  ASSERT_TRUE(dataplane) << dataplane.error().message;
  EXPECT_TRUE((*dataplane)->status().adopted);
  EXPECT_NE(attached_program("ps0"), 0u);
}

TEST_F(XdpDataplane, LeavesAnInterfaceThatTheConfigurationNoLongerNames) {
  ASSERT_TRUE(open_xdp_dataplane(options("ps0")));
  auto dataplane = open_xdp_dataplane(options("ps1"));
  ASSERT_TRUE(dataplane) << dataplane.error().message;
  EXPECT_EQ(attached_program("ps0"), 0u);
  EXPECT_NE(attached_program("ps1"), 0u);
}

}  // namespace
}  // namespace penstock
