// SPDX-License-Identifier: Apache-2.0
// Changes of the backend set made at the control socket: a layer over the file's Config, kept in
// the state directory so that it survives a restart. Pure but for load and save.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "controlplane/config/config.h"
#include "dataplane/result.h"

namespace penstock {

// What differs from the file for one backend. Unset: as the file says.
struct BackendOverride {
  std::optional<bool> drain;
  std::optional<uint32_t> weight;
  std::optional<Endpoint> added;  // not in the file: made by `add`
  bool removed = false;           // in the file: taken out by `remove`
  bool operator==(const BackendOverride&) const = default;
};

// Service name, backend name.
using BackendKey = std::pair<std::string, std::string>;
using Overrides = std::map<BackendKey, BackendOverride>;

// The file with the layer over it. Overrides that no longer fit the file (an unknown service, a
// backend that the file no longer has) are left out.
Config with_overrides(const Config& file, const Overrides& overrides);

// Only the overrides that still say something other than the file: `apply` keeps these.
Overrides prune(const Config& file, const Overrides& overrides);

// Each returns the layer after the change, or why it cannot be: kNotFound names the closest
// existing name, kConflict an address or name that is taken, kInvalid a bad value (the same rules
// as the file's).
Result<Overrides> set_drain(const Config& file, const Overrides& overrides, const BackendKey& key,
                            bool drain);
Result<Overrides> set_weight(const Config& file, const Overrides& overrides, const BackendKey& key,
                             uint32_t weight);
Result<Overrides> add_backend(const Config& file, const Overrides& overrides,
                              const std::string& service, const BackendConfig& backend);
Result<Overrides> remove_backend(const Config& file, const Overrides& overrides,
                                 const BackendKey& key);

// One line a difference, for status: "web/h1-a: weight 5 (file: 1)".
std::vector<std::string> describe(const Config& file, const Overrides& overrides);

// overrides.json in the state directory; saved by writing beside it and renaming. No file: no
// overrides.
Result<Overrides> load_overrides(const std::string& state_directory);
Result<void> save_overrides(const std::string& state_directory, const Overrides& overrides);

}  // namespace penstock
