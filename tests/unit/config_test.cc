// SPDX-License-Identifier: Apache-2.0
// What a file gives, and what is said about one that is wrong.
#include "controlplane/config/config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/config/parse.h"
#include "tests/unit/config_faults.h"

namespace penstock {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

const std::string kService = "[[service]]\nname = \"web\"\naddress = \"203.0.113.10\"\nport = 80\n";

// The one fault of a file that is good but for `text`, which stands in the named table.
std::string fault_in_dataplane(const std::string& text) {
  return one_fault(kDataplane + text);
}

std::string fault_in_service(const std::string& text) {
  return one_fault(kDataplane + kService + text);
}

Config good(const std::string& text) {
  const auto result = parse_config({{"edge.toml", text}});
  if (result) return *result;
  ADD_FAILURE() << to_string(result.error().front());
  return {};
}

TEST(Config, HasADefaultForAllButTheInterface) {
  Config expected;
  expected.dataplane.interfaces = {"eth0"};
  EXPECT_EQ(good(kDataplane), expected);
}

TEST(Config, TakesEveryKeyOfTheAppliance) {
  const Config config = good(R"(
[appliance]
name = "edge-1"
hash_seed = "any string"
[dataplane]
driver = "xdp"
interfaces = ["eth0", "eth1"]
snat_addresses = ["10.0.0.254", "2001:db8::254"]
snat_ports = "20000-20000"
flow_table_entries = 1_024
max_services = 2
max_backends = 32767
affinity_tables = 2
affinity_entries = 1000
access_nodes = 16
pin_path = "/run/bpf/penstock"
[dataplane.flow_timeouts]
tcp_half_open = "500ms"
tcp_established = "2h"
tcp_closing = "5s"
udp_half_open = "1m"
udp_established = "7m"
[control]
socket = "/run/p.sock"
state_directory = "/var/lib/p"
)");
  EXPECT_EQ(config.appliance.name, "edge-1");
  EXPECT_EQ(config.appliance.hash_seed, "any string");
  const DataplaneConfig& dataplane = config.dataplane;
  EXPECT_THAT(dataplane.interfaces, ElementsAre("eth0", "eth1"));
  EXPECT_THAT(dataplane.snat_addresses, ElementsAre(IpAddress::parse("10.0.0.254").value(),
                                                    IpAddress::parse("2001:db8::254").value()));
  EXPECT_EQ(dataplane.snat_ports, (PortRange{20000, 20000}));
  EXPECT_EQ(dataplane.flow_table_entries, 1024u);
  EXPECT_EQ(dataplane.max_services, 2u);
  EXPECT_EQ(dataplane.max_backends, 32767u);
  EXPECT_EQ(dataplane.affinity_tables, 2u);
  EXPECT_EQ(dataplane.affinity_entries, 1000u);
  EXPECT_EQ(dataplane.access_nodes, 16u);
  EXPECT_EQ(dataplane.pin_path, "/run/bpf/penstock");
  EXPECT_EQ(dataplane.flow_timeouts, (FlowTimeouts{.tcp_half_open = milliseconds(500),
                                                   .tcp_established = minutes(120),
                                                   .tcp_closing = seconds(5),
                                                   .udp_half_open = minutes(1),
                                                   .udp_established = minutes(7)}));
  EXPECT_EQ(config.control.socket, "/run/p.sock");
  EXPECT_EQ(config.control.state_directory, "/var/lib/p");
}

TEST(Config, TakesEveryKeyOfAService) {
  const Config config = good(kDataplane + R"(
[[service]]
name = "web"
address = "2001:db8:113::10"
port = 443
protocol = "tcp"
mode = "nat"
client_prefix = { ipv4 = 24, ipv6 = 64 }
affinity = { idle = "90s", drain_deadline = "4h" }
allow = ["2001:db8:1::/48", "2001:db8:2::7"]
deny = ["::/0"]
new_flows = { per_second = 100000, burst = 500000, prefix = { ipv4 = 24, ipv6 = 56 } }
all_down = "last_known"
announce = false
[service.health]
type = "http"
path = "/healthz"
host = "web.example"
port = 8080
interval = "4s"
timeout = "4s"
rise = 1
fall = 100
[[service.backend]]
name = "h1-a"
address = "[2001:db8::1]:3000"
weight = 1000
drain = true
[[service.backend]]
address = "[2001:db8::2]:3000"
)");
  ASSERT_THAT(config.services, SizeIs(1));
  ServiceConfig web{.name = "web", .vip = Endpoint::parse("[2001:db8:113::10]:443").value()};
  web.client_prefix = {.ipv4 = 24, .ipv6 = 64};
  web.affinity = {.idle = seconds(90), .drain_deadline = minutes(240)};
  web.access = {
      {IpPrefix::parse("2001:db8:1::/48").value(), IpPrefix::parse("2001:db8:2::7").value()},
      {IpPrefix::parse("::/0").value()}};
  web.new_flows = {.per_second = 100'000, .burst = 500'000, .prefix = {.ipv4 = 24, .ipv6 = 56}};
  web.all_down = AllDownPolicy::kLastKnown;
  web.announce = false;
  web.health = {.type = HealthCheckType::kHttp,
                .path = "/healthz",
                .host = "web.example",
                .port = 8080,
                .interval = seconds(4),
                .timeout = seconds(4),
                .rise = 1,
                .fall = 100};
  web.backends = {{"h1-a", Endpoint::parse("[2001:db8::1]:3000").value(), 1000, true},
                  {"[2001:db8::2]:3000", Endpoint::parse("[2001:db8::2]:3000").value(), 1, false}};
  EXPECT_EQ(config.services[0], web);
}

TEST(Config, ProbesTcpServicesByDefaultAndUdpServicesNot) {
  EXPECT_EQ(good(kDataplane + kService).services[0].health.type, HealthCheckType::kTcp);
  EXPECT_EQ(good(kDataplane + kService + "protocol = \"udp\"\n").services[0].health.type,
            HealthCheckType::kNone);
}

TEST(Config, AllowsAServiceWithoutBackendsAndOneNameInTwoServices) {
  const std::string backend = "[[service.backend]]\nname = \"h1\"\naddress = \"10.0.0.1:80\"\n";
  EXPECT_THAT(faults(kDataplane + kService), IsEmpty());
  EXPECT_THAT(faults(kDataplane + kService + backend +
                     "[[service]]\nname = \"dns\"\naddress = \"203.0.113.10\"\nport = 80\n"
                     "protocol = \"udp\"\n" +
                     backend),
              IsEmpty());
}

TEST(Config, KeepsClientsForHalfAnHourWithoutADeadlineUnlessToldOtherwise) {
  const auto affinity = good(kDataplane + kService + "affinity = {}\n").services[0].affinity;
  EXPECT_EQ(affinity, (AffinityConfig{.idle = minutes(30), .drain_deadline = std::nullopt}));
  EXPECT_FALSE(good(kDataplane + kService).services[0].affinity);
}

TEST(Config, WantsTwoAffinityTablesForEachServiceWithAffinity) {
  const std::string service = kService + "affinity = {}\n";
  EXPECT_THAT(faults(kDataplane + "affinity_tables = 2\n" + service), IsEmpty());
  EXPECT_THAT(faults(kDataplane + "affinity_tables = 1\n" + service),
              ElementsAre(HasSubstr("1 services with affinity need affinity_tables = 2 or more")));
}

TEST(Config, LimitsNewFlowsOfAnAddressToABurstOfASecondUnlessToldOtherwise) {
  const ServiceConfig service =
      good(kDataplane + kService + "new_flows = { per_second = 7 }\n").services[0];
  EXPECT_EQ(service.new_flows,
            (NewFlowsConfig{.per_second = 7, .burst = 7, .prefix = {.ipv4 = 32, .ipv6 = 64}}));
  EXPECT_FALSE(good(kDataplane + kService).services[0].new_flows);
}

// Faults of one key.

TEST(Config, SaysWhereAFaultIsWhatWasFoundAndWhatIsAccepted) {
  EXPECT_THAT(faults(kDataplane + kService + "[service.health]\ninterval = \"2\"\n"),
              ElementsAre("edge.toml:8:12: service.health.interval: found \"2\", expected a "
                          "duration such as \"500ms\", \"2s\", \"5m\" or \"2h\", at most "
                          "a year"));
}

TEST(Config, NamesTheKeyThatAnUnknownOneMayHaveMeant) {
  EXPECT_THAT(faults(kDataplane + "snat_prots = \"20000-30000\"\n"),
              ElementsAre("edge.toml:3:1: dataplane.snat_prots: is not a key here, did you mean "
                          "\"snat_ports\"?"));
  EXPECT_THAT(faults(kDataplane + "[[servce]]\n"),
              ElementsAre(AllOf(HasSubstr("edge.toml:3"), HasSubstr("did you mean \"service\"?"))));
  EXPECT_EQ(fault_in_dataplane("colour = 1\n"),
            "edge.toml:3:1: dataplane.colour: is not a key here");
}

TEST(Config, RefusesValuesOfAnotherKind) {
  EXPECT_THAT(fault_in_dataplane("max_services = \"many\"\n"),
              HasSubstr("found \"many\", expected a whole number from 2 to 4096"));
  EXPECT_THAT(fault_in_dataplane("pin_path = 5\n"), HasSubstr("found 5, expected a text"));
  EXPECT_THAT(fault_in_dataplane("pin_path = \"\"\n"), HasSubstr("is empty"));
  EXPECT_THAT(fault_in_dataplane("flow_timeouts = 2.5\n"),
              HasSubstr("found 2.5, expected a table [dataplane.flow_timeouts]"));
  EXPECT_THAT(fault_in_dataplane("flow_timeouts = { tcp_established = \"2999ms\" }\n"),
              HasSubstr("flow_timeouts.tcp_established: is shorter than 3000 ms"));
  EXPECT_THAT(fault_in_dataplane("flow_timeouts = { tcp_closing = \"1999ms\" }\n"),
              HasSubstr("flow_timeouts.tcp_closing: is shorter than 2000 ms"));
  EXPECT_THAT(fault_in_dataplane("flow_timeouts = { udp_half_open = \"169h\" }\n"),
              HasSubstr("flow_timeouts.udp_half_open: is longer than 168h"));
  EXPECT_THAT(fault_in_service("announce = \"yes\"\n"),
              HasSubstr("found \"yes\", expected true or false"));
  EXPECT_THAT(fault_in_service("backend = [\"10.0.0.1:80\"]\n"),
              HasSubstr("found an array, expected tables [[service.backend]]"));
  EXPECT_THAT(faults("[dataplane]\ninterfaces = \"eth0\"\n"),
              ElementsAre(HasSubstr("found \"eth0\", expected an array of texts")));
}

TEST(Config, RefusesNumbersOutOfTheirRange) {
  EXPECT_THAT(fault_in_dataplane("flow_table_entries = 1023\n"), HasSubstr("1024 to 16777216"));
  EXPECT_THAT(fault_in_dataplane("flow_table_entries = 16777217\n"), HasSubstr("found 16777217"));
  EXPECT_THAT(fault_in_dataplane("max_backends = 32768\n"), HasSubstr("2 to 32767"));
  EXPECT_THAT(fault_in_service("client_prefix = { ipv4 = 33 }\n"), HasSubstr("1 to 32"));
  EXPECT_THAT(fault_in_service("affinity = { idle = \"1500ms\" }\n"), HasSubstr("whole seconds"));
  EXPECT_THAT(fault_in_service("affinity = { idle = \"9000h\" }\n"), HasSubstr("at most a year"));
  EXPECT_THAT(fault_in_service("client_prefix = { ipv6 = 0 }\n"), HasSubstr("1 to 128"));
  EXPECT_THAT(fault_in_service("new_flows = { per_second = 0 }\n"), HasSubstr("1 to 100000"));
  EXPECT_THAT(fault_in_service("new_flows = { per_second = 1, burst = 500001 }\n"),
              HasSubstr("1 to 500000"));
  EXPECT_THAT(fault_in_service("new_flows = { per_second = 1, prefix = { ipv4 = 0 } }\n"),
              HasSubstr("service.new_flows.prefix.ipv4: found 0, expected"));
  EXPECT_THAT(fault_in_service("[[service.backend]]\naddress = \"10.0.0.1:80\"\nweight = 1001\n"),
              HasSubstr("0 to 1000"));
  EXPECT_THAT(fault_in_service("[service.health]\nrise = 0\n"), HasSubstr("1 to 100"));
  EXPECT_THAT(fault_in_service("[service.health]\nport = 65536\n"), HasSubstr("1 to 65535"));
}

TEST(Config, RefusesPrefixesThatAreNone) {
  for (const char* text : {"198.51.100.7/24", "198.51.100.0/33", "198.51.100.0/", "", "web"}) {
    EXPECT_THAT(fault_in_service(fmt::format("deny = [\"{}\"]\n", text)),
                AllOf(HasSubstr(fmt::format("service.deny: found \"{}\", expected a prefix", text)),
                      HasSubstr("whose bits behind its length are zero")));
  }
}

TEST(Config, RefusesAccessRulesThatContradictOrHaveNoClients) {
  EXPECT_EQ(fault_in_service("allow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.0/8\"]\n"),
            "edge.toml:8:8: service.deny: 10.0.0.0/8 is in allow too: take it out of one of them");
  EXPECT_THAT(faults(kDataplane + kService + "allow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.0/9\"]\n"),
              IsEmpty());
  EXPECT_THAT(fault_in_service("allow = [\"2001:db8::/32\"]\n"),
              HasSubstr("service.allow: 2001:db8::/32 is IPv6, but service \"web\" is at "
                        "203.0.113.10:80, which is IPv4: it has no such clients"));
}

TEST(Config, RefusesLimitsThatCannotBeKept) {
  EXPECT_THAT(fault_in_service("new_flows = { burst = 7 }\n"),
              HasSubstr("service.new_flows.per_second: is missing"));
  EXPECT_THAT(fault_in_service("new_flows = { per_second = 8, burst = 7 }\n"),
              HasSubstr("service.new_flows.burst: 7 is less than per_second, 8"));
  const std::string limited = "new_flows = { per_second = 8 }\n";
  EXPECT_THAT(fault_in_service(limited + "mode = \"dsr\"\nprotocol = \"udp\"\n"),
              HasSubstr("service.new_flows: mode dsr keeps no flows"));
  EXPECT_THAT(faults(kDataplane + kService + limited + "mode = \"dsr\"\n"), IsEmpty());
  EXPECT_THAT(faults(kDataplane + kService + limited + "protocol = \"udp\"\n"), IsEmpty());
}

TEST(Config, RefusesDurationsWithoutUnitOrLength) {
  for (const char* text :
       {"2", "2d", "-1s", "0s", "s", "", "1.5s", "2 s", "99999999999999999999s"}) {
    EXPECT_THAT(fault_in_service(std::string("[service.health]\ninterval = \"") + text + "\"\n"),
                HasSubstr("expected a duration"))
        << text;
  }
}

TEST(Config, RefusesPortRangesThatAreNone) {
  for (const char* text : {"1023-2000", "2000-1999", "20000", "20000-", "-20000", "1-70000",
                           "20000-30000x", "20000 - 30000"}) {
    EXPECT_THAT(fault_in_dataplane(std::string("snat_ports = \"") + text + "\"\n"),
                HasSubstr("expected a range of ports from 1024 on"))
        << text;
  }
}

TEST(Config, RefusesWordsThatAreNoChoice) {
  EXPECT_THAT(fault_in_service("protocol = \"tpc\"\n"),
              HasSubstr("found \"tpc\", expected \"tcp\" or \"udp\", did you mean \"tcp\"?"));
  EXPECT_THAT(fault_in_service("all_down = \"drop\"\n"), HasSubstr("\"reject\" or \"last_known\""));
}

TEST(Config, LetsABackendOfModeDnatHaveAnotherPortButNotAnotherFamily) {
  const std::string dnat = kDataplane + kService + "mode = \"dnat\"\n[[service.backend]]\n";
  const Config config = good(dnat + "address = \"10.0.0.1:3000\"\n");
  EXPECT_EQ(config.services.at(0).mode, Mode::kDnat);
  EXPECT_THAT(
      fault_in_service("mode = \"dnat\"\n[[service.backend]]\naddress = \"[2001:db8::1]:3000\"\n"),
      HasSubstr("mode dnat keeps the family"));
}

TEST(Config, AsksForTheServicesPortWhereTheModeKeepsIt) {
  EXPECT_THAT(
      fault_in_service("mode = \"dsr\"\n[[service.backend]]\naddress = \"10.0.0.1:3000\"\n"),
      HasSubstr("mode dsr leaves ports as they are, and service \"web\" is at port 80: the "
                "instance has to listen there, so name 10.0.0.1:80"));
}

TEST(Config, HashesTheClientOrTheFlow) {
  EXPECT_EQ(good(kDataplane + kService).services.at(0).hash, HashOf::kClient);
  EXPECT_EQ(good(kDataplane + kService + "hash = \"flow\"\n").services.at(0).hash, HashOf::kFlow);
  EXPECT_THAT(fault_in_service("hash = \"port\"\n"), HasSubstr("\"client\" or \"flow\""));
}

TEST(Config, AnswersSynsInModeNatOnly) {
  const Config config = good(kDataplane + kService + "syn_cookies = true\n");
  EXPECT_TRUE(config.services.at(0).syn_cookies);
  EXPECT_THAT(fault_in_service("syn_cookies = true\nmode = \"dsr\"\n"),
              HasSubstr("service.syn_cookies: needs mode nat, found mode dsr"));
  EXPECT_THAT(fault_in_service("syn_cookies = true\nprotocol = \"udp\"\n"),
              HasSubstr("makes no sense for protocol udp"));
}

TEST(Config, ClampsSegmentsInATunnelOnly) {
  const Config config = good(kDataplane + kService + "clamp_mss = true\nmode = \"tunnel\"\n");
  EXPECT_TRUE(config.services.at(0).clamp_mss);
  EXPECT_THAT(fault_in_service("clamp_mss = true\n"),
              HasSubstr("service.clamp_mss: needs mode tunnel, found mode nat"));
  EXPECT_THAT(fault_in_service("clamp_mss = true\nmode = \"tunnel\"\nprotocol = \"udp\"\n"),
              HasSubstr("makes no sense for protocol udp"));
}

TEST(Config, LetsATunnelLeadToTheOtherFamily) {
  const std::string backend = "[[service.backend]]\naddress = \"[2001:db8::1]:80\"\n";
  const Config config = good(kDataplane + kService + "mode = \"tunnel\"\n" + backend);
  EXPECT_EQ(config.services.at(0).mode, Mode::kTunnel);
  EXPECT_THAT(fault_in_service("mode = \"dsr\"\n" + backend),
              HasSubstr("mode dsr keeps the family, so name an IPv4 address"));
}

TEST(Config, RefusesTunnelSourcesThatAreNone) {
  const Config config = good(
      "[dataplane]\ninterfaces = [\"eth0\"]\n"
      "tunnel_sources = [\"198.51.100.0/24\", \"2001:db8:99::/64\"]\n");
  EXPECT_EQ(config.dataplane.tunnel_sources.size(), 2u);
  EXPECT_THAT(fault_in_dataplane("tunnel_sources = [\"198.51.100.1/24\"]\n"),
              HasSubstr("found \"198.51.100.1/24\", expected a prefix"));
  EXPECT_THAT(fault_in_dataplane("tunnel_sources = [\"10.0.0.0/8\", \"192.0.2.0/24\"]\n"),
              HasSubstr("at most one IPv4 prefix"));
  EXPECT_THAT(fault_in_dataplane("tunnel_sources = [\"127.0.0.0/8\"]\n"),
              HasSubstr("not an address that other machines can reach"));
}

TEST(Config, RefusesAddressesThatAreNone) {
  EXPECT_THAT(fault_in_service("[[service.backend]]\naddress = \"10.0.0.1\"\n"),
              HasSubstr("found \"10.0.0.1\", expected an address and port"));
  EXPECT_THAT(fault_in_service("[[service.backend]]\naddress = \"10.0.0.1:0\"\n"),
              HasSubstr("expected an address and port"));
  EXPECT_THAT(fault_in_dataplane("snat_addresses = [\"10.0.0.300\"]\n"),
              HasSubstr("found \"10.0.0.300\", expected an address"));
}

TEST(Config, RefusesAddressesThatNoFrameCanReach) {
  for (const char* text : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1",
                           "ff02::1", "fe80::1", "::ffff:10.0.0.1"}) {
    EXPECT_THAT(
        faults(kDataplane + "[[service]]\nname = \"web\"\nport = 80\naddress = \"" + text + "\"\n"),
        ElementsAre(HasSubstr("other machines can reach")))
        << text;
  }
  EXPECT_THAT(fault_in_service("[[service.backend]]\naddress = \"127.0.0.1:80\"\n"),
              HasSubstr("other machines can reach"));
  EXPECT_THAT(fault_in_dataplane("snat_addresses = [\"::1\"]\n"),
              HasSubstr("other machines can reach"));
}

