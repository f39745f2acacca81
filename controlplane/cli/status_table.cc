// SPDX-License-Identifier: Apache-2.0
// A headline, a block a service with its backends below, then what differs and what was dropped.
#include "controlplane/cli/status_table.h"

#include <fmt/format.h>

#include <array>
#include <boost/json.hpp>

namespace penstock {
namespace {

namespace json = boost::json;

std::string text(const json::object& object, const char* key) {
  return std::string(object.at(key).as_string());
}

uint64_t number(const json::object& object, const char* key) {
  return object.at(key).to_number<uint64_t>();
}

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

class Painter {
 public:
  explicit Painter(bool colour) : colour_(colour) {}
  std::string alarm(const std::string& words) const { return paint(words, "31;1"); }
  std::string good(const std::string& words) const { return paint(words, "32"); }
  std::string strong(const std::string& words) const { return paint(words, "1"); }

 private:
  std::string paint(const std::string& words, const char* code) const {
    return colour_ ? fmt::format("\033[{}m{}\033[0m", code, words) : words;
  }
  bool colour_;
};

uint64_t live(const json::object& flows) {
  return number(flows, "half_open") + number(flows, "established") + number(flows, "closing");
}

std::string state_of(const json::object& backend) {
  std::string state = text(backend, "health");
  if (backend.at("next_hop").is_null()) state = "unresolved";
  if (backend.at("drain").as_bool() || number(backend, "weight") == 0) state += ", draining";
  return state;
}

std::string remark_on(const json::object& backend) {
  const bool unresolved = backend.at("next_hop").is_null();
  return unresolved ? text(backend, "unresolved") : text(backend, "detail");
}

std::string backend_line(const json::object& backend, const Painter& painter) {
  const std::string state = fmt::format("{:<16}", state_of(backend));
  const bool fine = state_of(backend) == "up";
  const auto& counters = backend.at("counters").as_object();
  return fmt::format("  {:<14} {:<24} {:>6}  {} {:>8} {:>9}  {}\n", text(backend, "name"),
                     text(backend, "address"), number(backend, "weight"),
                     fine ? painter.good(state) : painter.alarm(state),
                     count(live(backend.at("flows").as_object())),
                     count(number(counters, "new_flows")), remark_on(backend));
}

std::string reason_lines(const json::object& counted, const char* indent) {
  std::string lines;
  for (const char* kind : {"dropped", "passed"}) {
    for (const json::value& item : counted.at(kind).as_array()) {
      const auto& reason = item.as_object();
      lines += fmt::format("{}{} {}: {}\n", indent, count(number(reason, "count")),
                           std::string_view(kind) == "passed" ? "passed to the kernel" : kind,
                           text(reason, "text"));
    }
  }
  return lines;
}

std::string service_block(const json::object& service, const Painter& painter) {
  const auto& counters = service.at("counters").as_object();
  std::string block = fmt::format(
      "\n{}  {} {}  mode {}  {} flows, {} new, {} packets in, {} out\n",
      painter.strong(text(service, "name")), text(service, "protocol"), text(service, "address"),
      text(service, "mode"), count(live(service.at("flows").as_object())),
      count(number(counters, "new_flows")), count(number(counters, "packets_to_backend")),
      count(number(counters, "packets_to_client")));
  block += fmt::format("  {:<14} {:<24} {:>6}  {:<16} {:>8} {:>9}  {}\n", "BACKEND", "ADDRESS",
                       "WEIGHT", "STATE", "FLOWS", "NEW", "LAST CHECK");
  for (const json::value& backend : service.at("backends").as_array()) {
    block += backend_line(backend.as_object(), painter);
  }
  return block + reason_lines(service, "  ");
}

std::string interface_lines(const json::object& dataplane, const Painter& painter) {
  std::string lines;
  for (const json::value& item : dataplane.at("interfaces").as_array()) {
    const auto& interface = item.as_object();
    const std::string degraded = text(interface, "degraded");
    lines += fmt::format("{}: {} {}{}\n", text(interface, "name"), text(dataplane, "driver"),
                         text(interface, "attach_mode"),
                         degraded.empty() ? "" : "  " + painter.alarm("degraded: " + degraded));
  }
  return lines;
}

}  // namespace

std::string status_table(const json::object& status, bool colour) {
  const Painter painter(colour);
  const auto& dataplane = status.at("dataplane").as_object();
  std::string table =
      fmt::format("penstock {} \"{}\"  up {}  process {}  {}\n", text(status, "version"),
                  text(status, "appliance"), duration(number(status, "uptime_s")),
                  number(status, "pid"), text(status, "file"));
  table += interface_lines(dataplane, painter);
  if (const std::string error = text(status, "error"); !error.empty()) {
    table += painter.alarm("the last change is not in force: " + error) + "\n";
  }
  for (const json::value& service : status.at("services").as_array()) {
    table += service_block(service.as_object(), painter);
  }
  const auto& differences = status.at("differences").as_array();
  if (!differences.empty()) table += "\nchanged at the control socket, unlike the file:\n";
  for (const json::value& line : differences)
    table += fmt::format("  {}\n", line.as_string().c_str());
  const std::string others = reason_lines(dataplane, "  ");
  if (!others.empty()) table += "\nof no service:\n" + others;
  return table;
}

std::string explanation_text(const json::object& explanation) {
  return fmt::format(
      "client   {}\nservice  {}\nhashed   {}\nhash     {}\nslot     {}\nbackend  {}\n"
      "why      {}\n",
      text(explanation, "client"), text(explanation, "service"), text(explanation, "hashed"),
      text(explanation, "hash"), number(explanation, "slot"), text(explanation, "backend"),
      text(explanation, "why"));
}

}  // namespace penstock
