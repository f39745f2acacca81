// SPDX-License-Identifier: Apache-2.0
// What the daemon remembers between runs, as small files in its state directory: the hash seed it
// made, the VIPs it put on the loopback. (The changes of the backend set are config/overrides.h.)
#pragma once

#include <set>
#include <string>

#include "dataplane/address.h"
#include "dataplane/result.h"

namespace penstock {

Result<void> make_state_directory(const std::string& path);

// The seed in `state_directory`/hash_seed, made from the system's random source at the first call.
Result<std::string> kept_hash_seed(const std::string& state_directory);

// `state_directory`/announced: an address a line. No file: none.
std::set<IpAddress> load_announced(const std::string& state_directory);
Result<void> save_announced(const std::string& state_directory, const std::set<IpAddress>& vips);

}  // namespace penstock