TEST(Config, NamesKeysThatAreMissing) {
  EXPECT_THAT(faults(kDataplane + "[[service]]\n"),
              ElementsAre("edge.toml:3:1: service.name: is missing",
                          "edge.toml:3:1: service.address: is missing",
                          "edge.toml:3:1: service.port: is missing"));
  EXPECT_THAT(fault_in_service("[[service.backend]]\nname = \"h1\"\n"),
              HasSubstr("service.backend.address: is missing"));
}

TEST(Config, RefusesNamesThatCannotBeSaidAtTheSocket) {
  EXPECT_THAT(fault_in_service("[[service.backend]]\nname = \"a/b\"\naddress = \"10.0.0.1:80\"\n"),
              HasSubstr("found \"a/b\", expected a name without \"/\""));
  EXPECT_THAT(fault_in_service("[[service.backend]]\nname = \"\"\naddress = \"10.0.0.1:80\"\n"),
              HasSubstr("service.backend.name: is empty"));
}

TEST(Config, RefusesASocketPathThatIsTooLong) {
  EXPECT_THAT(faults(kDataplane + "[control]\nsocket = \"/" + std::string(106, 's') + "\"\n"),
              IsEmpty());
  EXPECT_THAT(faults(kDataplane + "[control]\nsocket = \"/" + std::string(107, 's') + "\"\n"),
              ElementsAre(HasSubstr("control.socket: is longer than the 107 bytes")));
}

