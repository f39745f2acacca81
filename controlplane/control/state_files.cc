// SPDX-License-Identifier: Apache-2.0
// Small text files, for their owner only, written beside and renamed.
#include "controlplane/control/state_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace penstock {
namespace {

Result<void> write_file(const std::string& path, const std::string& text) {
  const std::string beside = path + ".new";
  const int file = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return fail_errno("cannot make " + beside, errno);
  const ssize_t written = write(file, text.data(), text.size());
  const int error = written < 0 ? errno : ENOSPC;
  close(file);
  if (written != static_cast<ssize_t>(text.size())) {
    return fail_errno("cannot write " + beside, error);
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) {
    return fail_errno("cannot rename " + beside, errno);
  }
  return {};
}

}  // namespace

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
  if (auto written = write_file(path, seed + "\n"); !written) {
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
  return write_file(state_directory + "/announced", text);
}

}  // namespace penstock
