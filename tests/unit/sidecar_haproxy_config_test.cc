// SPDX-License-Identifier: Apache-2.0
// The text for HAProxy: as golden/haproxy.cfg has it, and as HAProxy itself takes it.
#include "controlplane/sidecar/haproxy_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "controlplane/config/text_file.h"
#include "tests/unit/certificate_maker.h"

namespace penstock {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Endpoint endpoint(const char* text) {
  return Endpoint::parse(text).value();
}

SidecarListener web(const std::string& directory) {
  SidecarListener listener{.service = "web",
                           .clients = endpoint("203.0.113.10:443"),
                           .onward = endpoint("169.254.80.1:1")};
  listener.tls.certificates = {directory + "/example.com.pem", directory + "/example.org.pem"};
  return listener;
}

// Everything that can be asked for: redirect, HSTS, ACME, modern; IPv6 and another port.
SidecarListener strict(const std::string& directory) {
  SidecarListener listener{.service = "strict web",
                           .clients = endpoint("[2001:db8:113::10]:8443"),
                           .onward = endpoint("[fd70:656e:7374::1]:2"),
                           .acme = endpoint("[fd70:656e:7374::2]:2")};
  listener.tls.certificates = {directory + "/example.com.pem"};
  listener.tls.min_version = TlsVersion::k13;
  listener.tls.profile = TlsProfile::kModern;
  listener.tls.redirect_http = true;
  listener.tls.hsts = hours(8760);
  return listener;
}

SidecarListener bytes(const std::string& directory) {
  SidecarListener listener{.service = "mail",
                           .clients = endpoint("203.0.113.10:993"),
                           .onward = endpoint("169.254.80.1:3")};
  listener.tls.certificates = {directory + "/example.com.pem"};
  listener.tls.http = false;
  listener.tls.proxy_protocol = true;
  return listener;
}

SidecarPlan plan_in(const std::string& directory, std::vector<SidecarListener> listeners) {
  return {.listeners = std::move(listeners),
          .stats_socket = directory + "/stats",
          .ticket_key_file = directory + "/tickets",
          .pid_file = directory + "/pid",
          .max_connections = 20'000,
          .threads = 2};
}

SidecarPlan full_plan(const std::string& directory) {
  return plan_in(directory, {web(directory), strict(directory), bytes(directory)});
}

std::string text_of(const SidecarPlan& plan) {
  const auto text = haproxy_config(plan);
  if (text) return *text;
  ADD_FAILURE() << text.error().message;
  return "";
}

std::string text_of(const SidecarListener& listener) {
  return text_of(plan_in("/d", {listener}));
}

// When it is meant to differ, what the failure shows is the new file.
TEST(HaproxyConfig, IsTheGoldenOne) {
  const auto golden = read_text_file(PENSTOCK_GOLDEN "/haproxy.cfg");
  ASSERT_TRUE(golden) << golden.error().message();
  EXPECT_EQ(text_of(full_plan("/run/penstock/sidecar")), *golden);
}

TEST(HaproxyConfig, IsEqualWhateverTheOrderOfServices) {
  SidecarPlan other = full_plan("/d");
  std::reverse(other.listeners.begin(), other.listeners.end());
  EXPECT_EQ(text_of(other), text_of(full_plan("/d")));
}

TEST(HaproxyConfig, KeepsTheOrderOfCertificatesSinceTheFirstIsTheDefault) {
  SidecarListener listener = web("/d");
  listener.tls.certificates = {"/d/z.pem", "/d/a.pem"};
  EXPECT_THAT(text_of(listener), HasSubstr(" ssl crt /d/z.pem crt /d/a.pem "));
}

TEST(HaproxyConfig, OffersHttpForHttpOnly) {
  EXPECT_THAT(text_of(web("/d")),
              AllOf(HasSubstr(" alpn h2,http/1.1 "), HasSubstr("frontend tls.web from http\n")));
  EXPECT_THAT(text_of(bytes("/d")),
              AllOf(Not(HasSubstr("alpn")), Not(HasSubstr("forwardfor")),
                    HasSubstr("frontend tls.mail from tcp\n"),
                    HasSubstr("backend onward.mail from tcp\n"), HasSubstr(" send-proxy-v2\n")));
}

TEST(HaproxyConfig, DemandsTls13ForTheVersionAndForTheModernProfile) {
  SidecarListener listener = web("/d");
  EXPECT_THAT(text_of(listener), HasSubstr(" ssl-min-ver TLSv1.2 "));
  listener.tls.min_version = TlsVersion::k13;
  EXPECT_THAT(text_of(listener), HasSubstr(" ssl-min-ver TLSv1.3 "));
  listener.tls.min_version = TlsVersion::k12;
  listener.tls.profile = TlsProfile::kModern;
  EXPECT_THAT(text_of(listener), HasSubstr(" ssl-min-ver TLSv1.3 "));
}

TEST(HaproxyConfig, RedirectsToTheTlsPortWhenItIsNotThatOfHttps) {
  SidecarListener listener = web("/d");
  EXPECT_THAT(text_of(listener), Not(HasSubstr("redirect")));
  listener.tls.redirect_http = true;
  EXPECT_THAT(text_of(listener), AllOf(HasSubstr("bind 203.0.113.10:80 transparent\n"),
                                       HasSubstr("https://%[req.hdr(host),host_only] code 308\n")));
  listener.clients.port = 8443;
  EXPECT_THAT(text_of(listener), HasSubstr("https://%[req.hdr(host),host_only]:8443 code 308\n"));
}

TEST(HaproxyConfig, HasNoLineThatANameWouldMake) {
  SidecarListener listener = web("/d");
  listener.service = "a\nglobal\r\n # {x} \xff";
  const std::string text = text_of(listener);
  EXPECT_THAT(text, HasSubstr("# Service \"a\\nglobal\\r\\n # {x} \\xff\".\n"));
  EXPECT_THAT(text, HasSubstr("frontend tls.a:0aglobal:0d:0a:20:23:20:7bx:7d:20:ff from http\n"));
  EXPECT_THAT(text.substr(text.find("\nglobal") + 1), Not(HasSubstr("\nglobal")));
}

TEST(HaproxyConfig, NamesNoTwoServicesAlike) {
  EXPECT_EQ(tls_frontend("web-1_a.b"), "tls.web-1_a.b");
  EXPECT_EQ(tls_frontend("a b"), "tls.a:20b");
  EXPECT_EQ(tls_frontend("a:20b"), "tls.a:3a20b");
}

TEST(HaproxyConfig, RefusesPathsThatWouldBreakTheirLine) {
  const auto fault = [](const std::string& path) {
    SidecarListener listener = web("/d");
    listener.tls.certificates.push_back(path);
    const auto text = haproxy_config(plan_in("/d", {listener}));
    return text ? "" : text.error().message;
  };
  const std::string expected = "expected an absolute path without control characters";
  EXPECT_EQ(fault("/a\nglobal"), "found \"/a\\nglobal\", " + expected);
  EXPECT_EQ(fault("a.pem"), "found \"a.pem\", " + expected);
  EXPECT_THAT(fault(""), HasSubstr(expected));
  EXPECT_EQ(fault("/a \"b\" 'c' \\d $e #f {g}.pem"), "");
  for (auto path :
       {&SidecarPlan::stats_socket, &SidecarPlan::ticket_key_file, &SidecarPlan::pid_file}) {
    SidecarPlan plan = full_plan("/d");
    plan.*path = "/x\r";
    EXPECT_FALSE(haproxy_config(plan));
  }
}

// What HAProxy says of it.
class HaproxyItself : public ::testing::Test {
 protected:
  HaproxyItself() {
    std::string pattern = testing::TempDir() + "penstock-haproxy-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    const sys_seconds now = std::chrono::floor<seconds>(std::chrono::system_clock::now());
    const auto made = make_certificate(
        {"example.com", "DNS:example.com", now - days(1), now + days(1), false}, make_ecdsa_key());
    pem_ = pem_of(made.certificate) + pem_of(made.key);
    write("example.com.pem");
    write("example.org.pem");
    const std::string key(107, 'A');  // 80 bytes of zeros
    std::ofstream(directory_ + "/tickets") << key << "=\n" << key << "=\n" << key << "=\n";
  }
  ~HaproxyItself() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& name) { std::ofstream(directory_ + "/" + name) << pem_; }

