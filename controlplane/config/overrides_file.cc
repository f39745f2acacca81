// SPDX-License-Identifier: Apache-2.0
// overrides.json: [{"service": "web", "backend": "h1-a", "drain": true, "weight": 5, "added":
// "10.0.0.3:3000", "removed": true}, ...], only what is set.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <filesystem>
#include <stdexcept>

#include "controlplane/config/overrides.h"
#include "controlplane/config/text_file.h"
#include "controlplane/config/validate.h"

namespace penstock {
namespace {

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
      if (const auto fault = check_weight(*change.weight); !fault.empty()) {
        throw std::invalid_argument("\"weight\": " + fault);
      }
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
  const auto text = read_text_file(path);
  if (!text && text.error() == std::errc::no_such_file_or_directory) return Overrides{};
  if (!text) return fail_errno("cannot read " + path, text.error().value());
  try {
    return from_json(json::parse(*text));
  } catch (const std::exception& error) {
    return fail(ErrorKind::kInvalid,
                fmt::format("{} is damaged ({}): mend it, or delete it to start from the "
                            "configuration file alone",
                            path, error.what()));
  }
}

Result<void> save_overrides(const std::string& state_directory, const Overrides& overrides) {
  std::error_code error;
  std::filesystem::create_directories(state_directory, error);
  if (error) return fail_errno("cannot make " + state_directory, error.value());
  return replace_text_file(file_in(state_directory), json::serialize(to_json(overrides)) + "\n");
}

}  // namespace penstock
