// SPDX-License-Identifier: Apache-2.0
// [service.tls] and `sidecar`: what they give, and what is said about those that are wrong.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/config/parse.h"
#include "controlplane/config/tls.h"
#include "tests/unit/config_faults.h"

namespace penstock {
namespace {

using std::chrono::hours;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const std::string kCertificates = "certificates = [\"/etc/tls/a.pem\"]\n";

// A service of 203.0.113.10, or of another address.
std::string service(const std::string& name, int port, const std::string& more = "",
                    const std::string& address = "203.0.113.10") {
  return fmt::format("[[service]]\nname = \"{}\"\naddress = \"{}\"\nport = {}\n{}", name, address,
                     port, more);
}

std::string tls(const std::string& text = "") {
  return "[service.tls]\n" + kCertificates + text;
}

// The one fault of a service that is good but for `text` in its table [service.tls].
std::string fault_in_tls(const std::string& text) {
  return one_fault(kDataplane + service("web", 80) + tls(text));
}

Tls good_tls(const std::string& text) {
  const auto result = parse_config({{"edge.toml", kDataplane + service("web", 80) + text}});
  if (result && result->services[0].tls) return *result->services[0].tls;
  ADD_FAILURE() << (result ? "no tls" : to_string(result.error().front()));
  return {};
}

TEST(ConfigTls, IsLeftOutUnlessThereIsATable) {
  const auto config = parse_config({{"edge.toml", kDataplane + service("web", 80)}});
  ASSERT_TRUE(config);
  EXPECT_FALSE(config->services[0].tls);
  EXPECT_EQ(config->sidecar, SidecarKind::kHaproxy);
}

TEST(ConfigTls, NamesTheNetworkNamespaceOfTheSidecar) {
  const auto config = [](const std::string& line) {
    return parse_config({{"edge.toml", line + kDataplane + service("web", 80)}});
  };
  EXPECT_EQ(config("")->sidecar_namespace, "penstock-tls");
  EXPECT_EQ(config("sidecar_namespace = \"edge_2\"\n")->sidecar_namespace, "edge_2");
  for (const char* name : {"a b", "../etc", "a;b"}) {
    const auto refused = config(fmt::format("sidecar_namespace = \"{}\"\n", name));
    ASSERT_FALSE(refused) << name;
    EXPECT_THAT(to_string(refused.error().front()), HasSubstr("letters, digits, - and _"));
  }
}

TEST(ConfigTls, TakesOneOfTheEightInterfaces) {
  const std::string eight =
      "[dataplane]\ninterfaces = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\"]\n";
  EXPECT_TRUE(parse_config({{"edge.toml", eight + service("web", 80)}}));
  EXPECT_THAT(one_fault(eight + service("web", 80) + tls()), HasSubstr("at most 7 interfaces"));
}

TEST(ConfigTls, HasADefaultForAllButTheCertificates) {
  Tls expected;
  expected.certificates = {"/etc/tls/a.pem"};
  EXPECT_EQ(good_tls(tls()), expected);
  EXPECT_EQ(expected.port, 443);
  EXPECT_EQ(expected.min_version, TlsVersion::k12);
  EXPECT_TRUE(expected.http);
  EXPECT_FALSE(expected.redirect_http);
}

TEST(ConfigTls, TakesEveryKeyOfAnHttpService) {
  const Tls found = good_tls(R"([service.tls]
port = 8443
certificates = ["/etc/tls/b.pem", "/etc/tls/a b.pem"]
min_version = "1.3"
profile = "intermediate"
http = true
redirect_http = true
hsts = "8760h"
proxy_protocol = false
acme = "h1"
[[service.backend]]
name = "h1"
address = "10.0.0.1:3000"
)");
  const Tls expected{.port = 8443,
                     .certificates = {"/etc/tls/b.pem", "/etc/tls/a b.pem"},
                     .min_version = TlsVersion::k13,
                     .redirect_http = true,
                     .hsts = hours(8760),
                     .acme = "h1"};
  EXPECT_EQ(found, expected);
}

TEST(ConfigTls, TakesProxyProtocolWithoutHttp) {
  const Tls found = good_tls(tls("http = false\nproxy_protocol = true\n"));
  EXPECT_FALSE(found.http);
  EXPECT_TRUE(found.proxy_protocol);
}

TEST(ConfigTls, TakesModernForTls13Only) {
  EXPECT_EQ(good_tls(tls("profile = \"modern\"\n")).min_version, TlsVersion::k13);
  EXPECT_EQ(good_tls(tls("profile = \"modern\"\nmin_version = \"1.3\"\n")).profile,
            TlsProfile::kModern);
  EXPECT_THAT(fault_in_tls("profile = \"modern\"\nmin_version = \"1.2\"\n"),
              AllOf(HasSubstr("edge.toml:10:15: service.tls.min_version"),
                    HasSubstr("modern is TLS 1.3 only: leave min_version out")));
}

TEST(ConfigTls, GoesWithModesNatAndDnatOfBothFamilies) {
  EXPECT_THAT(faults(kDataplane + service("a", 80, "mode = \"dnat\"\n") + tls() +
                     service("b", 80, "", "2001:db8::10") + tls()),
              IsEmpty());
}

TEST(ConfigTls, TakesAnotherSidecarThatHasItsOwnCertificates) {
  const auto config = parse_config(
      {{"edge.toml", "sidecar = \"none\"\n" + kDataplane + service("web", 80) + "tls = {}\n"}});
  ASSERT_TRUE(config) << to_string(config.error().front());
  EXPECT_EQ(config->sidecar, SidecarKind::kNone);
  EXPECT_THAT(config->services[0].tls->certificates, IsEmpty());
  EXPECT_THAT(faults("sidecar = \"haproxy\"\n" + kDataplane), IsEmpty());
}

// Faults of one key.

TEST(ConfigTls, RefusesASidecarThatIsNone) {
  EXPECT_THAT(
      faults("sidecar = \"hapoxy\"\n" + kDataplane),
      ElementsAre("edge.toml:1:11: sidecar: found \"hapoxy\", expected \"haproxy\" or \"none\", "
                  "did you mean \"haproxy\"?"));
}

TEST(ConfigTls, RefusesASidecarInAFragment) {
  const auto config = parse_config({{"p.toml", kDataplane}, {"a.toml", "sidecar = \"none\"\n"}});
  ASSERT_FALSE(config);
  EXPECT_EQ(to_string(config.error()[0]), "a.toml:1:11: sidecar: belongs in the main file");
}

TEST(ConfigTls, NamesTheKeyThatAnUnknownOneMayHaveMeant) {
  EXPECT_THAT(fault_in_tls("redirect_htp = true\n"),
              HasSubstr("service.tls.redirect_htp: is not a key here, did you mean "
                        "\"redirect_http\"?"));
}

TEST(ConfigTls, RefusesValuesOfAnotherKind) {
  EXPECT_THAT(fault_in_tls("port = 0\n"), HasSubstr("expected a whole number from 1 to 65535"));
  EXPECT_THAT(fault_in_tls("min_version = \"1.1\"\n"), HasSubstr("expected \"1.2\" or \"1.3\""));
  EXPECT_THAT(fault_in_tls("profile = \"old\"\n"),
              HasSubstr("expected \"intermediate\" or \"modern\""));
  EXPECT_THAT(fault_in_tls("hsts = \"365d\"\n"), HasSubstr("or \"0s\" for none"));
  EXPECT_THAT(fault_in_tls("hsts = \"1500ms\"\n"), HasSubstr("expected whole seconds"));
}

TEST(ConfigTls, AsksForACertificate) {
  const std::string found = "name at least one certificate, such as certificates = [\"/etc/";
  EXPECT_THAT(
      faults(kDataplane + service("web", 80) + "[service.tls]\ncertificates = []\n"),
      ElementsAre(AllOf(StartsWith("edge.toml:8:16: service.tls.certificates"), HasSubstr(found))));
  EXPECT_THAT(faults(kDataplane + service("web", 80) + "[service.tls]\n"),
              ElementsAre(HasSubstr(found)));
}

TEST(ConfigTls, RefusesCertificatePathsThatAreNone) {
  const auto fault = [](const std::string& list) {
    const auto found =
        faults(kDataplane + service("web", 80) + "[service.tls]\ncertificates = [" + list + "]\n");
    return found.size() == 1 ? found[0] : testing::PrintToString(found);
  };
  EXPECT_THAT(fault("\"a.pem\""), HasSubstr("found \"a.pem\", expected an absolute path"));
  EXPECT_THAT(fault("\"\""), HasSubstr("found \"\", expected an absolute path"));
  EXPECT_THAT(fault("\"/a\\nb\""), HasSubstr("\"/a\\nb\" has a line break"));
  EXPECT_THAT(fault("\"/a\", \"/b\", \"/a\""), HasSubstr("\"/a\" is named twice"));
  std::string many;
  for (int i = 0; i < 24; i++) many += fmt::format("\"/{}\", ", i);
  EXPECT_THAT(fault(many), StartsWith("{}"));
  EXPECT_THAT(fault(many + "\"/24\""), HasSubstr("25 are more than the 24"));
}

// Faults between keys.

TEST(ConfigTls, RefusesKeysOfHttpWithoutIt) {
  EXPECT_THAT(fault_in_tls("http = false\nredirect_http = true\n"),
              AllOf(HasSubstr("redirect_http"), HasSubstr("needs http = true")));
  EXPECT_THAT(fault_in_tls("http = false\nhsts = \"1h\"\n"), HasSubstr("needs http = true"));
  EXPECT_THAT(fault_in_tls("http = false\nhsts = \"0s\"\n"), StartsWith("{}"));
}

TEST(ConfigTls, RefusesProxyProtocolWithHttp) {
  EXPECT_THAT(fault_in_tls("proxy_protocol = true\n"),
              AllOf(HasSubstr("needs http = false"), HasSubstr("X-Forwarded-For")));
}

TEST(ConfigTls, RefusesProtocolsAndModesWhoseAnswersPassTheSidecarBy) {
  EXPECT_THAT(faults(kDataplane + service("dns", 80, "protocol = \"udp\"\n") + tls()),
              ElementsAre(AllOf(HasSubstr("edge.toml:8:1: service.tls"),
                                HasSubstr("service \"dns\" is for udp"))));
  for (const char* mode : {"dsr", "tunnel"}) {
    EXPECT_THAT(
        faults(kDataplane + service("web", 80, fmt::format("mode = \"{}\"\n", mode)) + tls()),
        ElementsAre(HasSubstr(fmt::format("needs mode nat or dnat, found mode {}", mode))));
  }
}

TEST(ConfigTls, RefusesAPortThatAServiceHas) {
  EXPECT_THAT(faults(kDataplane + service("web", 443) + tls()),
              ElementsAre(AllOf(StartsWith("edge.toml:7:1: service.tls.port: 203.0.113.10:443 is "
                                           "taken by service \"web\" at edge.toml:5"),
                                HasSubstr("choose another port"))));
  EXPECT_THAT(faults(kDataplane + service("web", 80) + tls("port = 8443\n") + service("api", 8443)),
              ElementsAre(AllOf(StartsWith("edge.toml:9:8: service.tls.port"),
                                HasSubstr("service \"api\" at edge.toml:12"))));
}

TEST(ConfigTls, RefusesAPortThatAnotherTlsHas) {
  EXPECT_THAT(faults(kDataplane + service("a", 80) + tls() + service("b", 81) + tls()),
              ElementsAre(AllOf(HasSubstr("edge.toml:13:1: service.tls.port"),
                                HasSubstr("TLS of service \"a\" at edge.toml:7"))));
}

TEST(ConfigTls, TakesPortsOfAnotherAddressOrProtocolForOthers) {
  EXPECT_THAT(faults(kDataplane + service("web", 80) + tls("redirect_http = true\n") +
                     service("quic", 443, "protocol = \"udp\"\n") +
                     service("udp", 80, "protocol = \"udp\"\n") +
                     service("other", 443, "", "203.0.113.11")),
              IsEmpty());
}

TEST(ConfigTls, RedirectsAtPort80OfItsOwnServiceOrOfNone) {
  const std::string redirect = tls("redirect_http = true\n");
  EXPECT_THAT(faults(kDataplane + service("web", 80) + redirect), IsEmpty());
  EXPECT_THAT(faults(kDataplane + service("web", 8080) + redirect), IsEmpty());
  EXPECT_THAT(faults(kDataplane + service("web", 8080) + redirect + service("old", 80)),
              ElementsAre(AllOf(StartsWith("edge.toml:9:17: service.tls.redirect_http"),
                                HasSubstr("203.0.113.10:80 is taken by service \"old\""),
                                HasSubstr("leave redirect_http out"))));
}

TEST(ConfigTls, RefusesASecondRedirectAtAnAddress) {
  EXPECT_THAT(faults(kDataplane + service("a", 8080) + tls("redirect_http = true\n") +
                     service("b", 8081) + tls("redirect_http = true\nport = 8443\n")),
              ElementsAre(HasSubstr("taken by redirect_http of service \"a\"")));
  EXPECT_THAT(faults(kDataplane + service("a", 8080) + tls("redirect_http = true\nport = 80\n")),
              ElementsAre(HasSubstr("203.0.113.10:80 is taken by TLS of service \"a\"")));
}

TEST(ConfigTls, FindsTheAcmeBackendByNameOrAddress) {
  const std::string backends =
      "[[service.backend]]\nname = \"10.0.0.2:80\"\naddress = \"10.0.0.1:80\"\n"
      "[[service.backend]]\nname = \"h2\"\naddress = \"10.0.0.2:80\"\n"
      "[[service.backend]]\nname = \"h3\"\naddress = \"10.0.0.3:80\"\n";
  const auto found = [&](const std::string& name) {
    const std::string text = tls("redirect_http = true\nacme = \"" + name + "\"\n") + backends;
    const auto config = parse_config({{"edge.toml", kDataplane + service("web", 80) + text}});
    if (!config) return to_string(config.error().front());
    return to_string(find_acme_backend(config->services[0])->endpoint);
  };
  EXPECT_EQ(found("h2"), "10.0.0.2:80");
  EXPECT_EQ(found("10.0.0.2:80"), "10.0.0.1:80") << "a name goes before an address";
  EXPECT_EQ(found("10.0.0.3:80"), "10.0.0.3:80");
  EXPECT_THAT(found("h33"), AllOf(StartsWith("edge.toml:10:8: service.tls.acme"),
                                  HasSubstr("has no backend \"h33\""), HasSubstr("did you mean")));
}

TEST(ConfigTls, RefusesAcmeWithoutAListenerForChallenges) {
  EXPECT_THAT(faults(kDataplane + service("web", 80) + tls("acme = \"10.0.0.1:80\"\n") +
                     "[[service.backend]]\naddress = \"10.0.0.1:80\"\n"),
              ElementsAre(AllOf(HasSubstr("service.tls.acme: needs redirect_http = true"),
                                HasSubstr("port 80"))));
}

}  // namespace
}  // namespace penstock
