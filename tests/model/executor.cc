// SPDX-License-Identifier: Apache-2.0
// What the reference model is compared with: dataplanes that are given the same packets, one by
// one, by requests on stdin (executor.py writes them). Names of dataplanes: core, bpf.
//
// A message is its length (32 bits, little-endian as all numbers here) and so many bytes. The first
// of a request says what is asked:
//   H  names of reasons and of counters, as JSON
//   W  which of kSizes (8 bits), a configuration (JSON, as in the golden corpus) over empty tables
//      of these sizes: nothing
//   C  the configuration is exchanged: nothing
//   P  time in ns (64 bits), a frame: what each dataplane made of it. One outcome if they agree
//   F  time in ns: live flows, as (table, state, id, 64-bit number)
#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "dataplane/tables/reader.h"
#include "tests/golden/bpf_executor.h"
#include "tests/golden/configurator.h"
#include "tests/golden/core_executor.h"

namespace penstock::golden {
namespace {

constexpr uint32_t kMaxServices = 8;
constexpr uint32_t kMaxBackends = 16;
constexpr uint32_t kAffinityTables = 6;
constexpr uint32_t kAccessNodes = 1024;
constexpr TableSizes kSizes[] = {
    {64, kMaxServices, kMaxBackends, kAffinityTables, 48, kAccessNodes},
    {1024, kMaxServices, kMaxBackends, kAffinityTables, 1024, kAccessNodes}};

template <typename Number>
void append(Bytes& to, Number number) {
  const auto* at = reinterpret_cast<const uint8_t*>(&number);
  to.insert(to.end(), at, at + sizeof number);
}

// Summed over workers, each in its place.
using Sums = std::vector<uint64_t>;
constexpr size_t kTrafficFields = 5;

void add_traffic(Sums& sums, const ps_traffic* traffic, uint32_t workers, uint32_t ids) {
  const size_t first = sums.size();
  sums.resize(first + ids * kTrafficFields);
  for (uint32_t i = 0; i < workers * ids; i++) {
    uint64_t* sum = &sums[first + i % ids * kTrafficFields];
    const ps_traffic& from = traffic[i];
    sum[0] += from.packets_to_backend;
    sum[1] += from.bytes_to_backend;
    sum[2] += from.packets_to_client;
    sum[3] += from.bytes_to_client;
    sum[4] += from.new_flows;
  }
}

Sums counters(const ps_tables& tables) {
  Sums sums;
  add_traffic(sums, tables.service_traffic, tables.workers, tables.max_services);
  add_traffic(sums, tables.backend_traffic, tables.workers, tables.max_backends);
  const size_t first = sums.size();
  sums.resize(first + size_t{tables.max_services} * PS_REASON_COUNT);
  for (uint32_t i = 0; i < tables.workers * tables.max_services; i++) {
    uint64_t* sum = &sums[first + size_t{i % tables.max_services} * PS_REASON_COUNT];
    for (size_t reason = 0; reason < PS_REASON_COUNT; reason++) {
      sum[reason] += tables.reasons[i].count[reason];
    }
  }
  return sums;
}

// Each counter that moved: 0 services', 1 backends', 2 reasons; which of them; whose; by how much.
Bytes moved(const Sums& before, const Sums& after) {
  Bytes bytes;
  for (size_t i = 0; i < after.size(); i++) {
    if (after[i] == before[i]) continue;
    constexpr size_t kServices = kMaxServices * kTrafficFields;
    constexpr size_t kBackends = kMaxBackends * kTrafficFields;
    const uint8_t table = i < kServices ? 0 : i < kServices + kBackends ? 1 : 2;
    const size_t place = table == 0 ? i : table == 1 ? i - kServices : i - kServices - kBackends;
    const size_t fields = table == 2 ? size_t{PS_REASON_COUNT} : kTrafficFields;
    append(bytes, table);
    append(bytes, static_cast<uint8_t>(place % fields));
    append(bytes, static_cast<uint16_t>(place / fields));
    append(bytes, static_cast<uint32_t>(after[i] - before[i]));
  }
  return bytes;
}

struct Dataplane {
  std::string name;
  OpenExecutor open;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Configurator> configurator;
  Sums seen;  // counters, before the next packet
};

void check(const Result<void>& result) {
  if (!result) throw std::runtime_error(result.error().message);
}

class Player {
 public:
  explicit Player(std::vector<Dataplane> dataplanes) : dataplanes_(std::move(dataplanes)) {}

  Bytes answer(const Bytes& request) {
    const Bytes rest(request.begin() + 1, request.end());
    switch (request.at(0)) {
      case 'H': return hello();
      case 'W': return begin(rest);
      case 'C': return configure({rest.begin(), rest.end()});
      case 'P': return play(rest);
      case 'F': return flows(time(rest));
      default: throw std::runtime_error("no such request");
    }
  }

 private:
  static uint64_t time(const Bytes& bytes) {
    uint64_t now_ns = 0;
    if (bytes.size() < sizeof now_ns) throw std::runtime_error("a request without a time");
    std::memcpy(&now_ns, bytes.data(), sizeof now_ns);
    return now_ns;
  }

  static Bytes hello() {
    std::string names;
#define PS_REASON_NAME(name, verdict, text) names += ",\"" #name "\"";
    PS_REASONS(PS_REASON_NAME)
#undef PS_REASON_NAME
    const std::string text = "{\"reasons\":[\"none\"" + names +
                             "],\"traffic\":[\"packets_to_backend\",\"bytes_to_backend\","
                             "\"packets_to_client\",\"bytes_to_client\",\"new_flows\"]}";
    return {text.begin(), text.end()};
  }

