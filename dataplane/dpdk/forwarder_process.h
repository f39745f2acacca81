// SPDX-License-Identifier: Apache-2.0
// penstock-dpdk as the control plane sees it: a process that it starts, finds again after a restart
// of its own, starts anew when it has died, and ends only when forwarding is to end.
#pragma once

#include <sys/types.h>

#include <string>

#include "dataplane/dpdk/options.h"
#include "dataplane/dpdk/segment.h"
#include "dataplane/process.h"
#include "dataplane/result.h"

namespace penstock::dpdk {

// Where it is: beside this program, or in this program's build tree. kUnsupported: nowhere, with
// what is missing.
Result<std::string> find_forwarder();

class ForwarderProcess {
 public:
  // The segment outlives this.
  ForwarderProcess(const Segment& segment, ForwarderOptions options, std::string program);

  // One that runs with these options is left alone, one that runs with others is replaced. Returns
  // when it forwards, or with why it does not.
  Result<void> ensure();

  // Starts it anew when it has died; soon at first, then less and less often. To be called several
  // times a second. An error says that it died, or that it cannot be started.
  Result<void> look_after();

  // What it had in hand is sent; what comes for services is dropped until another one forwards.
  Result<void> end();
  // And the kernel gets all packets again.
  Result<void> end_for_good();

  bool is_running() const { return segment_.is_held(Holder::kForwarder); }
  uint32_t restarts() const { return restarts_; }

 private:
  Result<void> start();
  Result<void> wait_until_forwarding();
  bool has_exited();

  const Segment& segment_;
  ForwarderOptions options_;
  std::string program_;
  pid_t child_ = 0;  // of ours; 0: none, or an earlier control plane's
  bool was_running_ = false;
  uint32_t restarts_ = 0;
  RestartPause pause_;
};

}  // namespace penstock::dpdk
