// SPDX-License-Identifier: Apache-2.0
// The packet walk over tables in memory, compiled once for all tests: it takes the compiler half a
// minute and a gigabyte.
#pragma once

#include "dataplane/tables/frame_buffer.h"
#include "dataplane/tables/memory.h"

#include "dataplane/core/walk.h"

namespace penstock {

// As ps_walk.
ps_verdict walk(const ps_tables& tables, const ps_frame& frame);

}  // namespace penstock
