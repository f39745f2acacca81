// SPDX-License-Identifier: Apache-2.0
// What a running daemon cannot change: what its tables, its socket and its hashing were made from.
#pragma once

#include <string>

#include "controlplane/config/config.h"

namespace penstock {

// The first such key that differs, "dataplane.interfaces"; empty: none. Pure.
std::string fixed_key_that_differs(const Config& before, const Config& after);

}  // namespace penstock