TEST(Config, RefusesProbesThatWouldBreakTheRequest) {
  EXPECT_THAT(fault_in_service("[service.health]\npath = \"healthz\"\n"),
              HasSubstr("expected a path such as \"/healthz\""));
  EXPECT_THAT(fault_in_service("[service.health]\npath = \"/a b\"\n"), HasSubstr("path"));
  EXPECT_THAT(fault_in_service("[service.health]\nhost = \"a\\r\\nX: y\"\n"),
              HasSubstr("has a space or a line break"));
}

TEST(Config, KeepsEveryFaultOnOneLine) {
  EXPECT_THAT(fault_in_service("protocol = \"t\\ncp\"\n"), HasSubstr("found \"t\\ncp\""));
  EXPECT_THAT(fault_in_service("\"no\\nkey\" = 1\n"), HasSubstr("service.no\\nkey: is not"));
  // What the TOML library says of it has the text as it is.
  EXPECT_THAT(faults("x = tr\nue\n"), ElementsAre(Not(HasSubstr("\n"))));
}

// Faults between keys.

TEST(Config, NeedsAnInterface) {
  EXPECT_THAT(faults(""), ElementsAre(AllOf(StartsWith("edge.toml: dataplane.interfaces"),
                                            HasSubstr("name at least one interface"))));
  EXPECT_THAT(faults("[dataplane]\ninterfaces = []\n"),
              ElementsAre(StartsWith("edge.toml:2:14: dataplane.interfaces")));
}

