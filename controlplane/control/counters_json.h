// SPDX-License-Identifier: Apache-2.0
// Counters as the status document has them.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <string>

#include "dataplane/dataplane.h"

namespace penstock {

boost::json::object counters_json(const TrafficCounters& counters);
boost::json::object flows_json(const FlowCounts& flows);
// By the core's names, with a sentence for people.
boost::json::array reasons_json(const std::map<std::string, uint64_t>& counts);

}  // namespace penstock
