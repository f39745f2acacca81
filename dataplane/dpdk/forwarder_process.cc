// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/forwarder_process.h"

#include <fmt/format.h>
#include <net/if.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <thread>

#include "dataplane/af_xdp/steering.h"

extern char** environ;

namespace penstock::dpdk {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr milliseconds kStartPatience{30'000};  // an emulated machine takes its time
constexpr milliseconds kEndPatience{5'000};
constexpr milliseconds kFirstPause{200};
constexpr milliseconds kLongestPause{10'000};
constexpr milliseconds kGoodWhile{10'000};  // after which a death is the first again
constexpr milliseconds kLook{5};

template <typename Done>
bool wait_for(milliseconds patience, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(kLook);
  }
  return true;
}

bool forwards(const ForwarderReport& report) {
  return std::atomic_ref(const_cast<uint32_t&>(report.is_forwarding))
             .load(std::memory_order_acquire) == 1;
}

}  // namespace

Result<std::string> find_forwarder() {
  std::error_code ignored;
  const fs::path here = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const fs::path& path : {here / "penstock-dpdk", here / "../dataplane/penstock-dpdk"}) {
    if (access(path.c_str(), X_OK) == 0) return fs::weakly_canonical(path, ignored).string();
  }
  return fail(ErrorKind::kUnsupported,
              "this build has no penstock-dpdk: install libdpdk-dev and build with "
              "`meson configure build -Ddpdk=enabled`, or use driver = \"xdp\"");
}

ForwarderProcess::ForwarderProcess(const Segment& segment, ForwarderOptions options,
                                   std::string program)
    : segment_(segment), options_(std::move(options)), program_(std::move(program)) {}

Result<void> ForwarderProcess::ensure() {
  const std::string command = fmt::format("{}", fmt::join(to_arguments(options_), " "));
  const ForwarderReport& report = segment_.report();
  if (is_running()) {
    const bool is_same = command.compare(0, sizeof report.command - 1, report.command) == 0;
    if (is_same && wait_for(kStartPatience, [&] { return forwards(report) || !is_running(); }) &&
        is_running()) {
      was_running_ = true;
      return {};
    }
    if (auto ended = end(); !ended) return ended;
  }
  if (auto begun = start(); !begun) return begun;
  return wait_until_forwarding();
}

// In a session of its own: what ends us is not to end it.
Result<void> ForwarderProcess::start() {
  const std::vector<std::string> words = to_arguments(options_);
  std::vector<char*> argv{program_.data()};
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  std::atomic_ref(segment_.report().is_forwarding).store(0, std::memory_order_release);
  segment_.report().failure[0] = 0;
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  posix_spawn_file_actions_t actions;  // our control socket, or a lock, is not to outlive us in it
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  const int code =
      posix_spawn(&child_, program_.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  started_ = Clock::now();
  if (code == 0) return {};
  child_ = 0;
  return fail_errno(fmt::format("cannot start {}", program_), code);
}

Result<void> ForwarderProcess::wait_until_forwarding() {
  const ForwarderReport& report = segment_.report();
  const bool decided = wait_for(kStartPatience, [&] { return forwards(report) || has_exited(); });
  if (forwards(report)) {
    was_running_ = true;
    return {};
  }
  const char* why = report.failure[0] ? report.failure
                    : decided         ? "it ended, and said no more than what is above"
                                      : "it does not begin to forward";
  return fail(ErrorKind::kSystem, fmt::format("penstock-dpdk: {}", why));
}

bool ForwarderProcess::has_exited() {
  if (child_ && waitpid(child_, nullptr, WNOHANG) == child_) child_ = 0;
  return !child_;
}

Result<void> ForwarderProcess::look_after() {
  has_exited();
  if (is_running()) {
    if (Clock::now() - started_ > kGoodWhile) pause_ = milliseconds(0);
    if (forwards(segment_.report())) was_running_ = true;
    return {};
  }
  if (child_) return {};  // it is on its way
  const bool died = std::exchange(was_running_, false);
  if (!died && Clock::now() - started_ < pause_) return {};
  const std::string why = segment_.report().failure;
  pause_ = std::clamp(pause_ * 2, died ? milliseconds(0) : kFirstPause, kLongestPause);
  restarts_++;
  if (auto begun = start(); !begun) return begun;
  return fail(ErrorKind::kSystem,
              died ? "penstock-dpdk has died: it is started anew"
                   : fmt::format("penstock-dpdk did not start ({}): it is tried again",
                                 why.empty() ? "what it said is above" : why));
}

Result<void> ForwarderProcess::end() {
  const auto pid = static_cast<pid_t>(segment_.report().pid);
  if (!is_running() || pid <= 0) return {};
  for (const int signal : {SIGTERM, SIGKILL}) {
    kill(pid, signal);
    if (wait_for(kEndPatience, [&] {
          has_exited();
          return !is_running();
        })) {
      return {};
    }
  }
  return fail(ErrorKind::kSystem, fmt::format("penstock-dpdk (process {}) does not end", pid));
}

Result<void> ForwarderProcess::end_for_good() {
  if (auto ended = end(); !ended) return ended;
  const ForwarderReport& report = segment_.report();
  for (uint32_t i = 0; i < report.ports && i < kMaxPorts; i++) {
    if (std::string_view(report.port[i].device) != kAfXdp) continue;
    const uint32_t index = if_nametoindex(report.port[i].interface);
    if (auto detached = detach_steering(index); index && !detached) return detached;
  }
  return {};
}

}  // namespace penstock::dpdk
