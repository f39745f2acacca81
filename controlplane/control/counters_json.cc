// SPDX-License-Identifier: Apache-2.0
#include "controlplane/control/counters_json.h"

#include "dataplane/reason_text.h"

namespace penstock {

namespace json = boost::json;

json::object counters_json(const TrafficCounters& counters) {
  return {{"packets_to_backend", counters.packets_to_backend},
          {"bytes_to_backend", counters.bytes_to_backend},
          {"packets_to_client", counters.packets_to_client},
          {"bytes_to_client", counters.bytes_to_client},
          {"new_flows", counters.new_flows}};
}

json::object flows_json(const FlowCounts& flows) {
  return {{"half_open", flows.half_open},
          {"established", flows.established},
          {"closing", flows.closing}};
}

json::array reasons_json(const std::map<std::string, uint64_t>& counts) {
  json::array list;
  for (const auto& [name, count] : counts) {
    list.push_back({{"reason", name}, {"text", reason_text(name)}, {"count", count}});
  }
  return list;
}

}  // namespace penstock
