// SPDX-License-Identifier: Apache-2.0
// Several workers open flows over the same tables at once. Nothing is locked, so the promises are
// checked afterwards.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "core_world.h"
#include "dataplane/tables/reader.h"

namespace penstock {
namespace {

constexpr uint32_t kWorkers = 4;
using Tuple = std::tuple<uint32_t, uint16_t, BackendId>;

class ConcurrentFlows : public ::testing::TestWithParam<Family> {
 protected:
  // Every worker runs `work(worker)`; all start together.
  template <typename Work>
  void on_all_workers(const Work& work) {
    std::atomic<uint32_t> ready = 0;
    std::vector<std::thread> threads;
    for (uint32_t worker = 0; worker < kWorkers; worker++) {
      threads.emplace_back([&, worker] {
        ready++;
        while (ready < kWorkers) std::this_thread::yield();
        work(worker);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  Sent syn(const Endpoint& client, uint32_t worker) const {
    Packet packet = world_.header;
    packet.source = client;
    packet.destination = CoreWorld::vip(GetParam());
    packet.tcp_flags = kSyn;
    return world_.send(packet, worker);
  }

  Endpoint client(uint32_t number) const { return CoreWorld::client(GetParam(), number); }

  // Every live flow's return tuple; fails when two have the same.
  std::set<Tuple> return_tuples() const {
    std::set<Tuple> tuples;
    const ps_tables& tables = world_.tables();
    const int family = static_cast<int>(GetParam());
    for (uint32_t set = 0; set < ps_flow_sets(&tables); set++) {
      for (uint32_t way = 0; way < PS_FLOW_WAYS; way++) {
        const ps_flow* flow = ps_flow_way(ps_flow_set_at(&tables, family, set), family, way);
        if (ps_flow_state(flow->word) == PS_FLOW_FREE) continue;
        EXPECT_EQ(ps_flow_state(flow->word), PS_FLOW_HALF_OPEN);
        const Tuple tuple{ps_flow_snat(flow->word), flow->snat_port.raw, flow->backend};
        EXPECT_TRUE(tuples.insert(tuple).second) << ps_host16(flow->snat_port);
      }
    }
    return tuples;
  }

  void empty_flow_tables() const {
    const ps_tables& tables = world_.tables();
    std::memset(tables.flows4, 0, tables.flow_sets * sizeof *tables.flows4);
    std::memset(tables.flows6, 0, tables.flow_sets * sizeof *tables.flows6);
  }

  static void use_port(CoreWorld& world, uint16_t port) {
    world.state.settings.snat_port_first = world.state.settings.snat_port_last = port;
    world.publish();
  }

  // Another port whose flow to the only backend stands in the same set.
  static uint16_t port_with_the_set_of(const CoreWorld& world, uint16_t port) {
    const ps_tables& tables = world.tables();
    const int family = static_cast<int>(GetParam());
    const uint32_t generation = tables.control->generation & 1;
    const ps_settings* settings = ps_settings_at(&tables, generation);
    const BackendId id = backend_id(CoreWorld::service_id(GetParam()), 0);
    const auto set_of = [&](uint16_t number) {
      const ps_tuple tuple = ps_return_tuple(
          settings, family, ps_backend_at(&tables, generation, id), 0, ps_wire16(number));
      return ps_flow_set_of(&tables, settings, family, &tuple);
    };
    uint16_t other = port;
    do other++;
    while (set_of(other) != set_of(port));
    return other;
  }

  // A small pool towards one backend: the workers meet at the same ports.
  CoreWorld world_{
      {.flow_table_entries = 8192, .backends = 1, .port_last = 22047, .workers = kWorkers}};
};

INSTANTIATE_TEST_SUITE_P(Families, ConcurrentFlows, ::testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& parameter) {
                           return std::string(to_string(parameter.param));
                         });

TEST_P(ConcurrentFlows, OfDifferentClientsNeverShareAReturnTuple) {
  constexpr uint32_t kEach = 480;
  std::atomic<uint32_t> refused = 0;
  on_all_workers([&](uint32_t worker) {
    for (uint32_t n = 0; n < kEach; n++) {
      refused += !syn(client(worker * 100000 + n), worker).forwarded();
    }
  });
  EXPECT_EQ(return_tuples().size() + refused, kWorkers * kEach);
  EXPECT_LT(refused, kWorkers * kEach / 20);
  uint32_t found = 0;
  for (uint32_t worker = 0; worker < kWorkers; worker++) {
    for (uint32_t n = 0; n < kEach; n++) {
      found += world_.state_of(client(worker * 100000 + n)) == PS_FLOW_HALF_OPEN;
    }
  }
  EXPECT_EQ(found, kWorkers * kEach - refused);
}

// A pool of two ports and four newcomers at the same instant, again and again over emptied tables.
TEST_P(ConcurrentFlows, ThatMeetAtOnePortNeverShareIt) {
  constexpr uint32_t kRounds = 100;
  world_.state.settings.snat_port_last = 20001;
  world_.publish();
  std::atomic<uint32_t> arrived = 0;
  const auto meet = [&](uint32_t times) {
    arrived++;
    while (arrived < times * kWorkers) std::this_thread::yield();
  };
  on_all_workers([&](uint32_t worker) {
    for (uint32_t round = 0; round < kRounds; round++) {
      meet(2 * round + 1);
      syn(client(round * kWorkers + worker), worker);
      meet(2 * round + 2);
      if (worker == 0) {
        EXPECT_LE(return_tuples().size(), 2u);
        empty_flow_tables();
      }
    }
  });
}

// A set whose first place becomes free between two ticks, and a pool of one port: who has not seen
// the tick takes the second place, who has takes the first.
TEST_P(ConcurrentFlows, ThatMeetAtOnePortInTwoPlacesNeverShareIt) {
  constexpr uint32_t kRounds = 20000;
  constexpr uint32_t kHalfOpenTicks = 38;  // 10 s
  CoreWorld world({.flow_table_entries = 8, .backends = 1, .port_last = 20000, .workers = 2});
  const uint16_t neighbour = port_with_the_set_of(world, 20000);
  const auto prepare = [&](Packet syn) {
    syn.source = client(3);
    world.wait_ticks(10 * kHalfOpenTicks);
    use_port(world, neighbour);
    world.send(syn);
    world.wait_ticks(kHalfOpenTicks);
    use_port(world, 20000);
  };
  std::atomic<uint32_t> arrived = 0;
  const auto meet = [&](uint32_t times) {
    arrived++;
    for (uint32_t spins = 1; arrived < times * 2; spins++) {
      if (spins % 4096 == 0) std::this_thread::yield();
    }
  };
  std::array<bool, 2> forwarded{};
  uint32_t shared = 0;
  const auto work = [&](uint32_t worker) {
    Packet syn = world.header;
    syn.tcp_flags = kSyn;
    syn.destination = CoreWorld::vip(GetParam());
    syn.source = client(worker + 1);
    for (uint32_t round = 0; round < kRounds; round++) {
      if (worker == 0) prepare(syn);
      meet(2 * round + 1);
      forwarded[worker] = world.send(syn, worker, worker).forwarded();
      meet(2 * round + 2);
      if (worker == 0) shared += forwarded[0] && forwarded[1];
    }
  };
  std::thread second(work, 1);
  work(0);
  second.join();
  EXPECT_EQ(shared, 0u) << "of " << kRounds << " rounds";
}

// The same SYN met by all workers at once: whatever they made of it, the client's next packets are
// of one mind.
TEST_P(ConcurrentFlows, OfOneClientComeToOneFlow) {
  constexpr uint32_t kClients = 100;
  std::vector<std::array<Sent, kWorkers>> sent(kClients);
  std::atomic<uint32_t> turn = 0;
  on_all_workers([&](uint32_t worker) {
    for (uint32_t n = 0; n < kClients; n++) {
      turn++;
      while (turn < (n + 1) * kWorkers) std::this_thread::yield();
      sent[n][worker] = syn(client(n), worker);
    }
  });
  return_tuples();
  uint32_t split = 0;
  for (uint32_t n = 0; n < kClients; n++) {
    const Sent next = syn(client(n), 0);
    ASSERT_TRUE(next.forwarded());
    std::set<Endpoint> sources;
    for (const Sent& each : sent[n]) {
      ASSERT_TRUE(each.forwarded());
      sources.insert(each.packet.source);
    }
    EXPECT_TRUE(sources.contains(next.packet.source));
    split += sources.size() > 1;
  }
  std::printf("%u of %u clients opened more than one flow\n", split, kClients);
}

TEST_P(ConcurrentFlows, CountEveryPacketOnce) {
  constexpr uint32_t kEach = 300;
  on_all_workers([&](uint32_t worker) {
    for (uint32_t n = 0; n < kEach; n++) syn(client(worker * 100000 + n), worker);
  });
  const auto counters = read_counters(world_.tables());
  const ServiceId service = CoreWorld::service_id(GetParam());
  uint64_t counted = counters.services.at(service).packets_to_backend;
  const auto dropped = counters.dropped.find(service);
  if (dropped != counters.dropped.end()) {
    for (const auto& [reason, count] : dropped->second) counted += count;
  }
  EXPECT_EQ(counted, kWorkers * kEach);
}

}  // namespace
}  // namespace penstock
