// SPDX-License-Identifier: Apache-2.0
// The core compiled into the process, over tables in its memory.
#pragma once

#include "tests/golden/executor.h"

namespace penstock::golden {

Result<std::unique_ptr<Executor>> open_core(const TableSizes& sizes);

}  // namespace penstock::golden
