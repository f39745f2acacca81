// SPDX-License-Identifier: Apache-2.0
// A command to HAProxy over one of its sockets, and the answer (its management guide, section 9.3).
#pragma once

#include <string>

#include "dataplane/result.h"

namespace penstock {

// Waits for the answer, for a second at most. A payload stands behind "<<\n" and ends with an empty
// line.
Result<std::string> ask_haproxy(const std::string& socket, const std::string& command);

}  // namespace penstock
