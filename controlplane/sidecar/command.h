// SPDX-License-Identifier: Apache-2.0
// Runs a program of the system's to its end.
#pragma once

#include <string>
#include <vector>

#include "dataplane/result.h"

namespace penstock {

// What it wrote, to either output; its input is empty. kUnsupported: there is no such program.
// kSystem: it failed, with what it wrote in one line. `words`: the program, searched in PATH, then
// its arguments; no shell sees them.
Result<std::string> run_command(const std::vector<std::string>& words);

}  // namespace penstock
