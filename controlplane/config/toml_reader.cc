// SPDX-License-Identifier: Apache-2.0
// One function a kind of value.
#include "controlplane/config/toml_reader.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "controlplane/config/suggest.h"

namespace penstock {
namespace {

std::string quoted_list(const std::vector<std::string>& words) {
  std::string list;
  for (size_t i = 0; i < words.size(); i++) {
    if (i > 0) list += i + 1 == words.size() ? " or " : ", ";
    list += in_quotes(words[i]);
  }
  return list;
}

constexpr int64_t kLongestDuration = 8'784ll * 3'600'000;  // in ms: a year; ticks have 32 bits

std::optional<std::chrono::milliseconds> parse_duration_or_off(std::string_view text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || number < 0 || number > 1'000'000'000) return std::nullopt;
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  int64_t factor = 0;
  if (unit == "ms") factor = 1;
  if (unit == "s") factor = 1000;
  if (unit == "m") factor = 60'000;
  if (unit == "h") factor = 3'600'000;
  if (factor == 0 || number > kLongestDuration / factor) return std::nullopt;
  return std::chrono::milliseconds(number * factor);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const auto duration = parse_duration_or_off(text);
  return duration && duration->count() > 0 ? duration : std::nullopt;
}

// Keys and what the TOML library says of them hold what the file holds, line breaks too.
std::string on_one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) {
      line += c;
      continue;
    }
    const std::string escaped = in_quotes({&c, 1});
    line += escaped.substr(1, escaped.size() - 2);
  }
  return line;
}

}  // namespace

void Findings::add(const Place& place, std::string_view message) {
  const std::string key = on_one_line(place.key);
  const auto same = [&](const Diagnostic& other) {
    return other.file == place.file && other.line == place.line && other.column == place.column &&
           other.key == key;
  };
  if (std::any_of(list_.begin(), list_.end(), same)) return;
  list_.push_back({place.file, place.line, place.column, key, on_one_line(message)});
}

std::string in_quotes(std::string_view text) {
  return fmt::format("{:?}", text);
}

std::string describe_node(const toml::node& node) {
  if (node.is_table()) return "a table";
  if (node.is_array()) return "an array";
  if (const auto* string = node.as_string()) return in_quotes(string->get());
  std::ostringstream text;
  node.visit([&](const auto& value) {
    if constexpr (toml::is_value<decltype(value)>) text << value.get();
  });
  return text.str();
}

TomlReader::TomlReader(const toml::table& table, std::string file, std::string prefix,
                       Findings& findings)
    : table_(table), file_(std::move(file)), prefix_(std::move(prefix)), findings_(findings) {}

std::string TomlReader::full_key(std::string_view key) const {
  return prefix_.empty() ? std::string(key) : fmt::format("{}.{}", prefix_, key);
}

Place TomlReader::place(const char* key) const {
  const toml::node* node = table_.get(key);
  const auto& source = (node ? *node : static_cast<const toml::node&>(table_)).source();
  return {file_, source.begin.line, source.begin.column, full_key(key)};
}

Place TomlReader::place() const {
  const auto& source = table_.source();
  return {file_, source.begin.line, source.begin.column, prefix_};
}

const toml::node* TomlReader::find(const char* key) {
  known_.emplace_back(key);
  return table_.get(key);
}

void TomlReader::wrong(const char* key, const toml::node& found, const std::string& expected) {
  fault(key, fmt::format("found {}, expected {}", describe_node(found), expected));
}

void TomlReader::require(const char* key) {
  if (!has(key)) findings_.add(place(key), "is missing");
}

void TomlReader::text(const char* key, std::string& value) {
  const auto read = read_text(key, "a text");
  if (read && read->empty()) fault(key, "is empty: give it a value, or leave it out");
  if (read) value = *read;
}

