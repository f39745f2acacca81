// SPDX-License-Identifier: Apache-2.0
// The server over a real socket, asked by the command line's own client and by bytes.
#include "controlplane/control/server.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>

#include "controlplane/cli/client.h"

namespace penstock {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ControlSocket : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "penstock.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = directory_ + "/run/control.sock";  // the directory is made when it is missing
  }

  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  // Answers every request with what was asked.
  void serve() {
    auto listening = ControlServer::listen(context_, path_);
    ASSERT_TRUE(listening) << listening.error().message;
    server_ = std::move(*listening);
    server_->serve([](const ControlRequest& request) {
      const json::object echo{{"method", request.method},   {"target", request.target},
                              {"body", request.body},       {"user", request.user},
                              {"process", request.process}, {"may_change", request.may_change}};
      return request.target == "/missing"
                 ? problem(404, "it is not here")
                 : ControlResponse{200, "application/json", json::serialize(echo), ""};
    });
  }

  // Runs the server here while `client` asks from a thread of its own.
  template <typename Client>
  auto while_serving(Client client) {
    auto answer = std::async(std::launch::async, client);
    while (answer.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      context_.run_one_for(std::chrono::milliseconds(10));
    }
    return answer.get();
  }

  int connect_socket() const {
    const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      return descriptor;
    }
    close(descriptor);
    return -1;
  }

  // Everything that the server sends before it closes.
  std::string exchange(const std::string& bytes) {
    return while_serving([&] {
      const int descriptor = connect_socket();
      EXPECT_EQ(send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(bytes.size()));
      std::string answer;
      std::array<char, 4096> part{};
      for (ssize_t got = 1; got > 0;) {
        got = recv(descriptor, part.data(), part.size(), 0);
        if (got > 0) answer.append(part.data(), static_cast<size_t>(got));
      }
      close(descriptor);
      return answer;
    });
  }

  std::string directory_;
  std::string path_;
  boost::asio::io_context context_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(ControlSocket, CarriesARequestAndItsAnswer) {
  serve();
  const auto answer = while_serving([&] {
    return ask_daemon(path_, "POST", "/v1/apply?x=1", json::object{{"file", "a"}});
  });
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->at("method").as_string(), "POST");
  EXPECT_EQ(answer->at("target").as_string(), "/v1/apply?x=1");
  EXPECT_EQ(answer->at("body").as_string(), R"({"file":"a"})");
}

TEST_F(ControlSocket, KnowsWhoAsks) {
  serve();
  const auto answer = while_serving([&] { return ask_daemon(path_, "GET", "/"); });
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->at("user").to_number<uid_t>(), getuid());
  EXPECT_EQ(answer->at("process").to_number<pid_t>(), getpid());
  EXPECT_TRUE(answer->at("may_change").as_bool());
}

TEST_F(ControlSocket, CarriesAProblemAsItsDetail) {
  serve();
  const auto answer = while_serving([&] { return ask_daemon(path_, "GET", "/missing"); });
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "it is not here");
  EXPECT_EQ(answer.error().kind, ErrorKind::kNotFound);
}

TEST_F(ControlSocket, KeepsAConnectionForSeveralRequests) {
  serve();
  const std::string answers = exchange(
      "GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\nConnection: "
      "close\r\n\r\n");
  EXPECT_THAT(answers, HasSubstr("/one"));
  EXPECT_THAT(answers, HasSubstr("/two"));
}

TEST_F(ControlSocket, RefusesWhatIsNoRequest) {
  serve();
  EXPECT_THAT(exchange("hello there\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nX: " + std::string(10'000, 'x') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(exchange("POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
  EXPECT_TRUE(while_serving([&] { return ask_daemon(path_, "GET", "/"); })) << "it serves on";
}

TEST_F(ControlSocket, IsForItsOwnerAndGroup) {
  serve();
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0660u);
}

TEST_F(ControlSocket, ReplacesOneThatNobodyListensAt) {
  serve();
  const std::string kept = path_ + ".kept";
  std::filesystem::rename(path_, kept);  // as a killed daemon leaves it
  server_.reset();
  std::filesystem::rename(kept, path_);
  ASSERT_EQ(connect_socket(), -1);
  serve();
  EXPECT_TRUE(while_serving([&] { return ask_daemon(path_, "GET", "/"); }));
}

TEST_F(ControlSocket, IsNotTakenFromADaemonThatAnswers) {
  serve();
  const auto second = ControlServer::listen(context_, path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kConflict);
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string(getpid())));
  EXPECT_THAT(second.error().message, HasSubstr(path_));
  EXPECT_TRUE(while_serving([&] { return ask_daemon(path_, "GET", "/"); }));
}

TEST_F(ControlSocket, ReplacesNoFileThatIsNoSocket) {
  std::filesystem::create_directories(directory_ + "/run");
  std::ofstream(path_) << "mine";
  const auto refused = ControlServer::listen(context_, path_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kConflict);
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(ControlSocket, IsGoneOnceTheServerHasLeft) {
  serve();
  server_->leave();
  EXPECT_FALSE(std::filesystem::exists(path_));
  const auto answer = ask_daemon(path_, "GET", "/");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("penstock run"));
}

TEST(EncodePercent, LeavesOnlyWhatNeedsNone) {
  EXPECT_EQ(encode_percent("h1-a_b.c~9"), "h1-a_b.c~9");
  EXPECT_EQ(encode_percent("[2001:db8::1]:80 /?"), "%5B2001%3Adb8%3A%3A1%5D%3A80%20%2F%3F");
}

}  // namespace
}  // namespace penstock
