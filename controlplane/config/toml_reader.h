// SPDX-License-Identifier: Apache-2.0
// Reads the keys of one TOML table into values, and notes every fault with its place. A key that is
// absent leaves its default; a key that nobody asked for is a fault, with the closest one that
// would have been right.
#pragma once

#include <fmt/format.h>

#include <toml++/toml.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/config/parse.h"

namespace penstock {

struct Place {
  std::string file;
  uint32_t line = 0;
  uint32_t column = 0;
  std::string key;
};

class Findings {
 public:
  // The first finding about a key is the one that tells: later ones at the same place are left out.
  void add(const Place& place, std::string_view message);
  bool empty() const { return list_.empty(); }
  std::vector<Diagnostic> take() { return std::move(list_); }

 private:
  std::vector<Diagnostic> list_;
};

// A text for messages: in quotes, on one line whatever it holds.
std::string in_quotes(std::string_view text);

// What a node is, for messages: a number as written, a text in quotes, "a table".
std::string describe_node(const toml::node& node);

class TomlReader {
 public:
  // `prefix` names the table in keys: "service.health". All references outlive the reader.
  TomlReader(const toml::table& table, std::string file, std::string prefix, Findings& findings);

  void text(const char* key, std::string& value);
  void boolean(const char* key, bool& value);
  // From `least` to `most`, both included.
  template <typename Integer>
  void integer(const char* key, Integer& value, int64_t least, int64_t most) {
    if (const auto read = read_integer(key, least, most)) value = static_cast<Integer>(*read);
  }
  // "500ms", "2s", "5m", "2h"; at least 1 ms.
  void duration(const char* key, std::chrono::milliseconds& value);
  // The same, or 0 as in "0s", which turns off what it is the duration of.
  void duration_or_off(const char* key, std::chrono::milliseconds& value);
  template <typename Choice>
  void choice(const char* key, Choice& value,
              const std::vector<std::pair<std::string, Choice>>& choices) {
    std::vector<std::string> words;
    words.reserve(choices.size());
    for (const auto& [word, unused] : choices) words.push_back(word);
    const auto at = read_choice(key, words);
    if (at) value = choices[*at].second;
  }
  // A text that `parse` (text to optional) accepts; `expected` describes those: "an address such as
  // \"192.0.2.1\"".
  template <typename Value, typename Parse>
  void parsed(const char* key, Value& value, const char* expected, Parse parse) {
    const auto found = read_text(key, expected);
    if (!found) return;
    if (const auto result = parse(*found)) {
      value = *result;
    } else {
      wrong(key, *table_.get(key), expected);
    }
  }
  std::vector<std::string> texts(const char* key);
  std::vector<uint32_t> integers(const char* key, int64_t least, int64_t most);
  // Texts that Value::parse accepts each; `expected` as above.
  template <typename Value>
  void parsed_each(const char* key, std::vector<Value>& values, const char* expected) {
    for (const std::string& text : texts(key)) {
      if (const auto value = Value::parse(text)) {
        values.push_back(*value);
      } else {
        fault(key, fmt::format("found {}, expected {}", in_quotes(text), expected));
      }
    }
  }

  // Absent: nothing. Anything but tables: a fault.
  const toml::table* table(const char* key);
  std::vector<const toml::table*> tables(const char* key);

  bool has(const char* key) const { return table_.contains(key); }
  Place place(const char* key) const;  // of its value; of the table when it is absent
  Place place() const;
  void fault(const char* key, std::string_view message) { findings_.add(place(key), message); }
  void require(const char* key);

  // Call last: faults for the keys that nobody asked for.
  void finish();

 private:
  const toml::node* find(const char* key);
  std::optional<int64_t> read_integer(const char* key, int64_t least, int64_t most);
  std::optional<size_t> read_choice(const char* key, const std::vector<std::string>& words);
  std::optional<std::string> read_text(const char* key, const std::string& expected);
  void wrong(const char* key, const toml::node& found, const std::string& expected);
  std::string full_key(std::string_view key) const;

  const toml::table& table_;
  std::string file_;
  std::string prefix_;
  Findings& findings_;
  std::vector<std::string> known_;
};

}  // namespace penstock