TEST(Config, RefusesInterfaceNamesThatTheKernelWould) {
  for (const char* name : {"", "sixteen-letters-", "a/b", "a b", "eth0:1", ".", ".."}) {
    EXPECT_THAT(faults(std::string("[dataplane]\ninterfaces = [\"") + name + "\"]\n"),
                ElementsAre(HasSubstr("1 to 15 characters")))
        << name;
  }
  EXPECT_THAT(faults("[dataplane]\ninterfaces = [\"eth0\", \"eth0\"]\n"),
              ElementsAre(HasSubstr("named twice")));
}

TEST(Config, RefusesASecondServiceOfTheName) {
  const auto found = faults(kDataplane + kService +
                            "[[service]]\nname = \"web\"\naddress = \"203.0.113.11\"\nport = 80\n");
  EXPECT_THAT(found, ElementsAre(AllOf(StartsWith("edge.toml:8:8: service.name: a service \"web\""),
                                       HasSubstr("edge.toml:4"))));
}

TEST(Config, RefusesASecondServiceOfTheAddressPortAndProtocol) {
  const std::string other = "[[service]]\nname = \"b\"\naddress = \"203.0.113.10\"\nport = 80\n";
  EXPECT_THAT(faults(kDataplane + kService + other),
              ElementsAre(AllOf(StartsWith("edge.toml:9:11: service.address"),
                                HasSubstr("tcp 203.0.113.10:80 is already served"))));
  EXPECT_THAT(faults(kDataplane + kService + other + "protocol = \"udp\"\n"), IsEmpty());
}

