// SPDX-License-Identifier: Apache-2.0
// The golden cases as values, read from corpus.json (its format: README.md).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/tables/writer.h"
#include "tests/golden/frame.h"

namespace penstock::golden {

struct Configuration {
  ForwardingState state;
  std::map<ServiceId, LookupTable> lookup_tables;
  // Of services with affinity; here places count from the first affinity table.
  std::map<LookupTableId, LookupTable> earlier_tables;
  std::set<LookupTableId> begun;
  std::vector<LocalInterface> interfaces;
};

enum class Verdict : uint8_t { kTransmit, kPass, kDrop, kAny };

struct Step {
  std::string summary;
  std::chrono::milliseconds advance{};         // before the packet
  std::optional<Configuration> configuration;  // applied before the packet
  Bytes in;
  std::string
      snat_in;  // the name of a source address and port seen before: the packet is sent there
  Verdict verdict = Verdict::kPass;
  std::string reason;  // what is counted unless it is transmitted; empty: nothing
  uint32_t interface_index = 0;
  Bytes out;
  std::string snat_out;  // the address and port that it is sent from get this name, or have it
  std::optional<std::array<uint64_t, 3>>
      flows;  // half-open, established, closing, after the packet
};

// "services/1/packets_to_backend", "reasons/0/not_ours": those that are not zero.
using Counters = std::map<std::string, uint64_t>;

struct Case {
  std::string name;
  uint32_t flow_table_entries = 0;
  Configuration configuration;
  std::vector<Step> steps;
  Counters counters;
};

// Throw std::exception: what cannot be read fails every test.
std::vector<Case> read_corpus(const std::string& path);
Configuration read_configuration(const std::string& text);

}  // namespace penstock::golden
