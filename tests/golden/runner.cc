// SPDX-License-Identifier: Apache-2.0
// Plays a case: applies its configuration, runs its packets one by one, compares bytes, verdicts,
// reasons, flows and counters. Reasons are told by the counter that moved, so they are judged alike
// for every dataplane.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "dataplane/tables/memory.h"
#include "dataplane/tables/reader.h"
#include "tests/golden/configurator.h"
#include "tests/golden/corpus.h"
#include "tests/golden/executor.h"

namespace penstock::golden {
namespace {

constexpr uint32_t kAffinityTables = 4;
constexpr uint32_t kAffinityEntries = 16;
constexpr uint32_t kAccessNodes = 64;

void add_traffic(Counters& counters, const std::string& prefix, const TrafficCounters& traffic) {
  const std::pair<const char*, uint64_t> all[] = {
      {"packets_to_backend", traffic.packets_to_backend},
      {"bytes_to_backend", traffic.bytes_to_backend},
      {"packets_to_client", traffic.packets_to_client},
      {"bytes_to_client", traffic.bytes_to_client},
      {"new_flows", traffic.new_flows}};
  for (const auto& [name, count] : all) {
    if (count != 0) counters[prefix + name] = count;
  }
}

Counters reasons(const CounterSnapshot& snapshot) {
  Counters counters;
  for (const auto* part : {&snapshot.dropped, &snapshot.passed, &snapshot.answered}) {
    for (const auto& [id, counts] : *part) {
      for (const auto& [name, count] : counts) {
        counters[fmt::format("reasons/{}/{}", id, name)] = count;
      }
    }
  }
  return counters;
}

Counters all_counters(const ps_tables& tables) {
  const CounterSnapshot snapshot = read_counters(tables);
  Counters counters = reasons(snapshot);
  for (const auto& [id, traffic] : snapshot.services) {
    add_traffic(counters, fmt::format("services/{}/", id), traffic);
  }
  for (const auto& [id, traffic] : snapshot.backends) {
    add_traffic(counters, fmt::format("backends/{}/", id), traffic);
  }
  return counters;
}

// The reasons counted between two readings, in one line.
std::string moved(const Counters& before, const Counters& after) {
  std::string names;
  for (const auto& [key, count] : after) {
    const auto known = before.find(key);
    for (uint64_t n = known == before.end() ? 0 : known->second; n < count; n++) {
      names += (names.empty() ? "" : " ") + key.substr(key.rfind('/') + 1);
    }
  }
  return names;
}

// What is dropped because nobody may be told of it has been made ready for an answer all the same.
bool may_be_answered(const std::string& reason) {
#define PS_REASON_IS_ANSWERED(name, verdict, text) \
  if (reason == #name) return ps_action_of(PS_REASON_##name) == PS_TRANSMIT;
  PS_REASONS(PS_REASON_IS_ANSWERED)
#undef PS_REASON_IS_ANSWERED
  return false;
}

std::array<uint64_t, 3> live_flows(const ps_tables& tables, uint64_t now_ns) {
  std::array<uint64_t, 3> sums{};
  for (const auto& [id, counts] : read_flows(tables, ticks_of(now_ns)).services) {
    sums[0] += counts.half_open;
    sums[1] += counts.established;
    sums[2] += counts.closing;
  }
  return sums;
}

class Player {
 public:
  explicit Player(Executor& executor) : executor_(executor), configurator_(executor.tables()) {}

  void configure(const Configuration& configuration) {
    settings_ = configuration.state.settings;
    const auto applied = configurator_.apply(configuration);
    ASSERT_TRUE(applied) << applied.error().message;
  }

  void play(const Step& step) {
    now_ns_ += static_cast<uint64_t>(std::chrono::nanoseconds(step.advance).count());
    if (step.configuration) configure(*step.configuration);
    Bytes frame = step.in;
    if (!step.snat_in.empty()) set_endpoint(frame, Side::kDestination, snats_.at(step.snat_in));

    const Counters before = reasons(read_counters(executor_.tables()));
    const std::optional<Outcome> outcome = executor_.run(frame, now_ns_);
    if (!outcome) return;
    const Counters after = reasons(read_counters(executor_.tables()));
    judge(step, frame, *outcome, moved(before, after));
    if (step.flows) {
      EXPECT_EQ(live_flows(executor_.tables(), now_ns_), *step.flows)
          << "half-open, established and closing flows";
    }
  }

 private:
  void judge(const Step& step, const Bytes& frame, const Outcome& outcome,
             const std::string& reason) {
    const bool transmitted = outcome.action == PS_TRANSMIT;
    if (step.verdict == Verdict::kAny) {
      EXPECT_EQ(reason, transmitted ? "" : step.reason);
      return;
    }
    const ps_action expected = step.verdict == Verdict::kTransmit ? PS_TRANSMIT
                               : step.verdict == Verdict::kDrop   ? PS_DROP
                                                                  : PS_PASS;
    ASSERT_EQ(outcome.action, expected) << "counted: " << reason;
    EXPECT_EQ(reason, step.reason);
    // What is dropped may have lost its tags before.
    const bool is_left = outcome.action == PS_PASS || !is_tagged(frame);
    if (!transmitted && is_left && !may_be_answered(reason)) {
      EXPECT_EQ(to_hex(outcome.bytes), to_hex(frame)) << "it was to be left as it is";
    }
    if (!transmitted) return;
    const uint32_t told = outcome.interface_index.value_or(step.interface_index);
    EXPECT_EQ(told, step.interface_index);
    EXPECT_EQ(outcome.interface_index == kIngress, step.interface_index == kIngress);
    Bytes out = step.out;
    if (!step.snat_out.empty()) place_snat(step.snat_out, outcome.bytes, out);
    EXPECT_EQ(to_hex(outcome.bytes), to_hex(out));
  }

  // The source that the packet left from is one of the pool, and the same one for every packet of
  // that name; it is put into the expected packet.
  void place_snat(const std::string& name, const Bytes& actual, Bytes& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    const Endpoint source = endpoint_of(actual, Side::kSource);
    const auto& addresses = settings_.snat_addresses;
    EXPECT_NE(std::find(addresses.begin(), addresses.end(), source.address), addresses.end())
        << to_string(source);
    EXPECT_GE(source.port, settings_.snat_port_first);
    EXPECT_LE(source.port, settings_.snat_port_last);
    const auto [known, is_new] = snats_.emplace(name, source);
    set_endpoint(expected, Side::kSource, known->second);
  }

  Executor& executor_;
  Configurator configurator_;
  ForwardingSettings settings_;
  uint64_t now_ns_ = 1'000'000'000'000'000;
  std::map<std::string, Endpoint> snats_;
};

class CorpusCase : public ::testing::Test {
 public:
  CorpusCase(const Case& c, const OpenExecutor& open) : case_(c), open_(open) {}

  void TestBody() override {
    SCOPED_TRACE(case_.name);
    const auto executor =
        open_({case_.flow_table_entries, 4, 8, kAffinityTables, kAffinityEntries, kAccessNodes});
    if (!executor && executor.error().kind == ErrorKind::kUnsupported) {
      GTEST_SKIP() << executor.error().message;
    }
    ASSERT_TRUE(executor) << executor.error().message;
    Player player(**executor);
    ASSERT_NO_FATAL_FAILURE(player.configure(case_.configuration));
    for (size_t i = 0; i < case_.steps.size(); i++) {
      SCOPED_TRACE(fmt::format("step {}: {}", i + 1, case_.steps[i].summary));
      ASSERT_NO_FATAL_FAILURE(player.play(case_.steps[i]));
    }
    EXPECT_EQ(all_counters((*executor)->tables()), case_.counters);
  }

 private:
  const Case& case_;
  const OpenExecutor& open_;
};

// "a client's SYN" to "AClientsSyn".
std::string test_name(const std::string& sentence) {
  std::string name;
  bool at_start = true;
  for (const char c : sentence) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      name += at_start ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    }
    at_start = c == ' ';
  }
  return name;
}

std::string corpus_path(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; i++) {
    if (std::strcmp(argv[i], "--corpus") == 0) return argv[i + 1];
  }
  const char* path = std::getenv("PENSTOCK_GOLDEN_CORPUS");
  return path ? path : PENSTOCK_GOLDEN_DIRECTORY "/corpus.json";
}

}  // namespace

int run_corpus(int argc, char** argv, const char* suite, const OpenExecutor& open) {
  ::testing::InitGoogleTest(&argc, argv);
  std::vector<Case> cases;
  try {
    cases = read_corpus(corpus_path(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", argv[0], error.what());
    return 1;
  }
  for (const Case& c : cases) {
    ::testing::RegisterTest(suite, test_name(c.name).c_str(), nullptr, nullptr, __FILE__, __LINE__,
                            [&c, &open] { return new CorpusCase(c, open); });
  }
  return RUN_ALL_TESTS();
}

}  // namespace penstock::golden
