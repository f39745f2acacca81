// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/config/parse.h"

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kDataplane =
    "[dataplane]\ndriver = \"dpdk\"\ninterfaces = [\"eth0\", \"eth1.7\"]\n";

std::string fault_in_dpdk(const std::string& text) {
  const auto parsed = parse_config({{"p.toml", kDataplane + "[dpdk]\n" + text}});
  if (parsed) return "";
  return to_string(parsed.error().front());
}

TEST(ConfigDpdk, NeedsNoTableOfItsOwn) {
  const auto parsed = parse_config({{"p.toml", kDataplane}});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->dataplane.driver, "dpdk");
  EXPECT_EQ(parsed->dpdk, DpdkConfig{});
}

TEST(ConfigDpdk, TakesEveryKey) {
  const auto parsed = parse_config({{"p.toml", kDataplane + R"([dpdk]
lcores = [2, 3]
ports = [
  { interface = "eth0", device = "0000:01:00.0" },
  { interface = "eth1", device = "01:00.1" },
]
hugepages = true
memory_mb = 64
burst = 64
descriptors = 512
idle_sleep_us = 0
segment = "/dev/hugepages/penstock"
eal = ["--log-level=8"]
)"}});
  ASSERT_TRUE(parsed) << to_string(parsed.error().front());
  const DpdkConfig& dpdk = parsed->dpdk;
  EXPECT_THAT(dpdk.lcores, ElementsAre(2u, 3u));
  EXPECT_THAT(dpdk.ports, ElementsAre(DpdkPortConfig{"eth0", "0000:01:00.0"},
                                      DpdkPortConfig{"eth1", "01:00.1"}));
  EXPECT_TRUE(dpdk.hugepages);
  EXPECT_EQ(dpdk.memory_mb, 64u);
  EXPECT_EQ(dpdk.burst, 64u);
  EXPECT_EQ(dpdk.descriptors, 512u);
  EXPECT_EQ(dpdk.idle_sleep_us, 0u);
  EXPECT_EQ(dpdk.segment, "/dev/hugepages/penstock");
  EXPECT_THAT(dpdk.eal, ElementsAre("--log-level=8"));
}

TEST(ConfigDpdk, RefusesProcessorsThatAreNone) {
  EXPECT_THAT(fault_in_dpdk("lcores = [1, 1]\n"), HasSubstr("names a processor twice"));
  EXPECT_THAT(fault_in_dpdk("lcores = [-1]\n"), HasSubstr("whole numbers from 0 to 1023"));
  EXPECT_THAT(fault_in_dpdk("lcores = [1, \"2\"]\n"), HasSubstr("whole numbers from 0 to 1023"));
  EXPECT_THAT(fault_in_dpdk("lcores = 1\n"), HasSubstr("an array of whole numbers"));
}

TEST(ConfigDpdk, RefusesPortsThatAreNone) {
  const auto port = [](const std::string& text) {
    return fault_in_dpdk("ports = [ { " + text + " } ]\n");
  };
  EXPECT_THAT(port("interface = \"eth0\""), HasSubstr("device"));
  EXPECT_THAT(port("interface = \"eth0\", device = \"eth0\""), HasSubstr("expected a PCI address"));
  EXPECT_THAT(port("interface = \"eth2\", device = \"01:00.0\""),
              HasSubstr("none of dataplane.interfaces"));
  EXPECT_THAT(fault_in_dpdk("ports = [ { interface = \"eth0\", device = \"01:00.0\" },\n"
                            "  { interface = \"eth1\", device = \"01:00.0\" } ]\n"),
              HasSubstr("names one twice"));
}

TEST(ConfigDpdk, RefusesAPlaceForTheTablesThatIsNone) {
  EXPECT_THAT(fault_in_dpdk("segment = \"penstock\"\n"), HasSubstr("expected an absolute path"));
}

}  // namespace
}  // namespace penstock
