// SPDX-License-Identifier: Apache-2.0
// What the daemon remembers between runs, as small files in its state directory: the hash seed it
// made, the VIPs it put on interfaces. (The changes of the backend set are config/overrides.h.)
#pragma once

#include <compare>
#include <set>
#include <string>

#include "dataplane/address.h"
#include "dataplane/result.h"

namespace penstock {

Result<void> make_state_directory(const std::string& path);

// The seed in `state_directory`/hash_seed, made from the system's random source at the first call.
// It is a secret: who knows it can choose the backend that an address meets.
Result<std::string> kept_hash_seed(const std::string& state_directory);

// An address that was put on an interface.
struct PlacedAddress {
  std::string interface;
  IpAddress address;
  auto operator<=>(const PlacedAddress&) const = default;
};

// `state_directory`/announced: "INTERFACE ADDRESS" a line. No file: none; a line of another form is
// left out.
std::set<PlacedAddress> load_placed(const std::string& state_directory);
Result<void> save_placed(const std::string& state_directory, const std::set<PlacedAddress>& placed);

}  // namespace penstock