TEST(Config, RefusesASecondBackendOfTheNameOrAddress) {
  const std::string first = "[[service.backend]]\nname = \"h1\"\naddress = \"10.0.0.1:80\"\n";
  EXPECT_THAT(
      fault_in_service(first + "[[service.backend]]\nname = \"h1\"\naddress = \"10.0.0.2:80\"\n"),
      AllOf(HasSubstr("edge.toml:11:8"), HasSubstr("has a backend \"h1\" already")));
  EXPECT_THAT(
      fault_in_service(first + "[[service.backend]]\nname = \"h2\"\naddress = \"10.0.0.1:80\"\n"),
      AllOf(HasSubstr("edge.toml:12:11"), HasSubstr("has 10.0.0.1:80 already")));
}

TEST(Config, RefusesABackendOfTheOtherFamily) {
  EXPECT_THAT(fault_in_service("[[service.backend]]\naddress = \"[2001:db8::1]:80\"\n"),
              AllOf(HasSubstr("2001:db8::1 is IPv6"), HasSubstr("203.0.113.10, which is IPv4"),
                    HasSubstr("name an IPv4 address")));
}

TEST(Config, RefusesABackendAtAnyServicesAddress) {
  EXPECT_THAT(
      fault_in_service("[[service.backend]]\naddress = \"203.0.113.11:80\"\n"
                       "[[service]]\nname = \"b\"\naddress = \"203.0.113.11\"\nport = 80\n"),
      HasSubstr("203.0.113.11 is the address of service \"b\""));
}

