// SPDX-License-Identifier: Apache-2.0
// The command line as a person meets it, where no daemon runs: what it prints and its exit status.
#include "controlplane/cli/commands.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace penstock {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

struct Said {
  int status = 0;
  std::string out;
  std::string error;
};

class CommandLineUse : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "penstock.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    socket_ = directory_ + "/none.sock";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  static Said penstock(std::vector<std::string> words) {
    words.insert(words.begin(), "penstock");
    std::vector<char*> arguments;
    arguments.reserve(words.size());
    for (std::string& word : words) arguments.push_back(word.data());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Said said;
    said.status = run_command_line(static_cast<int>(arguments.size()), arguments.data());
    said.out = ::testing::internal::GetCapturedStdout();
    said.error = ::testing::internal::GetCapturedStderr();
    return said;
  }

  std::string file(const std::string& text) const {
    std::string path = directory_ + "/penstock.toml";
    std::ofstream(path) << text;
    return path;
  }

  static auto one_line_with(const std::string& words) {
    return AllOf(
        StartsWith("penstock: "), HasSubstr(words), EndsWith("\n"),
        ::testing::ResultOf(
            [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }, 1));
  }

  std::string directory_;
  std::string socket_;
};

// Interfaces that this machine has are looked at, too.
TEST_F(CommandLineUse, ChecksAGoodFile) {
  const std::string path = file(R"([dataplane]
interfaces = ["another9"]
[[service]]
name = "web"
address = "203.0.113.10"
port = 80
backend = [{ address = "10.0.0.1:3000" }, { address = "10.0.0.1:3001" }]
)");
  const Said said = penstock({"check", path});
  EXPECT_EQ(said.status, 0);
  EXPECT_EQ(said.out, path + ": ok, 1 services, 2 backends\n");
  EXPECT_THAT(said.error, IsEmpty());
}

TEST_F(CommandLineUse, TellsEveryFaultOfAFileALineEach) {
  const std::string path = file("[dataplane]\ninterfaces = []\ndrive = \"xdp\"\n");
  const Said said = penstock({"check", path});
  EXPECT_EQ(said.status, 1);
  EXPECT_THAT(said.error, HasSubstr("penstock: " + path + ":2:"));
  EXPECT_THAT(said.error, HasSubstr("penstock: " + path + ":3:"));
}

TEST_F(CommandLineUse, NamesAFileThatIsMissing) {
  const Said said = penstock({"run", directory_ + "/none.toml"});
  EXPECT_EQ(said.status, 1);
  EXPECT_THAT(said.error, one_line_with("none.toml"));
}

TEST_F(CommandLineUse, SaysHowToStartADaemonWhenNoneAnswers) {
  const std::vector<std::vector<std::string>> verbs{{"status"},
                                                    {"apply"},
                                                    {"drain", "a", "b"},
                                                    {"undrain", "a", "b"},
                                                    {"weight", "a", "b", "2"},
                                                    {"add", "a", "10.0.0.1:1"},
                                                    {"remove", "a", "b"},
                                                    {"explain", "10.0.0.1", "a"},
                                                    {"stop"}};
  for (auto verb : verbs) {
    verb.insert(verb.end(), {"--socket", socket_});
    const Said said = penstock(verb);
    EXPECT_EQ(said.status, 1) << verb[0];
    EXPECT_THAT(said.error, one_line_with(socket_ + ": start it with `penstock run FILE`"))
        << verb[0];
    EXPECT_THAT(said.out, IsEmpty()) << verb[0];
  }
}

TEST_F(CommandLineUse, TakesTheSocketFromTheEnvironment) {
  setenv("PENSTOCK_SOCKET", socket_.c_str(), 1);
  EXPECT_THAT(penstock({"status"}).error, HasSubstr(socket_));
  unsetenv("PENSTOCK_SOCKET");
}

TEST_F(CommandLineUse, RefusesASocketPathThatCannotBe) {
  const Said said = penstock({"--socket", std::string(200, 'x'), "status"});
  EXPECT_EQ(said.status, 1);
  EXPECT_THAT(said.error, one_line_with("107 bytes"));
}

TEST_F(CommandLineUse, SaysWhatIsWrongWithTheWords) {
  for (const auto& words : std::vector<std::vector<std::string>>{{},
                                                                 {"frob"},
                                                                 {"drain", "web"},
                                                                 {"weight", "web", "h1-a", "many"},
                                                                 {"status", "--jason"}}) {
    const Said said = penstock(words);
    EXPECT_EQ(said.status, 2);
    EXPECT_THAT(said.error, one_line_with("--help"));
  }
}

TEST_F(CommandLineUse, TellsItsVersionAndItsVerbs) {
  EXPECT_EQ(penstock({"--version"}).out, "penstock " PENSTOCK_VERSION "\n");
  const Said help = penstock({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const char* verb : {"run", "check", "apply", "status", "drain", "undrain", "weight", "add",
                           "remove", "explain", "stop"}) {
    EXPECT_THAT(help.out, HasSubstr(verb));
  }
}

}  // namespace
}  // namespace penstock
