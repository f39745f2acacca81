// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/forwarder_process.h"

#include <fmt/format.h>
#include <net/if.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "dataplane/af_xdp/steering.h"

namespace penstock::dpdk {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr milliseconds kStartPatience{30'000};  // an emulated machine takes its time
constexpr milliseconds kEndPatience{5'000};

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

Result<void> ForwarderProcess::start() {
  std::atomic_ref(segment_.report().is_forwarding).store(0, std::memory_order_release);
  segment_.report().failure[0] = 0;
  pause_.begins();
  const auto child = spawn_detached(program_, to_arguments(options_));
  child_ = child.value_or(0);
  return child ? Result<void>{} : tl::unexpected(child.error());
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
    pause_.runs();
    if (forwards(segment_.report())) was_running_ = true;
    return {};
  }
  if (child_) return {};  // it is on its way
  const bool died = std::exchange(was_running_, false);
  if (!died && !pause_.is_over()) return {};
  const std::string why = segment_.report().failure;
  pause_.ended(died);
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