std::optional<std::string> TomlReader::read_text(const char* key, const std::string& expected) {
  const toml::node* node = find(key);
  if (!node) return std::nullopt;
  if (const auto* string = node->as_string()) return string->get();
  wrong(key, *node, expected);
  return std::nullopt;
}

void TomlReader::boolean(const char* key, bool& value) {
  const toml::node* node = find(key);
  if (!node) return;
  if (const auto* found = node->as_boolean()) {
    value = found->get();
  } else {
    wrong(key, *node, "true or false");
  }
}

std::optional<int64_t> TomlReader::read_integer(const char* key, int64_t least, int64_t most) {
  const toml::node* node = find(key);
  if (!node) return std::nullopt;
  const auto* found = node->as_integer();
  if (found && found->get() >= least && found->get() <= most) return found->get();
  wrong(key, *node, fmt::format("a whole number from {} to {}", least, most));
  return std::nullopt;
}

void TomlReader::duration(const char* key, std::chrono::milliseconds& value) {
  parsed(key, value, "a duration such as \"500ms\", \"2s\", \"5m\" or \"2h\", at most a year",
         parse_duration);
}

void TomlReader::duration_or_off(const char* key, std::chrono::milliseconds& value) {
  parsed(key, value, "a duration such as \"90s\" or \"2h\", at most a year, or \"0s\" for none",
         parse_duration_or_off);
}

std::optional<size_t> TomlReader::read_choice(const char* key,
                                              const std::vector<std::string>& words) {
  const auto found = read_text(key, quoted_list(words));
  if (!found) return std::nullopt;
  for (size_t i = 0; i < words.size(); i++) {
    if (words[i] == *found) return i;
  }
  fault(key, fmt::format("found {}, expected {}{}", in_quotes(*found), quoted_list(words),
                         did_you_mean(*found, words)));
  return std::nullopt;
}

std::vector<std::string> TomlReader::texts(const char* key) {
  std::vector<std::string> list;
  const toml::node* node = find(key);
  if (!node) return list;
  const auto* array = node->as_array();
  if (!array || (!array->empty() && !array->is_homogeneous<std::string>())) {
    wrong(key, *node, "an array of texts");
    return list;
  }
  for (const toml::node& element : *array) list.push_back(element.as_string()->get());
  return list;
}

std::vector<uint32_t> TomlReader::integers(const char* key, int64_t least, int64_t most) {
  std::vector<uint32_t> list;
  const toml::node* node = find(key);
  if (!node) return list;
  const auto is_good = [&](const toml::node& element) {
    const auto* number = element.as_integer();
    return number && number->get() >= least && number->get() <= most;
  };
  const auto* array = node->as_array();
  if (!array || !std::all_of(array->begin(), array->end(), is_good)) {
    wrong(key, *node, fmt::format("an array of whole numbers from {} to {}", least, most));
    return list;
  }
  for (const toml::node& element : *array) {
    list.push_back(static_cast<uint32_t>(element.as_integer()->get()));
  }
  return list;
}

const toml::table* TomlReader::table(const char* key) {
  const toml::node* node = find(key);
  if (node && !node->is_table()) wrong(key, *node, fmt::format("a table [{}]", full_key(key)));
  return node ? node->as_table() : nullptr;
}

std::vector<const toml::table*> TomlReader::tables(const char* key) {
  std::vector<const toml::table*> list;
  const toml::node* node = find(key);
  if (!node) return list;
  const auto* array = node->as_array();
  if (!array || (!array->empty() && !array->is_array_of_tables())) {
    wrong(key, *node, fmt::format("tables [[{}]]", full_key(key)));
    return list;
  }
  for (const toml::node& element : *array) list.push_back(element.as_table());
  return list;
}

void TomlReader::finish() {
  for (const auto& [key, node] : table_) {
    if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
    const auto& source = key.source();
    findings_.add({file_, source.begin.line, source.begin.column, full_key(key.str())},
                  fmt::format("is not a key here{}", did_you_mean(key.str(), known_)));
  }
}

}  // namespace penstock
