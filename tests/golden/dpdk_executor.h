// SPDX-License-Identifier: Apache-2.0
// The DPDK driver's worker, with ports whose ends are rings of this process.
#pragma once

#include "tests/golden/executor.h"

namespace penstock::golden {

Result<std::unique_ptr<Executor>> open_dpdk(const TableSizes& sizes);

}  // namespace penstock::golden
