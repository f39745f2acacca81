// SPDX-License-Identifier: Apache-2.0
// A headline, warnings, a block a service with its backends below, then what differs and what was
// dropped.
#include "controlplane/cli/status_table.h"

#include <fmt/format.h>

#include <array>
#include <boost/json.hpp>

#include "controlplane/cli/table.h"

namespace penstock {
namespace {

namespace json = boost::json;

constexpr const char* kAlarm = "31;1";
constexpr const char* kGood = "32";
constexpr const char* kStrong = "1";

std::string text(const json::object& object, const char* key) {
  return std::string(object.at(key).as_string());
}

uint64_t number(const json::object& object, const char* key) {
  return object.at(key).to_number<uint64_t>();
}

// "9999", "12.3 k": short enough for a column.
std::string count(uint64_t value) {
  constexpr std::array<const char*, 5> kUnits{"", "k", "M", "G", "T"};
  if (value < 10'000) return fmt::format("{}", value);
  auto scaled = static_cast<double>(value);
  size_t unit = 0;
  for (; scaled >= 1000 && unit + 1 < kUnits.size(); unit++) scaled /= 1000;
  return fmt::format("{:.1f} {}", scaled, kUnits[unit]);
}

std::string duration(uint64_t seconds) {
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7200) return fmt::format("{} min", seconds / 60);
  if (seconds < 172'800) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} days", seconds / 86'400);
}

std::string painted(const std::string& words, const char* escape, bool colour) {
  return colour ? fmt::format("\033[{}m{}\033[0m", escape, words) : words;
}

uint64_t live(const json::object& flows) {
  return number(flows, "half_open") + number(flows, "established") + number(flows, "closing");
}

// An unresolved backend takes no clients, whatever its health.
std::string state_of(const json::object& backend) {
  std::string state = backend.at("next_hop").is_null() ? "unresolved" : text(backend, "health");
  if (!backend.at("drain").as_bool() && number(backend, "weight") > 0) return state;
  const auto& kept = backend.at("kept_clients").as_object();
  const uint64_t clients = number(kept, "seen") + number(kept, "unseen");
  return state + (clients ? fmt::format(", draining: {} clients left", count(clients))
                          : std::string(", draining"));
}

std::string words(const json::value& list) {
  std::string all;
  for (const json::value& word : list.as_array()) {
    all += (all.empty() ? "" : ", ") + std::string(word.as_string());
  }
  return all;
}

std::string remark_on(const json::object& backend) {
  return text(backend, backend.at("next_hop").is_null() ? "unresolved" : "detail");
}

Row backend_row(const json::object& backend, bool colour) {
  const std::string state = state_of(backend);
  const char* escape = state == "up" ? kGood : kAlarm;
  return {{text(backend, "name")},
          {text(backend, "address")},
          {fmt::format("{}", number(backend, "weight")), true},
          {fmt::format("{:.1f} %", backend.at("share_percent").to_number<double>()), true},
          {state, false, colour ? escape : nullptr},
          {count(live(backend.at("flows").as_object())), true},
          {count(number(backend.at("counters").as_object(), "new_flows")), true},
          {remark_on(backend)}};
}

std::vector<Row> reason_rows(const json::object& counted) {
  std::vector<Row> rows;
  for (const char* kind : {"dropped", "passed", "answered"}) {
    for (const json::value& item : counted.at(kind).as_array()) {
      const auto& reason = item.as_object();
      rows.push_back({{count(number(reason, "count")), true}, {kind}, {text(reason, "text")}});
    }
  }
  return rows;
}

// What comes by TLS; nothing for a service without.
std::string tls_lines(const json::value& value) {
  if (value.is_null()) return "";
  const auto& tls = value.as_object();
  return fmt::format(
             "  by TLS at {}: {} connections of {}, {} flows; failed: {} handshakes, {} requests\n",
             text(tls, "address"), count(number(tls, "connections")),
             count(number(tls, "connections_total")), count(live(tls.at("flows").as_object())),
             count(number(tls, "failed_handshakes")), count(number(tls, "errors"))) +
         align(reason_rows(tls), "  ");
}

// Two lines; nothing where there is none.
std::string sidecar_line(const json::value& value) {
  if (value.is_null()) return "";
  const auto& sidecar = value.as_object();
  if (text(sidecar, "kind") == "none") {
    return fmt::format("TLS: a program of yours, in the network namespace {}\n",
                       text(sidecar, "namespace"));
  }
  std::string lines = fmt::format(
      "TLS: haproxy {}, process {}, {} restarts, {} certificates\n  {} connections, {} "
      "handshakes/s",
      text(sidecar, "state"), number(sidecar, "pid"), number(sidecar, "restarts"),
      sidecar.at("certificates").as_array().size(), count(number(sidecar, "connections")),
      count(number(sidecar, "handshakes_per_second")));
  const char* separator = "; ";
  for (const auto& [version, connections] : sidecar.at("versions").as_object()) {
    lines += fmt::format("{}{} by {}", separator, count(connections.to_number<uint64_t>()),
                         std::string_view(version));
    separator = ", ";
  }
  return lines + "\n";
}

std::string service_block(const json::object& service, bool colour) {
  const auto& counters = service.at("counters").as_object();
  std::string block = fmt::format(
      "\n{}  {} {}  mode {}  {} flows, {} new; packets {} in, {} out\n",
      painted(text(service, "name"), kStrong, colour), text(service, "protocol"),
      text(service, "address"), text(service, "mode"), count(live(service.at("flows").as_object())),
      count(number(counters, "new_flows")), count(number(counters, "packets_to_backend")),
      count(number(counters, "packets_to_client")));
  std::vector<Row> rows{{{"BACKEND"},
                         {"ADDRESS"},
                         {"WEIGHT", true},
                         {"SHARE", true},
                         {"STATE"},
                         {"FLOWS", true},
                         {"NEW", true},
                         {"LAST CHECK"}}};
  for (const json::value& backend : service.at("backends").as_array()) {
    rows.push_back(backend_row(backend.as_object(), colour));
  }
  return block + align(rows, "  ") + align(reason_rows(service), "  ") +
         tls_lines(service.at("tls"));
}

// A line for each worker; nothing where no process of its own forwards.
std::string forwarder_lines(const json::value& value) {
  if (value.is_null()) return "";
  const auto& forwarder = value.as_object();
  std::string lines = fmt::format("penstock-dpdk: process {}, {} restarts\n",
                                  number(forwarder, "pid"), number(forwarder, "restarts"));
  for (const json::value& item : forwarder.at("workers").as_array()) {
    const auto& worker = item.as_object();
    const uint64_t passes = number(worker, "passes");
    const uint64_t packets = number(worker, "packets");
    lines += fmt::format(
        "  processor {}: {} packets, {:.1f} a burst, {:.0f} cycles each; {} empty polls, {} lost\n",
        number(worker, "cpu"), count(packets),
        passes ? static_cast<double>(packets) / static_cast<double>(passes) : 0.0,
        worker.at("cycles_per_packet").to_number<double>(), count(number(worker, "empty_polls")),
        count(number(worker, "lost_in_rings") + number(worker, "unsent")));
  }
  return lines;
}

std::string headline(const json::object& status) {
  const auto& dataplane = status.at("dataplane").as_object();
  const auto& flows = dataplane.at("flows").as_object();
  std::string lines =
      fmt::format("penstock {} \"{}\"  up {}  process {}  {}\n", text(status, "version"),
                  text(status, "appliance"), duration(number(status, "uptime_s")),
                  number(status, "pid"), text(status, "file"));
  for (const json::value& item : dataplane.at("interfaces").as_array()) {
    const auto& interface = item.as_object();
    const auto device = text(interface, "device");
    lines += fmt::format("{}: {} {}{}\n", text(interface, "name"), text(dataplane, "driver"),
                         text(interface, "attach_mode"),
                         device == text(interface, "name") ? "" : fmt::format(" on {}", device));
  }
  lines += forwarder_lines(dataplane.at("forwarder"));
  lines += sidecar_line(status.at("sidecar"));
  return lines + fmt::format("flows: {} half-open, {} established, {} closing; room for {}\n",
                             count(number(flows, "half_open")), count(number(flows, "established")),
                             count(number(flows, "closing")),
                             count(number(dataplane, "flow_table_capacity")));
}

}  // namespace

std::string status_table(const json::object& status, bool colour) {
  std::string table = headline(status);
  for (const json::value& warning : status.at("warnings").as_array()) {
    table += painted("warning: " + std::string(warning.as_string()), kAlarm, colour) + "\n";
  }
  for (const json::value& service : status.at("services").as_array()) {
    table += service_block(service.as_object(), colour);
  }
  const auto& differences = status.at("differences").as_array();
  if (!differences.empty()) table += "\nchanged at the control socket, unlike the file:\n";
  for (const json::value& line : differences) {
    table += fmt::format("  {}\n", std::string_view(line.as_string()));
  }
  const auto others = reason_rows(status.at("dataplane").as_object());
  return others.empty() ? table : table + "\nof no service:\n" + align(others, "  ");
}

std::string certificate_table(const json::object& status, bool colour) {
  const json::value& sidecar = status.at("sidecar");
  if (sidecar.is_null()) return "no service has tls\n";
  std::vector<Row> rows{
      {{"CERTIFICATE"}, {"KEY"}, {"EXPIRES"}, {"DAYS", true}, {"SERVICES"}, {"NAMES"}}};
  std::string refused;
  for (const json::value& item : sidecar.as_object().at("certificates").as_array()) {
    const auto& certificate = item.as_object();
    const auto days = certificate.at("days_left").to_number<int64_t>();
    rows.push_back({{text(certificate, "file")},
                    {text(certificate, "key")},
                    {text(certificate, "not_after")},
                    {fmt::format("{}", days), true, colour && days <= 30 ? kAlarm : nullptr},
                    {words(certificate.at("services"))},
                    {words(certificate.at("names"))}});
    if (const std::string why = text(certificate, "refused"); !why.empty()) {
      refused +=
          painted(fmt::format("refused: {}; the one before serves on", why), kAlarm, colour) + "\n";
    }
  }
  return sidecar_line(sidecar) + align(rows, "") + refused;
}

std::string explanation_text(const json::object& explanation) {
  std::vector<Row> rows;
  for (const char* key :
       {"client", "service", "hashed", "hash", "slot", "backend", "backend_by_tls", "why"}) {
    const json::value& value = explanation.at(key);
    if (value.is_null()) continue;
    rows.push_back(
        {{key}, {value.is_string() ? std::string(value.as_string()) : json::serialize(value)}});
  }
  return align(rows, "");
}

}  // namespace penstock
