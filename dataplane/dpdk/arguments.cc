// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "dataplane/dpdk/options.h"

namespace penstock::dpdk {

std::vector<std::string> to_arguments(const ForwarderOptions& options) {
  std::vector<std::string> words{"--segment", options.segment};
  const auto add = [&](const char* name, const auto& value) {
    words.emplace_back(name);
    words.push_back(fmt::format("{}", value));
  };
  for (const uint32_t cpu : options.cpus) add("--cpu", cpu);
  for (const PortOptions& port : options.ports) {
    add("--port", fmt::format("{}={}", port.interface, port.device));
  }
  if (options.hugepages) words.emplace_back("--hugepages");
  add("--memory-mb", options.memory_mb);
  add("--burst", options.burst);
  add("--descriptors", options.descriptors);
  add("--idle-sleep-us", options.idle_sleep_us);
  for (const std::string& word : options.eal) add("--eal", word);
  return words;
}

}  // namespace penstock::dpdk
