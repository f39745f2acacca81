// SPDX-License-Identifier: Apache-2.0
#include "controlplane/sidecar/haproxy_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "controlplane/config/text_file.h"
#include "controlplane/sidecar/haproxy_socket.h"
#include "controlplane/sidecar/statistics.h"

namespace penstock {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStartPatience{5'000};
constexpr milliseconds kEndPatience{5'000};
// Two files for each connection, and those that HAProxy has beside them.
constexpr rlim_t kFilesAConnection = 2;
constexpr rlim_t kOtherFiles = 256;
constexpr const char* kCapabilities = "-all,+net_raw,+net_bind_service";

Fd open_process(pid_t pid) {
  return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

bool has_ended(const Fd& handle) {
  pollfd look{handle.get(), POLLIN, 0};
  return poll(&look, 1, 0) != 0;
}

// Words apart by zeros, each with one behind it.
bool is_haproxy_of(pid_t pid, const std::string& config) {
  const auto line = read_text_file(fmt::format("/proc/{}/cmdline", pid));
  return line && line->find("haproxy") != std::string::npos &&
         line->find('\0' + config + '\0') != std::string::npos;
}

}  // namespace

Result<HaproxyUser> find_haproxy_user() {
  const passwd* user = getpwnam("haproxy");
  if (user) return HaproxyUser{user->pw_uid, user->pw_gid};
  return fail(ErrorKind::kUnsupported,
              "there is no user haproxy: `apt install haproxy`, or set sidecar = \"none\" and let "
              "a program of your own end TLS");
}

uint32_t allow_connections(uint32_t wanted) {
  const rlim_t files = wanted * kFilesAConnection + kOtherFiles;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < files) {
    rlimit more{files, std::max(limit.rlim_max, files)};
    if (setrlimit(RLIMIT_NOFILE, &more) != 0) {  // without CAP_SYS_RESOURCE
      more = {std::min(limit.rlim_max, files), limit.rlim_max};
      setrlimit(RLIMIT_NOFILE, &more);
    }
    getrlimit(RLIMIT_NOFILE, &limit);
  }
  const rlim_t able = (limit.rlim_cur - std::min(limit.rlim_cur, kOtherFiles)) / kFilesAConnection;
  return static_cast<uint32_t>(std::min<rlim_t>(wanted, able));
}

HaproxyProcess::HaproxyProcess(HaproxyFiles files, HaproxyUser user)
    : files_(std::move(files)), user_(user) {}

bool HaproxyProcess::is_running() const {
  return pid_ != 0 && !has_ended(handle_);
}

// One that an earlier daemon began.
bool HaproxyProcess::find() {
  const auto text = read_text_file(files_.pid);
  const auto pid = text ? static_cast<pid_t>(std::atoi(text->c_str())) : 0;
  if (pid <= 0) return false;
  Fd handle = open_process(pid);  // before the look: behind it the number may be another one's
  if (!handle || !is_haproxy_of(pid, files_.config) || has_ended(handle)) return false;
  pid_ = pid;
  handle_ = std::move(handle);
  is_child_ = false;
  return true;
}

Result<void> HaproxyProcess::ensure() {
  if (find_running()) return wait_until_serving(0);
  if (auto begun = start(); !begun) return begun;
  return wait_until_serving(0);
}

Result<void> HaproxyProcess::start() {
  pause_.begins();
  std::error_code ignored;  // what a dead one has left is not to be taken for the new one's
  for (const auto& file : {files_.pid, files_.stats_socket}) {
    std::filesystem::remove(file, ignored);
  }
  const auto child = spawn_detached(
      "nsenter",
      {"--net=/run/netns/" + files_.network_namespace, "setpriv",
       fmt::format("--reuid={}", user_.uid), fmt::format("--regid={}", user_.gid), "--clear-groups",
       "--no-new-privs", fmt::format("--inh-caps={}", kCapabilities),
       fmt::format("--ambient-caps={}", kCapabilities),
       fmt::format("--bounding-set={}", kCapabilities), "haproxy", "-W", "-f", files_.config});
  if (!child) return tl::unexpected(child.error());
  pid_ = *child;
  handle_ = open_process(pid_);
  is_child_ = true;
  return {};
}

// That new connections go to; 0: none that is known.
pid_t HaproxyProcess::worker() const {
  const auto answer = ask_haproxy(files_.stats_socket, "show info");
  return answer ? static_cast<pid_t>(parse_info(*answer)["Pid"]) : 0;
}

Result<void> HaproxyProcess::wait_until_serving(pid_t other_than) {
  const bool serves = wait_for(kStartPatience, [&] {
    if (!is_running()) return true;
    const pid_t now = worker();
    return now != 0 && now != other_than;
  });
  if (serves && is_running()) {
    was_serving_ = true;
    return {};
  }
  return fail(ErrorKind::kSystem, is_running() ? "HAProxy does not begin to serve"
                                               : "HAProxy ended; what it said is above");
}

Result<void> HaproxyProcess::reload() {
  if (!is_running()) return ensure();
  const pid_t before = worker();
  if (syscall(SYS_pidfd_send_signal, handle_.get(), SIGUSR2, nullptr, 0) != 0) {
    return fail_errno("cannot tell HAProxy to read its configuration", errno);
  }
  return wait_until_serving(before);
}

Result<void> HaproxyProcess::look_after() {
  if (is_running()) {
    pause_.runs();
    if (!was_serving_) was_serving_ = worker() != 0;
    return {};
  }
  if (is_child_ && pid_) waitpid(pid_, nullptr, WNOHANG);
  pid_ = 0;
  const bool died = std::exchange(was_serving_, false);
  if (!died && !pause_.is_over()) return {};
  pause_.ended(died);
  restarts_++;
  if (auto begun = start(); !begun) return begun;
  return fail(ErrorKind::kSystem, died ? "HAProxy has died: it is started anew, and its "
                                         "connections are lost"
                                       : "HAProxy did not start: it is tried again; what it said "
                                         "is above");
}

Result<void> HaproxyProcess::end() {
  if (!find_running()) return {};
  for (const int signal : {SIGTERM, SIGKILL}) {
    syscall(SYS_pidfd_send_signal, handle_.get(), signal, nullptr, 0);
    if (!wait_for(kEndPatience, [&] { return has_ended(handle_); })) continue;
    if (is_child_) waitpid(pid_, nullptr, 0);
    pid_ = 0;
    return {};
  }
  return fail(ErrorKind::kSystem, fmt::format("HAProxy (process {}) does not end", pid_));
}

}  // namespace penstock
