// SPDX-License-Identifier: Apache-2.0
// TOML text to a validated Config, or everything that is wrong with it. Pure but for load_config,
// which reads files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config/config.h"
#include "dataplane/result.h"

namespace penstock {

// One finding. line and column count from 1; 0 where a finding has no single place.
struct Diagnostic {
  std::string file;
  uint32_t line = 0;
  uint32_t column = 0;
  std::string key;      // "service.health.interval"
  std::string message;  // what was found, what is accepted, "did you mean"
};

// "edge.toml:14:12: service.health.interval: found \"2\", expected a duration such as \"2s\" or
// \"500ms\""
std::string to_string(const Diagnostic& diagnostic);

using ParseResult = tl::expected<Config, std::vector<Diagnostic>>;

struct ConfigSource {
  std::string file;  // its name, for diagnostics
  std::string text;
};

// The first source is the main file; the others are fragments and may hold [[service]] only. Finds
// as many faults as it can in one go; a Config comes back only when there is none.
ParseResult parse_config(const std::vector<ConfigSource>& sources);

// Reads `path` and, when there is a directory beside it named like it with .d for .toml
// (penstock.d), its *.toml in order of name.
ParseResult load_config(const std::string& path);

}  // namespace penstock
