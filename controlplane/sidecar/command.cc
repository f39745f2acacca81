// SPDX-License-Identifier: Apache-2.0
#include "controlplane/sidecar/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/algorithm/string/replace.hpp>
#include <boost/algorithm/string/trim.hpp>
#include <cerrno>

#include "dataplane/fd.h"

extern char** environ;

namespace penstock {
namespace {

// Its outputs go into the pipe's end; the number of an error.
int spawn(const std::vector<std::string>& words, int output, pid_t& child) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  const int code = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return code;
}

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  ssize_t length = 0;
  while ((length = read(fd, buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<size_t>(length));
  }
  return text;
}

}  // namespace

Result<std::string> run_command(const std::vector<std::string>& words) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno("cannot make a pipe", errno);
  const Fd input(ends[0]);
  Fd output(ends[1]);
  pid_t child = 0;
  if (const int code = spawn(words, output.get(), child); code == ENOENT) {
    return fail(ErrorKind::kUnsupported,
                fmt::format("there is no program {}: install the package that has it", words[0]));
  } else if (code != 0) {
    return fail_errno("cannot start " + words[0], code);
  }
  output = Fd();
  std::string text = read_to_end(input.get());
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return text;
  boost::algorithm::trim(text);
  boost::algorithm::replace_all(text, "\n", "; ");
  return fail(ErrorKind::kSystem, fmt::format("{}: {}", fmt::join(words, " "), text));
}

}  // namespace penstock
