// SPDX-License-Identifier: Apache-2.0
// What HAProxy's socket answers, read: pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace penstock {

// `show info`: the lines "Name: NUMBER"; others are left out.
std::map<std::string, uint64_t> parse_info(const std::string& text);

// `show stat`: a row each frontend, backend and server, by the names of the heading.
std::vector<std::map<std::string, std::string>> parse_stat(const std::string& text);

// `show table`: how many connections each key had.
std::map<std::string, uint64_t> parse_table(const std::string& text);

}  // namespace penstock
