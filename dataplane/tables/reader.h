// SPDX-License-Identifier: Apache-2.0
// What the tables tell: counters, live flows, and the way of one client. Reads what packets write,
// without locks: a figure is right to the packet or so.
#pragma once

#include "dataplane/dataplane.h"
#include "dataplane/tables/memory.h"

namespace penstock {

CounterSnapshot read_counters(const ps_tables& tables);

// One pass over both flow tables. now_ticks is of the clock that the forwarder stamps flows with.
FlowSnapshot read_flows(const ps_tables& tables, uint32_t now_ticks);

// By the core's own functions over the published generation. A service that is not there: backend
// 0. now_ticks as above.
Explanation explain_client(const ps_tables& tables, ServiceId service, const Endpoint& client,
                           uint32_t now_ticks);

LookupTable read_lookup_table(const ps_tables& tables, LookupTableId id);

}  // namespace penstock