TEST(Config, RefusesAVipThatIsASnatAddress) {
  EXPECT_THAT(faults("[dataplane]\ninterfaces = [\"eth0\"]\nsnat_addresses = [\"203.0.113.10\"]\n" +
                     kService),
              ElementsAre(HasSubstr("is one of dataplane.snat_addresses")));
}

TEST(Config, RefusesTooManySnatAddressesOfAFamily) {
  std::string list;
  for (int i = 1; i <= 16; i++) list += "\"10.0.0." + std::to_string(i) + "\", ";
  EXPECT_THAT(faults(kDataplane + "snat_addresses = [" + list + "\"2001:db8::1\"]\n"), IsEmpty());
  EXPECT_THAT(fault_in_dataplane("snat_addresses = [" + list + "\"10.0.0.17\"]\n"),
              HasSubstr("at most 16 IPv4 addresses"));
  EXPECT_THAT(fault_in_dataplane("snat_addresses = [\"10.0.0.1\", \"10.0.0.1\"]\n"),
              HasSubstr("10.0.0.1 is named twice"));
}

TEST(Config, RefusesATimeoutLongerThanTheInterval) {
  EXPECT_THAT(fault_in_service("[service.health]\ninterval = \"1s\"\ntimeout = \"1001ms\"\n"),
              AllOf(HasSubstr("service.health.timeout"), HasSubstr("1001 ms is longer")));
}

