// SPDX-License-Identifier: Apache-2.0
// Small text files, written beside and renamed.
#include "controlplane/control/state_files.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace penstock {
namespace {

Result<void> write_file(const std::string& path, const std::string& text) {
  const std::string beside = path + ".new";
  {
    std::ofstream file(beside, std::ios::trunc);
    chmod(beside.c_str(), 0600);
    file << text;
    if (!file.flush()) return fail_errno("cannot write " + beside, errno);
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
  if (error)
    return fail_errno(fmt::format("cannot make control.state_directory {}", path), error.value());
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

std::set<IpAddress> load_announced(const std::string& state_directory) {
  std::set<IpAddress> vips;
  std::ifstream file(state_directory + "/announced");
  for (std::string line; std::getline(file, line);) {
    if (const auto address = IpAddress::parse(line)) vips.insert(*address);
  }
  return vips;
}

Result<void> save_announced(const std::string& state_directory, const std::set<IpAddress>& vips) {
  std::string text;
  for (const IpAddress& vip : vips) text += to_string(vip) + "\n";
  return write_file(state_directory + "/announced", text);
}

}  // namespace penstock
