// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "dataplane/dpdk/options.h"

namespace penstock::dpdk {

ForwarderOptions parse_arguments(int argc, char** argv) {
  ForwarderOptions options;
  std::vector<std::string> ports;
  CLI::App app{
      "Forwards by DPDK what the tables of a running penstock say. Started by `penstock "
      "run` with driver = \"dpdk\"; forwards on without it."};
  app.add_option("--segment", options.segment, "The tables' file")->required();
  app.add_option("--cpu", options.cpus, "A worker's processor")->required();
  app.add_option("--port", ports, "INTERFACE=DEVICE")->required();
  app.add_flag("--hugepages", options.hugepages, "Packet memory on huge pages");
  app.add_option("--memory-mb", options.memory_mb, "Of packet memory");
  app.add_option("--burst", options.burst, "Frames at a time")->check(CLI::Range(1, 64));
  app.add_option("--descriptors", options.descriptors, "Of each queue");
  app.add_option("--idle-sleep-us", options.idle_sleep_us, "When there is nothing to do");
  app.add_option("--eal", options.eal, "More arguments for DPDK's environment")
      ->allow_extra_args(false)
      ->take_all();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  for (const std::string& port : ports) {
    const auto equals = port.find('=');
    options.ports.push_back({port.substr(0, equals), port.substr(equals + 1)});
  }
  return options;
}

}  // namespace penstock::dpdk
