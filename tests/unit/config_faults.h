// SPDX-License-Identifier: Apache-2.0
// What is said about a configuration file that is wrong.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "controlplane/config/parse.h"

namespace penstock {

inline const std::string kDataplane = "[dataplane]\ninterfaces = [\"eth0\"]\n";

// The faults of a file, a line each; empty: it is good.
inline std::vector<std::string> faults(const std::string& text) {
  std::vector<std::string> lines;
  const auto result = parse_config({{"edge.toml", text}});
  if (result) return lines;
  for (const Diagnostic& diagnostic : result.error()) lines.push_back(to_string(diagnostic));
  return lines;
}

// The only one; of none or several all, which no test takes for it.
inline std::string one_fault(const std::string& text) {
  const auto found = faults(text);
  return found.size() == 1 ? found[0] : testing::PrintToString(found);
}

}  // namespace penstock
