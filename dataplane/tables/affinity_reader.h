// SPDX-License-Identifier: Apache-2.0
// Who keeps a backend by affinity, read from the tables while packets write them: right to the
// packet or so.
#pragma once

#include "dataplane/dataplane.h"
#include "dataplane/tables/memory.h"

namespace penstock {

// now_ticks is of the clock that the forwarder stamps entries with.
AffinitySnapshot read_affinity(const ps_tables& tables, uint32_t now_ticks);

}  // namespace penstock
