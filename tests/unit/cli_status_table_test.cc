// SPDX-License-Identifier: Apache-2.0
// The table for people, from a status document that never changes.
#include "controlplane/cli/status_table.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <sstream>

#include "controlplane/cli/table.h"

namespace penstock {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;

json::object status() {
  return json::parse(R"json({
    "version": "0.1.0", "appliance": "edge-1", "pid": 812, "uptime_s": 7260, "file": "/etc/p.toml",
    "dataplane": {
      "driver": "xdp", "interfaces": [
        {"name": "eth0", "device": "eth0", "attach_mode": "generic", "degraded": "no"},
        {"name": "eth1.100", "device": "eth1", "attach_mode": "native", "degraded": ""}],
      "forwarder": null,
      "flow_table_capacity": 2097152,
      "flows": {"half_open": 1, "established": 12345, "closing": 2},
      "dropped": [{"reason": "malformed", "text": "header cut off", "count": 3}],
      "passed": [{"reason": "not_ours", "text": "no service's", "count": 1500000}],
      "answered": [{"reason": "ttl_expired", "text": "TTL used up", "count": 2}]},
    "warnings": ["eth0 is degraded: no"],
    "services": [{
      "name": "web", "address": "203.0.113.10:80", "protocol": "tcp", "mode": "nat", "tls": null,
      "flows": {"half_open": 1, "established": 12345, "closing": 2},
      "counters": {"new_flows": 90000, "packets_to_backend": 5, "packets_to_client": 7000000},
      "dropped": [], "passed": [], "answered": [],
      "backends": [
        {"name": "h1-a", "address": "10.0.0.1:3000", "weight": 1, "drain": false, "health": "up",
         "share_percent": 66.67, "detail": "HTTP 200 in 3 ms", "unresolved": "",
         "kept_clients": {"seen": 0, "unseen": 0},
         "next_hop": {"mac": "02:00:00:00:00:01", "interface": "eth0"},
         "flows": {"half_open": 0, "established": 12000, "closing": 0},
         "counters": {"new_flows": 80000}},
        {"name": "h1-b", "address": "10.0.0.1:3001", "weight": 0, "drain": false, "health": "down",
         "share_percent": 0, "detail": "connection refused", "unresolved": "",
         "kept_clients": {"seen": 0, "unseen": 0},
         "next_hop": {"mac": "02:00:00:00:00:01", "interface": "eth0"},
         "flows": {"half_open": 0, "established": 0, "closing": 0}, "counters": {"new_flows": 9}},
        {"name": "h2-a", "address": "10.0.0.2:3000", "weight": 5, "drain": false, "health": "up",
         "share_percent": 33.33, "detail": "HTTP 200 in 1 ms", "unresolved": "no route",
         "kept_clients": {"seen": 0, "unseen": 0},
         "next_hop": null,
         "flows": {"half_open": 1, "established": 345, "closing": 2},
         "counters": {"new_flows": 9991}}]
    }],
    "sidecar": null,
    "differences": ["web/h2-a: weight 5 (file: 1)"]})json")
      .as_object();
}

constexpr const char* kTable =
    R"(penstock 0.1.0 "edge-1"  up 2 h  process 812  /etc/p.toml
eth0: xdp generic
eth1.100: xdp native on eth1
flows: 1 half-open, 12.3 k established, 2 closing; room for 2.1 M
warning: eth0 is degraded: no

web  tcp 203.0.113.10:80  mode nat  12.3 k flows, 90.0 k new; packets 5 in, 7.0 M out
  BACKEND  ADDRESS        WEIGHT   SHARE  STATE            FLOWS     NEW  LAST CHECK
  h1-a     10.0.0.1:3000       1  66.7 %  up              12.0 k  80.0 k  HTTP 200 in 3 ms
  h1-b     10.0.0.1:3001       0   0.0 %  down, draining       0       9  connection refused
  h2-a     10.0.0.2:3000       5  33.3 %  unresolved         348    9991  no route

changed at the control socket, unlike the file:
  web/h2-a: weight 5 (file: 1)

of no service:
      3  dropped   header cut off
  1.5 M  passed    no service's
      2  answered  TTL used up
)";

TEST(StatusTable, TellsPeopleWhatMatters) {
  EXPECT_EQ(status_table(status(), false), kTable);
}

TEST(StatusTable, TellsWhatAForwarderAndItsWorkersDo) {
  json::object said = status();
  json::object& dataplane = said["dataplane"].as_object();
  dataplane["driver"] = "dpdk";
  dataplane["forwarder"] = json::parse(R"json({
    "pid": 4711, "restarts": 2, "lost_to_kernel": 0, "workers": [
      {"cpu": 3, "packets": 555300, "passes": 123400, "empty_polls": 6500000,
       "cycles_per_packet": 61.7, "ns_per_packet": 24.1, "handed_over": 1, "lost_in_rings": 2,
       "unsent": 5}]})json");
  const std::string table = status_table(said, false);
  EXPECT_THAT(table, HasSubstr("eth0: dpdk generic\n"));
  EXPECT_THAT(table, HasSubstr("penstock-dpdk: process 4711, 2 restarts\n"
                               "  processor 3: 555.3 k packets, 4.5 a burst, 62 cycles each; 6.5 M "
                               "empty polls, 7 lost\n"));
}

