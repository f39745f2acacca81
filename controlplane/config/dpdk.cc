// SPDX-License-Identifier: Apache-2.0
#include "controlplane/config/dpdk.h"

#include <algorithm>
#include <regex>

namespace penstock {
namespace {

constexpr size_t kMostWorkers = 16;  // dpdk::kMaxWorkers
constexpr uint32_t kMostProcessors = 1024;

void read_lcores(TomlReader& reader, std::vector<uint32_t>& lcores) {
  lcores = reader.integers("lcores", 0, kMostProcessors - 1);
  if (lcores.size() > kMostWorkers) reader.fault("lcores", "at most 16 workers can run");
  std::vector<uint32_t> sorted = lcores;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
    reader.fault("lcores", "names a processor twice: a worker has one to itself");
  }
}

DpdkPortConfig read_port(const toml::table& table, const std::string& file, Findings& findings) {
  static const std::regex pci_address("([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7]");
  TomlReader reader(table, file, "dpdk.ports", findings);
  DpdkPortConfig port;
  reader.require("interface");
  reader.text("interface", port.interface);
  reader.require("device");
  reader.text("device", port.device);
  if (reader.has("device") && !std::regex_match(port.device, pci_address)) {
    reader.fault("device", fmt::format("found {}, expected a PCI address such as \"0000:01:00.0\": "
                                       "`lspci` names those there are",
                                       in_quotes(port.device)));
  }
  reader.finish();
  return port;
}

}  // namespace

void read_dpdk(const toml::table& table, const std::string& file, DpdkConfig& dpdk,
               Findings& findings) {
  TomlReader reader(table, file, "dpdk", findings);
  read_lcores(reader, dpdk.lcores);
  for (const auto* port : reader.tables("ports")) {
    dpdk.ports.push_back(read_port(*port, file, findings));
  }
  reader.boolean("hugepages", dpdk.hugepages);
  reader.integer("memory_mb", dpdk.memory_mb, 64, 65'536);
  reader.integer("burst", dpdk.burst, 1, 64);
  reader.integer("descriptors", dpdk.descriptors, 64, 32'768);
  reader.integer("idle_sleep_us", dpdk.idle_sleep_us, 0, 10'000);
  reader.text("segment", dpdk.segment);
  if (dpdk.segment.empty() || dpdk.segment.front() != '/') {
    reader.fault("segment", fmt::format("found {}, expected an absolute path, on a tmpfs or a "
                                        "hugetlbfs",
                                        in_quotes(dpdk.segment)));
  }
  dpdk.eal = reader.texts("eal");
  reader.finish();
}

}  // namespace penstock
