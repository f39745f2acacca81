// SPDX-License-Identifier: Apache-2.0
#include "controlplane/sidecar/statistics.h"

#include <charconv>
#include <optional>
#include <sstream>
#include <string_view>

namespace penstock {
namespace {

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc{} || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

// HAProxy writes no quotes around what it counts, and no commas into names.
std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> all;
  std::istringstream text(line);
  for (std::string field; std::getline(text, field, ',');) all.push_back(field);
  return all;
}

// The word behind "key=".
std::string word_of(const std::string& line, std::string_view key) {
  const size_t at = line.find(key);
  if (at == std::string::npos) return "";
  const size_t begin = at + key.size();
  return line.substr(begin, line.find(' ', begin) - begin);
}

}  // namespace

std::map<std::string, uint64_t> parse_info(const std::string& text) {
  std::map<std::string, uint64_t> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    if (const auto value = number(std::string_view(line).substr(colon + 2))) {
      values[line.substr(0, colon)] = *value;
    }
  }
  return values;
}

std::vector<std::map<std::string, std::string>> parse_stat(const std::string& text) {
  std::vector<std::map<std::string, std::string>> rows;
  std::istringstream lines(text);
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("# ", 0) == 0) {
      names = fields(line.substr(2));
      continue;
    }
    const std::vector<std::string> values = fields(line);
    if (names.empty() || values.size() < 2) continue;
    auto& row = rows.emplace_back();
    for (size_t i = 0; i < values.size() && i < names.size(); i++) row[names[i]] = values[i];
  }
  return rows;
}

std::map<std::string, uint64_t> parse_table(const std::string& text) {
  std::map<std::string, uint64_t> counts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string key = word_of(line, "key=");
    if (const auto count = number(word_of(line, "conn_cnt=")); count && !key.empty()) {
      counts[key] = *count;
    }
  }
  return counts;
}

}  // namespace penstock