  Bytes begin(const Bytes& world) {
    const TableSizes& sizes = kSizes[world.at(0) % std::size(kSizes)];
    for (Dataplane& dataplane : dataplanes_) {
      dataplane.configurator.reset();
      dataplane.executor.reset();
      auto opened = dataplane.open(sizes);
      if (!opened) throw std::runtime_error(opened.error().message);
      dataplane.executor = std::move(*opened);
      dataplane.configurator = std::make_unique<Configurator>(dataplane.executor->tables());
      dataplane.seen = counters(dataplane.executor->tables());
    }
    return configure({world.begin() + 1, world.end()});
  }

  Bytes configure(const std::string& text) {
    const Configuration configuration = read_configuration(text);
    for (Dataplane& dataplane : dataplanes_) check(dataplane.configurator->apply(configuration));
    return {};
  }

  // Action, the counters that moved and, unless it is dropped, the frame; the number of bytes
  // before both.
  static Bytes describe(Dataplane& dataplane, const Outcome& outcome) {
    Sums now = counters(dataplane.executor->tables());
    const Bytes counted = moved(dataplane.seen, now);
    dataplane.seen = std::move(now);
    Bytes bytes;
    append(bytes, static_cast<uint8_t>(outcome.action));
    append(bytes, static_cast<uint32_t>(counted.size()));
    bytes.insert(bytes.end(), counted.begin(), counted.end());
    const bool is_seen = outcome.action != PS_DROP;
    append(bytes, static_cast<uint32_t>(is_seen ? outcome.bytes.size() : 0));
    if (is_seen) bytes.insert(bytes.end(), outcome.bytes.begin(), outcome.bytes.end());
    return bytes;
  }

  // A dataplane that cannot say by which interface a frame leaves says only that it is another one
  // than it came in by: then it is the first that could.
  Bytes play(const Bytes& request) {
    const uint64_t now_ns = time(request);
    const Bytes frame(request.begin() + sizeof now_ns, request.end());
    std::vector<std::pair<uint32_t, Bytes>> outcomes;
    for (Dataplane& dataplane : dataplanes_) {
      const std::optional<Outcome> outcome = dataplane.executor->run(frame, now_ns);
      if (!outcome) continue;
      const uint32_t first = outcomes.empty() ? 0 : outcomes[0].first;
      const uint32_t other = first == kIngress ? 0 : first;
      const bool leaves = outcome->action == PS_TRANSMIT;
      const uint32_t interface_index = leaves ? outcome->interface_index.value_or(other) : 0;
      outcomes.emplace_back(interface_index, describe(dataplane, *outcome));
    }
    bool agree = true;
    for (const auto& outcome : outcomes) agree = agree && outcome == outcomes[0];
    if (agree && !outcomes.empty()) outcomes.resize(1);
    Bytes answer;
    for (const auto& [interface_index, bytes] : outcomes) {
      append(answer, interface_index);
      answer.insert(answer.end(), bytes.begin(), bytes.end());
    }
    return answer;
  }

  Bytes flows(uint64_t now_ns) {
    Bytes answer;
    for (const Dataplane& dataplane : dataplanes_) {
      const FlowSnapshot live = read_flows(dataplane.executor->tables(), ticks_of(now_ns));
      Bytes bytes;
      append_flows(bytes, 0, live.services);
      append_flows(bytes, 1, live.backends);
      if (answer.empty()) answer = bytes;
      if (bytes != answer) throw std::runtime_error("the dataplanes hold different flows");
    }
    return answer;
  }

  static void append_flows(Bytes& to, uint8_t table, const std::map<uint16_t, FlowCounts>& counts) {
    for (const auto& [id, count] : counts) {
      const uint64_t by_state[] = {count.half_open, count.established, count.closing};
      for (size_t state = 0; state < std::size(by_state); state++) {
        if (by_state[state] == 0) continue;
        append(to, table);
        append(to, static_cast<uint8_t>(state));
        append(to, id);
        append(to, by_state[state]);
      }
    }
  }

  std::vector<Dataplane> dataplanes_;
};

bool read_message(Bytes& message) {
  uint32_t bytes = 0;
  if (std::fread(&bytes, sizeof bytes, 1, stdin) != 1) return false;
  message.resize(bytes);
  return bytes == 0 || std::fread(message.data(), 1, bytes, stdin) == bytes;
}

void write_message(const Bytes& message) {
  const auto bytes = static_cast<uint32_t>(message.size());
  std::fwrite(&bytes, sizeof bytes, 1, stdout);
  if (bytes != 0) std::fwrite(message.data(), 1, bytes, stdout);
  std::fflush(stdout);
}

int serve(int argc, char** argv) {
  const auto programs = bpf_programs();
  std::vector<Dataplane> dataplanes;
  for (int i = 1; i < argc; i++) {
    const std::string name = argv[i];
    if (name != "core" && name != "bpf") throw std::invalid_argument("no dataplane " + name);
    dataplanes.push_back({.name = name, .open = open_core});
    if (name == "bpf") {
      dataplanes.back().open = [&](const TableSizes& sizes) { return programs->open(sizes); };
    }
  }
  Player player(std::move(dataplanes));
  for (Bytes message; read_message(message);) write_message(player.answer(message));
  return 0;
}

}  // namespace
}  // namespace penstock::golden

int main(int argc, char** argv) {
  try {
    return penstock::golden::serve(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", argv[0], error.what());
    return 1;
  }
}
