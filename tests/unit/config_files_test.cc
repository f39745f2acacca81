// SPDX-License-Identifier: Apache-2.0
// What a file and its fragments give together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "controlplane/config/parse.h"

namespace penstock {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const std::string kDataplane = "[dataplane]\ninterfaces = [\"eth0\"]\n";
const std::string kService = "[[service]]\nname = \"web\"\naddress = \"203.0.113.10\"\nport = 80\n";

class ConfigFiles : public ::testing::Test {
 protected:
  ConfigFiles() {
    std::string pattern = testing::TempDir() + "penstock-config-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~ConfigFiles() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& name, const std::string& text) {
    const auto path = directory_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  ParseResult load() { return load_config((directory_ / "edge.toml").string()); }

  std::filesystem::path directory_;
};

TEST_F(ConfigFiles, FragmentsAddServicesInOrderOfName) {
  write("edge.toml", kDataplane + kService);
  write("edge.d/20-b.toml", "[[service]]\nname = \"b\"\naddress = \"203.0.113.12\"\nport = 80\n");
  write("edge.d/10-a.toml", "[[service]]\nname = \"a\"\naddress = \"203.0.113.11\"\nport = 80\n");
  write("edge.d/README", "not a fragment");
  const auto config = load();
  ASSERT_TRUE(config);
  ASSERT_THAT(config->services, SizeIs(3));
  EXPECT_EQ(config->services[0].name, "web");
  EXPECT_EQ(config->services[1].name, "a");
  EXPECT_EQ(config->services[2].name, "b");
}

TEST_F(ConfigFiles, AFragmentHoldsServicesOnly) {
  write("edge.toml", kDataplane);
  write("edge.d/a.toml", "[control]\nsocket = \"/run/x\"\n");
  const auto config = load();
  ASSERT_FALSE(config);
  EXPECT_THAT(to_string(config.error()[0]),
              AllOf(HasSubstr("a.toml:1:1: control"), HasSubstr("belongs in the main file")));
}

TEST_F(ConfigFiles, AFaultInAFragmentNamesBothFiles) {
  write("edge.toml", kDataplane + kService);
  write("edge.d/a.toml", kService);
  const auto config = load();
  ASSERT_FALSE(config);
  EXPECT_THAT(to_string(config.error()[0]),
              AllOf(HasSubstr("a.toml:2:8"), HasSubstr("edge.toml:4")));
}

TEST_F(ConfigFiles, AFileThatIsNotThereIsNamed) {
  const auto config = load();
  ASSERT_FALSE(config);
  EXPECT_THAT(to_string(config.error()[0]),
              AllOf(HasSubstr("edge.toml"), HasSubstr("No such file or directory")));
}

TEST_F(ConfigFiles, ADirectoryIsNoFile) {
  write("edge.toml/x", "");
  const auto config = load();
  ASSERT_FALSE(config);
  EXPECT_THAT(to_string(config.error()[0]), HasSubstr("Is a directory"));
}

TEST_F(ConfigFiles, AnEmptyFileLacksAnInterface) {
  write("edge.toml", "");
  const auto config = load();
  ASSERT_FALSE(config);
  EXPECT_THAT(to_string(config.error()[0]), HasSubstr("name at least one interface"));
}

}  // namespace
}  // namespace penstock