TEST(Config, AsksForAPortToProbeAUdpServiceAt) {
  const std::string udp = "protocol = \"udp\"\n[service.health]\ntype = \"tcp\"\n";
  EXPECT_THAT(fault_in_service(udp), HasSubstr("health.port"));
  EXPECT_THAT(faults(kDataplane + kService + udp + "port = 80\n"), IsEmpty());
}

TEST(Config, AsksForRoomForAllServicesAndBackends) {
  const std::string second = "[[service]]\nname = \"b\"\naddress = \"203.0.113.11\"\nport = 80\n";
  EXPECT_THAT(faults(kDataplane + "max_services = 2\n" + kService + second),
              ElementsAre(HasSubstr("2 services need max_services = 3 or more")));
  const std::string backends =
      "[[service.backend]]\naddress = \"10.0.0.1:80\"\n"
      "[[service.backend]]\naddress = \"10.0.0.2:80\"\n";
  EXPECT_THAT(faults(kDataplane + "max_backends = 2\n" + kService + backends),
              ElementsAre(HasSubstr("2 backends need max_backends = 3 or more")));
}

TEST(Config, FindsAllFaultsInOneGo) {
  EXPECT_THAT(faults(kDataplane + "max_services = 1\nx = 1\n" + kService +
                     "[service.health]\ntimeout = \"3s\"\n"),
              SizeIs(3));
}

TEST(Config, SaysWhereTheFileIsNotToml) {
  EXPECT_THAT(faults("[dataplane]\ninterfaces = [\"eth0\"\n\n[control]\n"),
              ElementsAre(StartsWith("edge.toml:4:")));
  EXPECT_THAT(faults("[control]\n[control]\n"), ElementsAre(StartsWith("edge.toml:2:")));
}

}  // namespace
}  // namespace penstock
