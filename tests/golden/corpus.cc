// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/corpus.h"

#include <boost/json.hpp>

#include <fstream>
#include <iterator>
#include <stdexcept>

namespace penstock::golden {
namespace {

namespace json = boost::json;

std::string text(const json::value& value) {
  return json::value_to<std::string>(value);
}

template <typename Number>
Number number(const json::value& value) {
  return json::value_to<Number>(value);
}

IpAddress address(const json::value& value) {
  return IpAddress::parse(text(value)).value();
}

// [[100, "802.1ad"], [200, "802.1Q"]]; nothing there: none.
VlanTags tags(const json::value& holder) {
  VlanTags result;
  if (const json::value* list = holder.as_object().if_contains("tags")) {
    for (const json::value& tag : list->as_array()) {
      result.push_back({number<uint16_t>(tag.at(0)), text(tag.at(1)) == "802.1ad"});
    }
  }
  return result;
}

MacAddress mac(const json::value& value) {
  std::string digits = text(value);
  std::erase(digits, ':');
  const Bytes bytes = from_hex(digits);
  MacAddress result;
  std::copy_n(bytes.begin(), result.bytes.size(), result.bytes.begin());
  return result;
}

Protocol protocol(const json::value& value) {
  return text(value) == "tcp" ? Protocol::kTcp : Protocol::kUdp;
}

ForwardingSettings settings(const json::object& from) {
  ForwardingSettings to;
  for (size_t i = 0; i < 2; i++) {
    to.hash_key.at(i) = std::stoull(text(from.at("hash_key").at(i)), nullptr, 16);
  }
  for (const json::value& snat : from.at("snat_addresses").as_array()) {
    to.snat_addresses.push_back(address(snat));
  }
  for (const json::value& prefix : from.at("tunnel_sources").as_array()) {
    to.tunnel_sources.push_back(IpPrefix::parse(text(prefix)).value());
  }
  for (const json::value& own : from.at("own_addresses").as_array()) {
    to.own_addresses.push_back(address(own));
  }
  for (const json::value& gateway : from.at("gateways").as_array()) {
    to.gateways[number<int>(gateway.at("family")) == 4 ? Family::kIpv4 : Family::kIpv6] = {
        number<uint32_t>(gateway.at("interface")), mac(gateway.at("mac")), tags(gateway)};
  }
  to.snat_port_first = number<uint16_t>(from.at("snat_port_first"));
  to.snat_port_last = number<uint16_t>(from.at("snat_port_last"));
  const auto timeout = [&](const char* name) {
    return std::chrono::milliseconds(number<int64_t>(from.at("timeouts_ms").at(name)));
  };
  to.tcp_half_open_timeout = timeout("tcp_half_open");
  to.tcp_established_timeout = timeout("tcp_established");
  to.tcp_closing_timeout = timeout("tcp_closing");
  to.udp_half_open_timeout = timeout("udp_half_open");
  to.udp_established_timeout = timeout("udp_established");
  return to;
}

// The slots repeat until the table is full.
LookupTable lookup_table(const json::array& slots) {
  const auto pattern = json::value_to<LookupTable>(json::value(slots));
  LookupTable table(kLookupTableSlots);
  for (uint32_t slot = 0; slot < kLookupTableSlots; slot++) {
    table[slot] = pattern.at(slot % pattern.size());
  }
  return table;
}

BackendEntry backend(const json::object& from) {
  BackendEntry to;
  to.protocol = protocol(from.at("protocol"));
  to.endpoint = {address(from.at("address")), number<uint16_t>(from.at("port"))};
  to.down = from.at("down").as_bool();
  const json::array& dnat = from.at("dnat").as_array();
  if (!dnat.empty()) to.answers_for = number<ServiceId>(dnat.front());
  to.is_shared = dnat.size() > 1;
  if (const json::value& hop = from.at("next_hop"); !hop.is_null()) {
    to.next_hop = {number<uint32_t>(hop.at("interface")), mac(hop.at("source")),
                   mac(hop.at("destination")), number<uint16_t>(hop.at("mtu")), tags(hop)};
  }
  return to;
}

Mode mode(const json::value& from) {
  for (const Mode mode : {Mode::kNat, Mode::kDsr, Mode::kTunnel, Mode::kDnat}) {
    if (to_string(mode) == from.as_string()) return mode;
  }
  throw std::invalid_argument("no such mode");
}

void read_affinity(Configuration& to, ServiceId id, const json::object& from) {
  ServiceEntry& service = to.state.services.at(id);
  service.affinity_idle = std::chrono::seconds(number<int64_t>(from.at("idle_s")));
  service.lookup_table = number<LookupTableId>(from.at("place"));
  if (from.at("begun").as_bool()) to.begun.insert(service.lookup_table);
  for (const json::value& table : from.at("earlier").as_array()) {
    service.earlier.push_back(number<LookupTableId>(table.at("place")));
    to.earlier_tables[service.earlier.back()] = lookup_table(table.at("slots").as_array());
  }
}

std::vector<IpPrefix> prefixes(const json::object& service, const char* key) {
  std::vector<IpPrefix> result;
  if (const json::value* list = service.if_contains(key)) {
    for (const json::value& each : list->as_array()) {
      result.push_back(IpPrefix::parse(text(each)).value());
    }
  }
  return result;
}

NewFlowLimit new_flows(const json::object& service) {
  const json::value* limit = service.if_contains("new_flows");
  if (!limit) return {};
  return {number<uint32_t>(limit->at(0)), number<uint32_t>(limit->at(1)),
          number<uint8_t>(limit->at(2))};
}

Configuration configuration(const json::object& from) {
  Configuration to;
  to.state.settings = settings(from);
  for (const json::value& interface : from.at("interfaces").as_array()) {
    to.interfaces.push_back(
        {number<uint32_t>(interface.at("index")), mac(interface.at("mac")), tags(interface)});
  }
  for (const json::value& value : from.at("services").as_array()) {
    const json::object& service = value.as_object();
    const auto id = number<ServiceId>(service.at("id"));
    to.state.services[id] = {protocol(service.at("protocol")),
                             {address(service.at("address")), number<uint16_t>(service.at("port"))},
                             number<uint8_t>(service.at("client_prefix_bits")),
                             0,
                             mode(service.at("mode")),
                             service.at("has_flows").as_bool(),
                             service.at("hash").as_string() == "flow",
                             service.at("syn_cookies").as_bool(),
                             service.at("clamps_mss").as_bool()};
    to.state.services[id].access = {prefixes(service, "allow"), prefixes(service, "deny")};
    to.state.services[id].new_flows = new_flows(service);
    if (const json::value* only_from = service.if_contains("only_from")) {
      to.state.services[id].only_from = number<uint32_t>(*only_from);
    }
    to.lookup_tables[id] = lookup_table(service.at("slots").as_array());
    if (const json::value* affinity = service.if_contains("affinity")) {
      read_affinity(to, id, affinity->as_object());
    }
  }
  for (const json::value& value : from.at("backends").as_array()) {
    to.state.backends[number<BackendId>(value.at("id"))] = backend(value.as_object());
  }
  return to;
}

Verdict verdict(const std::string& name) {
  static const std::map<std::string, Verdict> verdicts = {{"transmit", Verdict::kTransmit},
                                                          {"pass", Verdict::kPass},
                                                          {"drop", Verdict::kDrop},
                                                          {"any", Verdict::kAny}};
  return verdicts.at(name);
}

std::string optional_text(const json::object& from, const char* key) {
  const json::value* value = from.if_contains(key);
  return value && !value->is_null() ? text(*value) : "";
}

Step step(const json::object& from) {
  Step to;
  to.summary = text(from.at("summary"));
  if (const json::value* ms = from.if_contains("advance_ms")) {
    to.advance = std::chrono::milliseconds(number<int64_t>(*ms));
  }
  if (const json::value* changed = from.if_contains("configuration")) {
    to.configuration = configuration(changed->as_object());
  }
  to.in = from_hex(text(from.at("in")));
  to.snat_in = optional_text(from, "snat_in");
  to.verdict = verdict(text(from.at("verdict")));
  to.reason = optional_text(from, "reason");
  if (to.verdict == Verdict::kTransmit) {
    to.interface_index = number<uint32_t>(from.at("interface"));
    to.out = from_hex(text(from.at("out")));
    to.snat_out = optional_text(from, "snat_out");
  }
  if (const json::value* flows = from.if_contains("flows")) {
    to.flows = json::value_to<std::array<uint64_t, 3>>(*flows);
  }
  return to;
}

Counters counters(const json::object& from) {
  Counters to;
  for (const auto& [kind, ids] : from) {
    for (const auto& [id, counts] : ids.as_object()) {
      for (const auto& [name, count] : counts.as_object()) {
        if (count.to_number<uint64_t>() == 0) continue;
        to[std::string(kind) + "/" + std::string(id) + "/" + std::string(name)] =
            count.to_number<uint64_t>();
      }
    }
  }
  return to;
}

}  // namespace

Configuration read_configuration(const std::string& text) {
  return configuration(json::parse(text).as_object());
}

std::vector<Case> read_corpus(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read the corpus " + path);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  const json::value corpus = json::parse(content);
  std::vector<Case> cases;
  for (const json::value& value : corpus.at("cases").as_array()) {
    const json::object& from = value.as_object();
    Case& to = cases.emplace_back();
    to.name = text(from.at("name"));
    to.flow_table_entries = number<uint32_t>(from.at("flow_table_entries"));
    to.configuration = configuration(from.at("configuration").as_object());
    to.counters = counters(from.at("counters").as_object());
    for (const json::value& each : from.at("steps").as_array()) {
      to.steps.push_back(step(each.as_object()));
    }
  }
  return cases;
}

}  // namespace penstock::golden
