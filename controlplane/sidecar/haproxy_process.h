// SPDX-License-Identifier: Apache-2.0
// HAProxy in master-worker mode, as a process beside the daemon: begun, found again after a restart
// of the daemon, begun anew when it has died, and ended only when forwarding is to end.
//
// It lives in the sidecar's network namespace, as a user of its own, with CAP_NET_RAW (to connect
// from clients' addresses) and CAP_NET_BIND_SERVICE and nothing else.
#pragma once

#include <sys/types.h>

#include <string>

#include "dataplane/fd.h"
#include "dataplane/process.h"
#include "dataplane/result.h"

namespace penstock {

struct HaproxyFiles {
  std::string network_namespace;  // as `ip netns` has it
  std::string config;
  std::string pid;           // written by the master
  std::string stats_socket;  // of the worker
};

// The user that Debian's package makes; kUnsupported: it is not there, and how to get it.
struct HaproxyUser {
  uid_t uid = 0;
  gid_t gid = 0;
};
Result<HaproxyUser> find_haproxy_user();

// How many connections the limit of open files lets HAProxy have, which begins with ours: raised
// as far as the kernel allows.
uint32_t allow_connections(uint32_t wanted);

class HaproxyProcess {
 public:
  HaproxyProcess(HaproxyFiles files, HaproxyUser user);

  // One that runs is left alone. Returns when it serves, or with why it does not.
  Result<void> ensure();
  // The configuration has changed: new connections are served by it, those that are there stay
  // with the worker that has them. Returns when the new worker serves.
  Result<void> reload();
  // Begins it anew when it has died. To be called several times a second. An error says what
  // happened.
  Result<void> look_after();
  // At once, with its connections.
  Result<void> end();

  bool is_running() const;
  // The same, when one of an earlier daemon counts too.
  bool find_running() { return is_running() || find(); }
  pid_t pid() const { return is_running() ? pid_ : 0; }
  uint32_t restarts() const { return restarts_; }

 private:
  Result<void> start();
  bool find();
  Result<void> wait_until_serving(pid_t other_than);
  pid_t worker() const;

  HaproxyFiles files_;
  HaproxyUser user_;
  pid_t pid_ = 0;  // of the master; 0: none
  Fd handle_;      // of it (pidfd_open(2)): tells that it has ended, whosever child it was
  bool is_child_ = false;
  bool was_serving_ = false;
  uint32_t restarts_ = 0;
  RestartPause pause_;
};

}  // namespace penstock
