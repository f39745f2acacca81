// SPDX-License-Identifier: Apache-2.0
// Small text files, for their owner only, written beside and renamed.
#include "controlplane/control/state_files.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "controlplane/config/text_file.h"

namespace penstock {

Result<void> make_state_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail_errno("cannot make control.state_directory " + path, error.value());
  return {};
}

Result<std::string> kept_hash_seed(const std::string& state_directory) {
  const std::string path = state_directory + "/hash_seed";
  std::string seed;
  std::ifstream file(path);
  if (std::getline(file, seed) && !seed.empty()) return seed;
  std::array<uint8_t, 16> random{};
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return fail_errno("cannot make a hash seed", errno);
  }
  seed = fmt::format("{:02x}", fmt::join(random, ""));
  if (auto written = replace_text_file(path, seed + "\n"); !written) {
    return tl::unexpected(written.error());
  }
  return seed;
}

std::set<PlacedAddress> load_placed(const std::string& state_directory) {
  std::set<PlacedAddress> placed;
  std::ifstream file(state_directory + "/announced");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string interface, text;
    words >> interface >> text;
    if (const auto address = IpAddress::parse(text)) placed.insert({interface, *address});
  }
  return placed;
}

Result<void> save_placed(const std::string& state_directory,
                         const std::set<PlacedAddress>& placed) {
  std::string text;
  for (const auto& [interface, address] : placed) {
    text += fmt::format("{} {}\n", interface, to_string(address));
  }
  return replace_text_file(state_directory + "/announced", text);
}

}  // namespace penstock
