// SPDX-License-Identifier: Apache-2.0
#include "dataplane/process.h"

#include <fmt/format.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>

extern char** environ;

namespace penstock {
namespace {

constexpr std::chrono::milliseconds kFirstPause{200};
constexpr std::chrono::milliseconds kLongestPause{10'000};
constexpr std::chrono::milliseconds kGoodWhile{10'000};

}  // namespace

Result<pid_t> spawn_detached(const std::string& program, const std::vector<std::string>& words) {
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  pid_t child = 0;
  const int code =
      posix_spawnp(&child, program.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code == 0) return child;
  return fail_errno(fmt::format("cannot start {}", program), code);
}

void RestartPause::runs() {
  if (Clock::now() - begun_ > kGoodWhile) pause_ = std::chrono::milliseconds(0);
}

void RestartPause::ended(bool came_up) {
  pause_ =
      std::clamp(pause_ * 2, came_up ? std::chrono::milliseconds(0) : kFirstPause, kLongestPause);
}

}  // namespace penstock