  // All that it says; its last line tells whether it is content.
  std::string judge(const SidecarPlan& plan) {
    std::ofstream(directory_ + "/haproxy.cfg") << text_of(plan);
    const std::string command =
        fmt::format("PATH=$PATH:/usr/sbin haproxy -c -f {}/haproxy.cfg 2>&1", directory_);
    FILE* output = popen(command.c_str(), "r");
    std::string said;
    for (int c = 0; (c = std::fgetc(output)) != EOF;) said += static_cast<char>(c);
    return said + fmt::format("status {}", pclose(output));
  }

  static constexpr const char* kContent = "Configuration file is valid\nstatus 0";

  std::string directory_;
  std::string pem_;
};

TEST_F(HaproxyItself, TakesThemWithoutAWarning) {
  EXPECT_EQ(judge(full_plan(directory_)), kContent);
}

TEST_F(HaproxyItself, TakesThemWithoutAService) {
  EXPECT_EQ(judge(plan_in(directory_, {})), kContent);
}

TEST_F(HaproxyItself, TakesNamesAndPathsOfAnyCharacters) {
  SidecarListener listener = strict(directory_);
  listener.service = "a b\n\xc3\xa4'\"\\${x}#";
  listener.tls.certificates = {directory_ + "/it's \"a\" \\path of $HOME, #1 {%[x]}.pem"};
  write("it's \"a\" \\path of $HOME, #1 {%[x]}.pem");
  EXPECT_EQ(judge(plan_in(directory_, {listener})), kContent);
}

TEST_F(HaproxyItself, TakesAsManyCertificatesAsAServiceCanHave) {
  SidecarListener listener = strict(directory_);
  listener.tls.certificates.clear();
  for (int i = 0; i < 24; i++) {
    listener.tls.certificates.push_back(fmt::format("{}/{}.pem", directory_, i));
    write(fmt::format("{}.pem", i));
  }
  EXPECT_EQ(judge(plan_in(directory_, {listener})), kContent);
}

TEST_F(HaproxyItself, RefusesACertificateThatIsNotThere) {
  SidecarListener listener = web(directory_);
  listener.tls.certificates.push_back(directory_ + "/nothing.pem");
  EXPECT_THAT(judge(plan_in(directory_, {listener})),
              AllOf(HasSubstr("nothing.pem"), HasSubstr("status 256")));
}

}  // namespace
}  // namespace penstock
