// SPDX-License-Identifier: Apache-2.0
// What the control plane runs beside itself: how such a process is begun, and how soon it is begun
// again when it ends.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/result.h"

namespace penstock {

// In a session of its own, since what ends us is not to end it, and without our open files but the
// standard ones. `program` is searched in PATH when it has no "/"; `words` come behind it.
Result<pid_t> spawn_detached(const std::string& program, const std::vector<std::string>& words);

// Whether it was done in time. Looks every few milliseconds, on the calling thread.
template <typename Done>
bool wait_for(std::chrono::milliseconds patience, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// How long to wait between starts: not at all for one that ran, twice as long with each that did
// not come up.
class RestartPause {
 public:
  using Clock = std::chrono::steady_clock;

  void begins() { begun_ = Clock::now(); }
  // It runs: after a good while a death is the first again.
  void runs();
  bool is_over() const { return Clock::now() - begun_ >= pause_; }
  // It has ended. `came_up`: it ran before.
  void ended(bool came_up);

 private:
  std::chrono::milliseconds pause_{0};
  Clock::time_point begun_{};
};

}  // namespace penstock
