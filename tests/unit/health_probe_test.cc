// SPDX-License-Identifier: Apache-2.0
// Probes of real servers on loopback, well and badly behaved.
#include "controlplane/health/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/asio/steady_timer.hpp>
#include <optional>

#include "tests/unit/health_backend.h"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

class Probe : public ::testing::Test {
 protected:
  static HealthCheckConfig http(milliseconds timeout = 60s) {
    HealthCheckConfig check;
    check.type = HealthCheckType::kHttp;
    check.path = "/healthz";
    check.timeout = timeout;
    return check;
  }

  static HealthCheckConfig tcp() {
    HealthCheckConfig check;
    check.type = HealthCheckType::kTcp;
    check.timeout = 60s;
    return check;
  }

  ProbeResult result(const Endpoint& endpoint, const HealthCheckConfig& check) {
    std::optional<ProbeResult> result;
    boost::asio::co_spawn(context_, probe(endpoint, check),
                          [&](const std::exception_ptr& error, const ProbeResult& what) {
                            EXPECT_FALSE(error);
                            result = what;
                          });
    context_.restart();
    while (!result) context_.run_one();
    return *result;
  }

  ProbeResult result(HealthBackend::Script script, const HealthCheckConfig& check) {
    const HealthBackend backend(context_, std::move(script));
    return result(backend.endpoint(), check);
  }

  // A port where nobody listens.
  Endpoint nobody() { return HealthBackend(context_, silent()).endpoint(); }

  boost::asio::io_context context_;
};

TEST_F(Probe, TakesStatus200To399ForHealthy) {
  for (const std::string status : {"200 OK", "204 No Content", "302 Found", "399 Odd"}) {
    const auto answer = result(answering("HTTP/1.1 " + status + "\r\n\r\n"), http());
    EXPECT_EQ(answer.outcome, ProbeOutcome::kSuccess) << status;
    EXPECT_THAT(answer.detail, MatchesRegex("HTTP " + status.substr(0, 3) + " in [0-9]+ ms"));
  }
}

TEST_F(Probe, TakesAnyOtherStatusForAFailure) {
  for (const std::string status : {"199 Odd", "400 Bad Request", "404 Not Found", "503 Busy"}) {
    const auto answer = result(answering("HTTP/1.1 " + status + "\r\n\r\n"), http());
    EXPECT_EQ(answer.outcome, ProbeOutcome::kFailure) << status;
    EXPECT_THAT(answer.detail, StartsWith("HTTP " + status.substr(0, 3)));
  }
}

TEST_F(Probe, AsksForThePathAndClosesAfterIt) {
  std::string request;
  HealthBackend backend(context_, answering("HTTP/1.1 200 OK\r\n\r\n", &request));
  result(backend.endpoint(), http());
  EXPECT_EQ(request, "GET /healthz HTTP/1.1\r\nHost: " + to_string(backend.endpoint()) +
                         "\r\nUser-Agent: penstock\r\nConnection: close\r\n\r\n");
  auto check = http();
  check.host = "www.example.org";
  result(backend.endpoint(), check);
  EXPECT_THAT(request, ::testing::HasSubstr("\r\nHost: www.example.org\r\n"));
}

TEST_F(Probe, SpeaksIpv6) {
  std::string request;
  HealthBackend backend(context_, answering("HTTP/1.1 200 OK\r\n\r\n", &request), "::1");
  EXPECT_EQ(result(backend.endpoint(), http()).outcome, ProbeOutcome::kSuccess);
  EXPECT_THAT(request, ::testing::HasSubstr("\r\nHost: [::1]:"));
  EXPECT_EQ(result(backend.endpoint(), tcp()).outcome, ProbeOutcome::kSuccess);
}

TEST_F(Probe, GoesToAnotherPortWhenTheCheckSaysSo) {
  HealthBackend backend(context_, silent());
  HealthBackend health(context_, answering("HTTP/1.1 200 OK\r\n\r\n"));
  auto check = http();
  check.port = health.endpoint().port;
  EXPECT_EQ(result(backend.endpoint(), check).outcome, ProbeOutcome::kSuccess);
  EXPECT_EQ(backend.connections(), 0);
}