json::object with_tls() {
  json::object said = status();
  said["services"].as_array()[0].as_object()["tls"] = json::parse(R"json({
    "address": "203.0.113.10:443", "connections": 31, "connections_total": 20500,
    "failed_handshakes": 7, "errors": 2,
    "flows": {"half_open": 0, "established": 30, "closing": 5},
    "dropped": [{"reason": "access_denied", "text": "not let in", "count": 4}],
    "passed": [], "answered": []})json");
  said["sidecar"] = json::parse(R"json({
    "kind": "haproxy", "state": "up", "namespace": "penstock-tls", "pid": 901, "restarts": 1,
    "connections": 31, "handshakes_per_second": 12, "versions": {"TLSv1.2": 500, "TLSv1.3": 20000},
    "certificates": [
      {"file": "/etc/tls/a.pem", "key": "RSA 2048", "not_after": "2027-01-02T03:04:05Z",
       "days_left": 36, "services": ["web", "api"], "names": ["a.example", "*.a.example"],
       "refused": ""},
      {"file": "/etc/tls/b.pem", "key": "ECDSA P-256", "not_after": "2026-12-01T00:00:00Z",
       "days_left": 4, "services": ["web"], "names": ["b.example"],
       "refused": "/etc/tls/b.pem: has no certificate"}]})json");
  return said;
}

TEST(StatusTable, TellsWhatComesByTls) {
  const std::string table = status_table(with_tls(), false);
  EXPECT_THAT(table, HasSubstr("TLS: haproxy up, process 901, 1 restarts, 2 certificates\n"
                               "  31 connections, 12 handshakes/s; 500 by TLSv1.2, 20.0 k by "
                               "TLSv1.3\n"));
  EXPECT_THAT(table, HasSubstr("  by TLS at 203.0.113.10:443: 31 connections of 20.5 k, 35 flows; "
                               "failed: 7 handshakes, 2 requests\n  4  dropped  not let in\n"));
}

TEST(StatusTable, SaysWhereAProgramOfTheOperatorsEndsTls) {
  json::object said = with_tls();
  said["sidecar"].as_object()["kind"] = "none";
  EXPECT_THAT(status_table(said, false),
              HasSubstr("TLS: a program of yours, in the network namespace penstock-tls\n"));
}

TEST(CertificateTable, TellsWhenEachExpiresAndWhatWasRefused) {
  EXPECT_THAT(certificate_table(with_tls(), false), HasSubstr(R"(
CERTIFICATE     KEY          EXPIRES               DAYS  SERVICES  NAMES
/etc/tls/a.pem  RSA 2048     2027-01-02T03:04:05Z    36  web, api  a.example, *.a.example
/etc/tls/b.pem  ECDSA P-256  2026-12-01T00:00:00Z     4  web       b.example
refused: /etc/tls/b.pem: has no certificate; the one before serves on
)"));
  EXPECT_EQ(certificate_table(status(), false), "no service has tls\n");
}

TEST(StatusTable, FitsATerminalOfAHundredColumns) {
  std::istringstream lines(status_table(status(), false));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
}

TEST(StatusTable, IsColouredWithoutMovingAColumn) {
  std::string coloured = status_table(status(), true);
  EXPECT_THAT(coloured, HasSubstr("\033[31;1mdown, draining\033[0m"));
  EXPECT_THAT(coloured, HasSubstr("\033[32mup            \033[0m"));
  for (const char* escape : {"\033[31;1m", "\033[32m", "\033[1m", "\033[0m"}) {
    for (size_t at = 0; (at = coloured.find(escape)) != std::string::npos;) {
      coloured.erase(at, std::string(escape).size());
    }
  }
  EXPECT_EQ(coloured, kTable);
}

TEST(StatusTable, IsShortWhenThereIsNothingToTell) {
  json::object quiet = status();
  for (const char* key : {"services", "differences", "warnings"}) quiet[key] = json::array();
  quiet["dataplane"].at("dropped") = json::array();
  quiet["dataplane"].at("passed") = json::array();
  quiet["dataplane"].at("answered") = json::array();
  const std::string table = status_table(quiet, false);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 4);
}

TEST(StatusTable, TellsHowManyClientsADrainingBackendHasLeft) {
  json::object draining = status();
  auto& backends = draining["services"].at(0).at("backends");
  backends.at(1).at("kept_clients") = json::object{{"seen", 2}, {"unseen", 3}};
  EXPECT_THAT(status_table(draining, false), HasSubstr("down, draining: 5 clients left"));
}

TEST(ExplanationText, IsALineAKey) {
  json::object explanation{{"client", "198.18.0.7"},
                           {"service", "web"},
                           {"hash", "00ff"},
                           {"hashed", "198.18.0.7/32"},
                           {"slot", 4711},
                           {"home", "h1-a"},
                           {"backend", "h1-a"},
                           {"backend_by_tls", nullptr},
                           {"why", "its hash leads there"}};
  EXPECT_EQ(explanation_text(explanation), R"(client   198.18.0.7
service  web
hashed   198.18.0.7/32
hash     00ff
slot     4711
backend  h1-a
why      its hash leads there
)");
  explanation["backend_by_tls"] = "h1-a";
  EXPECT_THAT(explanation_text(explanation), HasSubstr("\nbackend_by_tls  h1-a\n"));
}

TEST(Align, PadsNoLastColumnAndTakesRowsOfAnyLength) {
  EXPECT_EQ(align({{{"a"}, {"b"}}, {{"long"}, {"1", true}, {"x"}}, {}, {{""}, {""}}}, " "),
            " a     b\n long  1  x\n\n\n");
}

}  // namespace
}  // namespace penstock
