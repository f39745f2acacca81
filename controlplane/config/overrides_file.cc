// SPDX-License-Identifier: Apache-2.0
// overrides.json: [{"service": "web", "backend": "h1-a", "drain": true, "weight": 5, "added": "10.0.0.3:3000",
// "removed": true}, ...], only what is set.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "controlplane/config/overrides.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

json::value to_json(const Overrides& overrides) {
  json::array list;
  for (const auto& [key, change] : overrides) {
    json::object entry{{"service", key.first}, {"backend", key.second}};
    if (change.drain) entry["drain"] = *change.drain;
    if (change.weight) entry["weight"] = *change.weight;
    if (change.added) entry["added"] = to_string(*change.added);
    if (change.removed) entry["removed"] = true;
    list.push_back(std::move(entry));
  }
  return list;
}

// Throws what Boost.JSON throws for a value of another kind.
Overrides from_json(const json::value& value) {
  Overrides overrides;
  for (const json::value& item : value.as_array()) {
    const json::object& entry = item.as_object();
    BackendOverride& change = overrides[{json::value_to<std::string>(entry.at("service")),
                                         json::value_to<std::string>(entry.at("backend"))}];
    if (const auto* drain = entry.if_contains("drain")) change.drain = drain->as_bool();
    if (const auto* weight = entry.if_contains("weight")) {
      change.weight = weight->to_number<uint32_t>();
    }
    if (const auto* added = entry.if_contains("added")) {
      change.added = Endpoint::parse(std::string(added->as_string()));
      if (!change.added) throw std::invalid_argument("\"added\" is not an address and port");
    }
    if (const auto* removed = entry.if_contains("removed")) change.removed = removed->as_bool();
  }
  return overrides;
}

std::string file_in(const std::string& state_directory) {
  return state_directory + "/overrides.json";
}

}  // namespace

Result<Overrides> load_overrides(const std::string& state_directory) {
  const std::string path = file_in(state_directory);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return Overrides{};
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return fail_errno("cannot read " + path, errno);
  try {
    return from_json(json::parse(text.str()));
  } catch (const std::exception& error) {
    return fail(ErrorKind::kInvalid,
                fmt::format("{} is damaged ({}): mend it, or delete it to start from the "
                            "configuration file alone",
                            path, error.what()));
  }
}

Result<void> save_overrides(const std::string& state_directory, const Overrides& overrides) {
  const std::string path = file_in(state_directory);
  const std::string beside = path + ".new";
  std::error_code error;
  fs::create_directories(state_directory, error);
  {
    std::ofstream file(beside, std::ios::trunc);
    file << json::serialize(to_json(overrides)) << '\n';
    if (!file.flush()) return fail_errno("cannot write " + beside, errno);
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) {
    return fail_errno("cannot rename " + beside, errno);
  }
  return {};
}

}  // namespace penstock
