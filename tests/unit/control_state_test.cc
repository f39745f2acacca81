// SPDX-License-Identifier: Apache-2.0
// What is kept between runs, and what may not change within one.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "controlplane/control/fixed_settings.h"
#include "controlplane/control/state_files.h"

namespace penstock {
namespace {

class StateFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "penstock.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
};

TEST_F(StateFiles, KeepTheSeedThatWasMade) {
  const auto seed = kept_hash_seed(directory_);
  ASSERT_TRUE(seed);
  EXPECT_EQ(seed->size(), 32u);
  EXPECT_EQ(kept_hash_seed(directory_).value(), *seed);
  struct stat info {};
  ASSERT_EQ(stat((directory_ + "/hash_seed").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(StateFiles, MakeAnotherSeedElsewhere) {
  std::filesystem::create_directory(directory_ + "/other");
  EXPECT_NE(kept_hash_seed(directory_).value(), kept_hash_seed(directory_ + "/other").value());
}

TEST_F(StateFiles, SayWhereTheyCannotBeWritten) {
  const auto seed = kept_hash_seed(directory_ + "/missing");
  ASSERT_FALSE(seed);
  EXPECT_THAT(seed.error().message, ::testing::HasSubstr(directory_ + "/missing"));
}

TEST_F(StateFiles, KeepTheAddressesThatWerePlaced) {
  const std::set<PlacedAddress> placed{{"lo", *IpAddress::parse("203.0.113.10")},
                                       {"eth0", *IpAddress::parse("2001:db8::10")}};
  EXPECT_TRUE(load_placed(directory_).empty());
  ASSERT_TRUE(save_placed(directory_, placed));
  EXPECT_EQ(load_placed(directory_), placed);
}

TEST_F(StateFiles, LeaveOutALineThatIsDamaged) {
  std::ofstream(directory_ + "/announced") << "lo 203.0.113.10\nlo\n\nlo 203.0.113\n";
  EXPECT_EQ(load_placed(directory_),
            (std::set<PlacedAddress>{{"lo", *IpAddress::parse("203.0.113.10")}}));
}

TEST(FixedSettings, AreThoseThatTheTablesWereMadeFrom) {
  const auto differs = [](auto change) {
    Config after;
    change(after);
    return fixed_key_that_differs(Config{}, after);
  };
  EXPECT_EQ(differs([](Config&) {}), "");
  EXPECT_EQ(differs([](Config& c) { c.dataplane.driver = "dpdk"; }), "dataplane.driver");
  EXPECT_EQ(differs([](Config& c) { c.dataplane.interfaces = {"eth1"}; }), "dataplane.interfaces");
  EXPECT_EQ(differs([](Config& c) { c.dataplane.max_backends = 9; }), "dataplane.max_backends");
  EXPECT_EQ(differs([](Config& c) { c.dataplane.access_nodes = 9; }), "dataplane.access_nodes");
  EXPECT_EQ(differs([](Config& c) { c.dataplane.snat_ports.last = 9; }), "dataplane.snat_ports");
  EXPECT_EQ(differs([](Config& c) { c.control.socket = "/x"; }), "control.socket");
  EXPECT_EQ(differs([](Config& c) { c.appliance.hash_seed = "x"; }), "appliance.hash_seed");
  EXPECT_EQ(differs([](Config& c) { c.appliance.name = "x"; }), "");
  EXPECT_EQ(differs([](Config& c) { c.dataplane.flow_timeouts.tcp_closing = milliseconds(1); }),
            "");
  EXPECT_EQ(differs([](Config& c) { c.services.emplace_back(); }), "");
}

}  // namespace
}  // namespace penstock