TEST_F(Probe, DoesNotReadTheBody) {
  const auto answer = result(
      endless("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", std::string(65536, 'x')),
      http());
  EXPECT_EQ(answer.outcome, ProbeOutcome::kSuccess) << answer.detail;
}

TEST_F(Probe, OfTcpAsksForAConnectionOnly) {
  const auto answer = result(silent(), tcp());
  EXPECT_EQ(answer.outcome, ProbeOutcome::kSuccess);
  EXPECT_THAT(answer.detail, MatchesRegex("connected in [0-9]+ ms"));
}

TEST_F(Probe, SaysThatTheConnectionWasRefused) {
  for (const auto& check : {tcp(), http()}) {
    const auto answer = result(nobody(), check);
    EXPECT_EQ(answer.outcome, ProbeOutcome::kFailure);
    EXPECT_EQ(answer.detail, "connection refused");
  }
}

TEST_F(Probe, GivesUpOnABackendThatNeverAnswers) {
  const auto answer = result(silent(), http(200ms));
  EXPECT_EQ(answer.outcome, ProbeOutcome::kFailure);
  EXPECT_EQ(answer.detail, "no answer within 0.2 s");
  EXPECT_EQ(result(silent(), http(1s)).detail, "no answer within 1 s");
}

// Every byte is progress, and still the whole has to fit the timeout.
TEST_F(Probe, GivesUpOnABackendThatDribbles) {
  const auto dribble = [](HealthBackend::Socket& socket) -> boost::asio::awaitable<void> {
    boost::asio::steady_timer timer(socket.get_executor());
    for (const char byte : "HTTP/1.1 200 OK\r\nX: " + std::string(8000, 'x')) {
      co_await boost::asio::async_write(socket, boost::asio::buffer(&byte, 1),
                                        boost::asio::use_awaitable);
      timer.expires_after(20ms);
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
  };
  EXPECT_EQ(result(dribble, http(500ms)).detail, "no answer within 0.5 s");
}

TEST_F(Probe, RefusesWhatIsNotHttp) {
  for (const std::string garbage : {"SSH-2.0-OpenSSH_9.2\r\n", "\r\n\r\n\r\n",
                                    "HTTP/9 nonsense\r\n", "HTTP/1.1 2xx Fine\r\n\r\n"}) {
    const auto answer = result(answering(garbage), http());
    EXPECT_EQ(answer.outcome, ProbeOutcome::kFailure) << garbage;
    EXPECT_THAT(answer.detail, StartsWith("not an HTTP answer: ")) << garbage;
  }
}

TEST_F(Probe, RefusesAHeaderThatBreaksOff) {
  const auto answer = result(answering("HTTP/1.1 200 OK\r\nServer: x"), http());
  EXPECT_EQ(answer.outcome, ProbeOutcome::kFailure);
  EXPECT_EQ(answer.detail, "not an HTTP answer: partial message");
}

TEST_F(Probe, SaysThatTheConnectionWasClosedWithoutAnAnswer) {
  const auto answer = result(answering(""), http());
  EXPECT_EQ(answer.outcome, ProbeOutcome::kFailure);
  EXPECT_EQ(answer.detail, "closed the connection without an answer");
}

TEST_F(Probe, RefusesAnEndlessHeader) {
  for (const std::string more :
       {"X-Filler: y\r\n", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"}) {
    const auto answer = result(endless("HTTP/1.1 200 OK\r\n", more), http());
    EXPECT_EQ(answer.outcome, ProbeOutcome::kFailure);
    EXPECT_EQ(answer.detail, "HTTP header of more than 16 KiB");
  }
}

TEST_F(Probe, DoesNotBlameTheBackendForALackOfDescriptors) {
  const HealthBackend backend(context_, silent());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto answer = result(backend.endpoint(), tcp());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(answer.outcome, ProbeOutcome::kNotTried);
  EXPECT_EQ(answer.detail, "cannot be probed from here: too many open files");
}

}  // namespace
}  // namespace penstock
