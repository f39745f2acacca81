// SPDX-License-Identifier: Apache-2.0
// `penstock run`: the daemon in the foreground until a signal or `penstock stop`.
#pragma once

#include <string>

#include "dataplane/result.h"

namespace penstock {

// Returns when the daemon has ended: by a signal (forwarding goes on) or because it was stopped for
// good.
Result<void> run_daemon(const std::string& file);

}  // namespace penstock
