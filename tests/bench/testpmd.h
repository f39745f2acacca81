// SPDX-License-Identifier: Apache-2.0
// dpdk-testpmd as a child process: what DPDK itself needs to take a packet in and send it back.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace penstock::bench {

// Of one lcore: processor time, so that what else runs on the machine is not counted.
struct Sample {
  uint64_t packets = 0;
  uint64_t ns = 0;
};

class Testpmd {
 public:
  // Starts it with these arguments, its own ones last; throws when it does not come up. It ends
  // with this, and with this process.
  explicit Testpmd(std::vector<std::string> arguments);
  ~Testpmd();
  Testpmd(const Testpmd&) = delete;
  Testpmd& operator=(const Testpmd&) = delete;

  // Forwards for as long on lcore 1, which sleeps before and after.
  Sample forward(std::chrono::milliseconds duration);

 private:
  void type(const std::string& command) const;
  std::string read_until(const std::string& last);

  pid_t pid_ = -1;
  int terminal_ = -1;  // its output to a pipe would come when its buffer is full
};

}  // namespace penstock::bench
