// SPDX-License-Identifier: Apache-2.0
// A burst is walked as its frames are one by one, however like each other they are: in two worlds
// that had the same packets before, outcomes, bytes, counters and flows are the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>

#include "core_world.h"
#include "dataplane/core/burst.h"

namespace penstock {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kRoom = 64;  // before a frame, for a tunnel's header

// How the packets of a test go.
enum class Way { kDsr, kTunnel, kDnat, kNat, kNatBack };

// A frame in memory of its own, with nothing behind it.
class Buffer {
 public:
  explicit Buffer(const Bytes& frame)
      : bytes_(std::make_unique<uint8_t[]>(kRoom + frame.size())),
        handle_{bytes_.get(), bytes_.get() + kRoom, bytes_.get() + kRoom + frame.size()} {
    std::copy(frame.begin(), frame.end(), handle_.data);
  }
  void place_in(ps_frame& frame) {
    frame.handle = &handle_;
    ps_frame_moved(&frame);
  }
  Bytes bytes() const { return {handle_.data, handle_.end}; }

 private:
  std::unique_ptr<uint8_t[]> bytes_;
  ps_handle handle_;
};

struct Walked {
  uint32_t leaves_by = PS_TO_KERNEL;
  Bytes bytes;

  bool operator==(const Walked& other) const {
    return leaves_by == other.leaves_by && bytes == other.bytes;
  }
};

Walked alone(const CoreWorld& world, const Bytes& frame) {
  Buffer buffer(frame);
  ps_frame placed{.interface_index = CoreWorld::kInterface, .now_ticks = world.now_ticks};
  buffer.place_in(placed);
  const ps_verdict verdict = ps_walk(&world.tables(), &placed);
  return {ps_outcome_of(&verdict), buffer.bytes()};
}

// What a driver with bursts keeps.
class Bursts {
 public:
  std::vector<Walked> walk(const CoreWorld& world, const std::vector<Bytes>& frames) {
    std::vector<Buffer> buffers;
    buffers.reserve(frames.size());
    for (const Bytes& frame : frames) buffers.emplace_back(frame);
    const auto count = static_cast<uint32_t>(frames.size());
    for (uint32_t i = 0; i < count; i++) buffers[i].place_in(burst_->frame[i]);
    const ps_origin origin{CoreWorld::kInterface, 0, world.now_ticks};
    ps_begin_burst(&world.tables(), &origin, burst_.get());
    ps_look_ahead(burst_.get(), count);
    alike_ = burst_->ahead[0].like ? burst_->ahead[0].alike : 0;
    ps_walk_burst(burst_.get(), count);
    std::vector<Walked> walked;
    for (uint32_t i = 0; i < count; i++) {
      walked.push_back({burst_->leaves_by[i], buffers[i].bytes()});
    }
    return walked;
  }
  // How many of the last burst's frames were found to be like the first.
  uint32_t alike() const { return alike_; }

 private:
  std::unique_ptr<ps_burst> burst_ = std::make_unique<ps_burst>();
  uint32_t alike_ = 0;
};

void expect_same_tables(const ps_tables& one, const ps_tables& other) {
  const auto same = [&](const auto* a, const auto* b, size_t count) {
    return std::memcmp(a, b, count * sizeof *a) == 0;
  };
  EXPECT_TRUE(same(one.service_traffic, other.service_traffic, one.max_services));
  EXPECT_TRUE(same(one.backend_traffic, other.backend_traffic, one.max_backends));
  EXPECT_TRUE(same(one.reasons, other.reasons, one.max_services));
  EXPECT_TRUE(same(one.flows4, other.flows4, one.flow_sets));
  EXPECT_TRUE(same(one.flows6, other.flows6, one.flow_sets));
  EXPECT_TRUE(same(one.flow_index4, other.flow_index4, one.index_sets));
  EXPECT_TRUE(same(one.flow_index6, other.flow_index6, one.index_sets));
}

// The same twice.
struct Worlds {
  explicit Worlds(const WorldOptions& options = {}) : one_by_one(options), in_bursts(options) {}

  CoreWorld one_by_one;
  CoreWorld in_bursts;
  Bursts bursts;

  template <typename Change>
  void both(Change change) {
    change(one_by_one);
    change(in_bursts);
  }

  void expect_same(const std::vector<Bytes>& frames) {
    const std::vector<Walked> walked = bursts.walk(in_bursts, frames);
    for (size_t i = 0; i < frames.size(); i++) {
      EXPECT_TRUE(walked[i] == alone(one_by_one, frames[i])) << "frame " << i;
    }
    expect_same_tables(one_by_one.tables(), in_bursts.tables());
  }
};

Packet from_client(const CoreWorld& world, Family family, Protocol protocol, uint32_t client) {
  Packet packet = world.header;
  packet.protocol = protocol;
  packet.source = CoreWorld::client(family, client);
  packet.destination = CoreWorld::vip(family, protocol);
  packet.tcp_flags = kAck;
  return packet;
}

// What the backend says to that client, whose flow is established.
Packet back_to_client(const CoreWorld& world, Family family, Protocol protocol, uint32_t client) {
  Packet packet = from_client(world, family, protocol, client);
  packet = world.send(packet).packet;
  std::swap(packet.source, packet.destination);
  std::swap(packet.from, packet.to);
  packet.hops = 64;
  return packet;
}

void establish(const CoreWorld& world, Family family, Protocol protocol, uint32_t client) {
  const Endpoint endpoint = CoreWorld::client(family, client);
  if (protocol == Protocol::kTcp) {
    world.establish(endpoint);
  } else {
    world.answer(world.datagram(endpoint).packet);
    world.datagram(endpoint);
  }
}

void use_mode(CoreWorld& world, Family family, Protocol protocol, Mode mode) {
  world.state.settings.tunnel_sources = {{*IpAddress::parse("198.18.0.1"), 32},
                                         {*IpAddress::parse("2001:db8:ffff::1"), 128}};
  ServiceEntry& service = world.state.services.at(CoreWorld::service_id(family, protocol));
  service.mode = mode;
  service.has_flows = mode == Mode::kNat;
  world.publish();
}

Mode mode_of(Way way) {
  switch (way) {
    case Way::kDsr: return Mode::kDsr;
    case Way::kTunnel: return Mode::kTunnel;
    case Way::kDnat: return Mode::kDnat;
    default: return Mode::kNat;
  }
}

using Parameters = std::tuple<Family, Protocol, Way>;

class Burst : public ::testing::TestWithParam<Parameters> {
 protected:
  explicit Burst(const WorldOptions& options = {}) : worlds_(made(options)) {}

  Family family() const { return std::get<Family>(GetParam()); }
  Protocol protocol() const { return std::get<Protocol>(GetParam()); }
  Way way() const { return std::get<Way>(GetParam()); }

  std::unique_ptr<Worlds> made(const WorldOptions& options) const {
    auto worlds = std::make_unique<Worlds>(options);
    worlds->both([&](CoreWorld& world) {
      use_mode(world, family(), protocol(), mode_of(way()));
      for (const uint32_t client : {1u, 2u}) establish(world, family(), protocol(), client);
    });
    return worlds;
  }
  // In the world that it is asked of: a backend's packet needs the client's first.
  Bytes frame(uint32_t client) {
    Bytes bytes;
    worlds_->both([&](const CoreWorld& world) {
      bytes = frame_of(way() == Way::kNatBack ? back_to_client(world, family(), protocol(), client)
                                              : from_client(world, family(), protocol(), client));
    });
    return bytes;
  }

  std::unique_ptr<Worlds> worlds_;
};

std::string name_of(const ::testing::TestParamInfo<Parameters>& info) {
  static const char* ways[] = {"dsr", "tunnel", "dnat", "nat", "nat_back"};
  const auto& [family, protocol, way] = info.param;
  return std::string(to_string(family))
      .append(to_string(protocol))
      .append(ways[static_cast<int>(way)]);
}

INSTANTIATE_TEST_SUITE_P(Ways, Burst,
                         ::testing::Combine(::testing::Values(Family::kIpv4, Family::kIpv6),
                                            ::testing::Values(Protocol::kTcp, Protocol::kUdp),
                                            ::testing::Values(Way::kDsr, Way::kTunnel, Way::kDnat,
                                                              Way::kNat, Way::kNatBack)),
                         name_of);

TEST_P(Burst, SeesThatAnotherClientsPacketIsAlike) {
  const std::vector<Bytes> frames{frame(1), frame(2)};
  worlds_->expect_same(frames);
  EXPECT_EQ(worlds_->bursts.alike(), 2u);
  EXPECT_EQ(worlds_->bursts.walk(worlds_->in_bursts, frames)[1].leaves_by, CoreWorld::kInterface);
}

TEST_P(Burst, IsWalkedAsFramesAreAloneWhateverBitOfOneIsAnother) {
  const Bytes first = frame(1);
  uint32_t alike = 0;
  for (size_t bit = 0; bit < first.size() * 8; bit++) {
    Bytes changed = first;
    changed[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    worlds_->expect_same({first, changed});
    alike += worlds_->bursts.alike() == 2;
    ASSERT_FALSE(HasFailure()) << "bit " << bit;
  }
  EXPECT_GT(alike, 100u);
  EXPECT_LT(alike, first.size() * 8 - 100);
}

TEST_P(Burst, IsWalkedAsFramesAreAloneWhereverOneEnds) {
  const Bytes first = frame(1);
  for (size_t size = 0; size < first.size(); size++) {
    Bytes cut = first;
    cut.resize(size);
    worlds_->expect_same({first, cut});
    ASSERT_FALSE(HasFailure()) << "cut at " << size;
  }
}

TEST_P(Burst, OfAsManyAsThereCanBeIsWalkedInOrder) {
  std::vector<Bytes> frames;
  for (uint32_t i = 0; i < PS_MAX_BURST; i++) frames.push_back(frame(1 + i % 2));
  worlds_->expect_same(frames);
  EXPECT_EQ(worlds_->bursts.alike(), PS_MAX_BURST);
}

TEST_P(Burst, GoesByNewTablesOnceTheyArePublished) {
  worlds_->expect_same({frame(1), frame(2)});
  for (const Mode mode : {Mode::kDsr, Mode::kDnat, mode_of(way())}) {
    worlds_->both([&](CoreWorld& world) { use_mode(world, family(), protocol(), mode); });
    worlds_->expect_same({frame(1), frame(2)});
  }
}

TEST_P(Burst, AsksForClientsWhereTheirServiceDoes) {
  const Bytes denied = frame(2);
  worlds_->both([&](CoreWorld& world) {
    ServiceEntry& service = world.state.services.at(CoreWorld::service_id(family(), protocol()));
    const uint8_t whole = family() == Family::kIpv4 ? 32 : 128;
    service.access.deny = {{CoreWorld::client(family(), 2).address, whole}};
    world.publish();
  });
  worlds_->expect_same({frame(1), denied});
}

TEST_P(Burst, GoesByWhatHasBecomeOfBackends) {
  const std::vector<Bytes> frames{frame(1), frame(2)};
  for (const auto& change : std::vector<void (*)(BackendEntry&)>{
           [](BackendEntry& backend) { backend.down = true; },
           [](BackendEntry& backend) { backend.next_hop->tags = {VlanTag{.vlan = 7}}; },
           [](BackendEntry& backend) { backend.next_hop.reset(); },
       }) {
    worlds_->both([&](CoreWorld& world) {
      for (auto& [id, backend] : world.state.backends) change(backend);
      world.publish();
    });
    worlds_->expect_same(frames);
  }
  worlds_->both([](CoreWorld& world) {
    world.state.backends.clear();
    world.publish();
  });
  worlds_->expect_same(frames);
}

TEST_P(Burst, GoesByWhatHasBecomeOfInterfaces) {
  const LocalInterface& own = kInterfaces[0];
  const LocalInterface tagged{9, own.mac, {VlanTag{.vlan = 7}}};
  const std::vector<Bytes> frames{frame(1), frame(2)};
  for (const auto& interfaces :
       std::vector<std::vector<LocalInterface>>{{own, tagged}, {tagged, own}, {own}}) {
    worlds_->both([&](CoreWorld& world) {
      world.interfaces = interfaces;
      world.publish();
    });
    worlds_->expect_same(frames);
    worlds_->expect_same({frame(1), frame(2)});
  }
}

TEST_P(Burst, SendsNothingFromAnAddressThatIsOursNoMore) {
  const std::vector<Bytes> frames{frame(1), frame(2)};
  worlds_->both([](CoreWorld& world) {
    world.state.settings.snat_addresses.clear();
    world.publish();
  });
  worlds_->expect_same(frames);
}

// Entries of the flow table and its index, as they were.
class KeptEntries {
 public:
  explicit KeptEntries(const ps_tables& tables) {
    keep(tables.flows4, tables.flow_sets);
    keep(tables.flows6, tables.flow_sets);
    keep(tables.flow_index4, tables.index_sets);
    keep(tables.flow_index6, tables.index_sets);
  }
  // Of the entries that are not empty.
  size_t bytes() const { return bytes_.size(); }
  void turn_bit(size_t byte, int bit) const { *bytes_[byte] ^= static_cast<uint8_t>(1 << bit); }
  void put_back() const {
    for (const auto& [at, bytes] : sets_) std::copy(bytes.begin(), bytes.end(), at);
  }

 private:
  template <typename Set>
  void keep(Set* sets, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
      auto* at = reinterpret_cast<uint8_t*>(&sets[i]);
      sets_.emplace_back(at, Bytes(at, at + sizeof *sets));
      for (auto& way : sets[i].way) keep_bytes(way);
    }
  }
  template <typename Entry>
  void keep_bytes(Entry& entry) {
    auto* at = reinterpret_cast<uint8_t*>(&entry);
    if (std::all_of(at, at + sizeof entry, [](uint8_t byte) { return byte == 0; })) return;
    for (size_t i = 0; i < sizeof entry; i++) bytes_.push_back(at + i);
  }

  std::vector<std::pair<uint8_t*, Bytes>> sets_;
  std::vector<uint8_t*> bytes_;
};

class FlowBurst : public Burst {
 protected:
  FlowBurst() : Burst({.flow_table_entries = 64}) {}
};

INSTANTIATE_TEST_SUITE_P(Ways, FlowBurst,
                         ::testing::Combine(::testing::Values(Family::kIpv4, Family::kIpv6),
                                            ::testing::Values(Protocol::kTcp, Protocol::kUdp),
                                            ::testing::Values(Way::kNat, Way::kNatBack)),
                         name_of);

TEST_P(FlowBurst, IsWalkedAsFramesAreAloneWhateverBitOfAFlowIsAnother) {
  const std::vector<Bytes> frames{frame(1), frame(2)};
  worlds_->expect_same(frames);
  const KeptEntries one(worlds_->one_by_one.tables());
  const KeptEntries other(worlds_->in_bursts.tables());
  ASSERT_EQ(one.bytes(), other.bytes());
  ASSERT_GT(one.bytes(), 2 * sizeof(ps_flow));
  for (size_t bit = 0; bit < one.bytes() * 8; bit++) {
    for (const KeptEntries* kept : {&one, &other}) {
      kept->put_back();
      kept->turn_bit(bit / 8, static_cast<int>(bit % 8));
    }
    worlds_->expect_same(frames);
    ASSERT_FALSE(HasFailure()) << "bit " << bit;
  }
}

// A flow table that is so full that many clients' entries stand in another set than their first.
class FullTableBurst : public ::testing::TestWithParam<Family> {
 protected:
  static constexpr uint32_t kClients = 256;

  FullTableBurst() {
    worlds_.both([](const CoreWorld& world) {
      for (uint32_t client = 0; client < kClients; client++) {
        world.establish(CoreWorld::client(GetParam(), client));
      }
    });
  }
  std::vector<Bytes> frames_from(uint32_t first_client) const {
    std::vector<Bytes> frames;
    for (uint32_t i = 0; i < PS_MAX_BURST; i++) {
      frames.push_back(
          frame_of(from_client(worlds_.in_bursts, GetParam(), Protocol::kTcp, first_client + i)));
    }
    return frames;
  }
  // What backends say to clients whose flows are steady.
  std::vector<Bytes> answers_to(uint32_t first_client) {
    std::vector<Bytes> frames(PS_MAX_BURST);
    worlds_.both([&](const CoreWorld& world) {
      for (uint32_t i = 0; i < PS_MAX_BURST; i++) {
        frames[i] = frame_of(back_to_client(world, GetParam(), Protocol::kTcp, first_client + i));
      }
    });
    return frames;
  }

  Worlds worlds_{{.flow_table_entries = kClients}};
};

INSTANTIATE_TEST_SUITE_P(Families, FullTableBurst, ::testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& of) { return std::string(to_string(of.param)); });

TEST_P(FullTableBurst, FindsFlowsWhereverTheirEntriesStand) {
  for (int round = 0; round < 3; round++) {
    for (uint32_t client = 0; client < kClients; client += PS_MAX_BURST) {
      worlds_.expect_same(frames_from(client));
    }
  }
}

TEST_P(FullTableBurst, LooksAtFlowsAgainInTime) {
  for (int round = 0; round < 20; round++) {
    worlds_.both([](CoreWorld& world) { world.now_ticks += 2; });
    for (uint32_t client = 0; client < kClients; client += PS_MAX_BURST) {
      worlds_.expect_same(frames_from(client));
    }
  }
}

TEST_P(FullTableBurst, FindsNoFlowsThatAreOver) {
  const std::vector<Bytes> answers = answers_to(0);
  worlds_.both([](CoreWorld& world) { world.now_ticks += 100'000; });
  worlds_.expect_same(answers);
  worlds_.expect_same(frames_from(0));
}

TEST_P(FullTableBurst, SendsAnswersOnFromEitherPlaceOfASetAndLooksAtFlowsInTime) {
  std::vector<std::vector<Bytes>> answers;
  for (uint32_t client = 0; client < kClients; client += PS_MAX_BURST) {
    answers.push_back(answers_to(client));
  }
  for (int round = 0; round < 20; round++) {
    for (const std::vector<Bytes>& frames : answers) worlds_.expect_same(frames);
    worlds_.both([](CoreWorld& world) { world.now_ticks += 2; });
  }
  const std::vector<Walked> walked = worlds_.bursts.walk(worlds_.in_bursts, answers[0]);
  EXPECT_EQ(walked[0].leaves_by, CoreWorld::kInterface);
}

// As many services as cannot have a place each among what is known of frames.
class CrowdedBurst : public ::testing::TestWithParam<Family> {
 protected:
  static constexpr uint16_t kServices = 40;

  CrowdedBurst() {
    worlds_.both([](CoreWorld& world) {
      use_mode(world, GetParam(), Protocol::kTcp, Mode::kDsr);
      const ServiceEntry pattern = world.state.services.at(CoreWorld::service_id(GetParam()));
      for (uint16_t i = 0; i < kServices; i++) {
        ServiceEntry service = pattern;
        service.vip.port = static_cast<uint16_t>(1000 + i);
        service.client_prefix_bits = static_cast<uint8_t>(i % 32);  // clients meet others in each
        world.state.services[static_cast<ServiceId>(10 + i)] = service;
      }
      world.publish();
    });
  }
  Bytes frame(uint32_t client, uint16_t service) const {
    Packet packet = from_client(worlds_.in_bursts, GetParam(), Protocol::kTcp, client);
    packet.destination.port = static_cast<uint16_t>(1000 + service);
    return frame_of(packet);
  }

  // Below that.
  uint32_t any(uint32_t end) { return static_cast<uint32_t>(random_() % end); }
  Bytes frame_for_any() { return frame(any(50), static_cast<uint16_t>(any(kServices))); }

  Worlds worlds_{{.services = 64}};
  std::mt19937 random_{7};
};

INSTANTIATE_TEST_SUITE_P(Families, CrowdedBurst, ::testing::Values(Family::kIpv4, Family::kIpv6),
                         [](const auto& of) { return std::string(to_string(of.param)); });

TEST_P(CrowdedBurst, MixesNoServicesUp) {
  for (int round = 0; round < 300; round++) {
    std::vector<Bytes> frames;
    while (frames.size() < PS_MAX_BURST) frames.push_back(frame_for_any());
    worlds_.expect_same(frames);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

TEST_P(CrowdedBurst, MayHoldFramesOfAnySort) {
  worlds_.both([](const CoreWorld& world) {
    for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
      for (const Family family : {Family::kIpv4, Family::kIpv6}) {
        if (family != GetParam()) establish(world, family, protocol, 3);
      }
    }
  });
  for (int round = 0; round < 300; round++) {
    std::vector<Bytes> frames;
    while (frames.size() < PS_MAX_BURST) {
      const Family family = any(2) ? Family::kIpv4 : Family::kIpv6;
      const Protocol protocol = any(2) ? Protocol::kTcp : Protocol::kUdp;
      Bytes bytes = any(3) ? frame_of(from_client(worlds_.in_bursts, family, protocol, any(5)))
                           : frame_for_any();
      if (any(4) == 0)
        bytes[any(static_cast<uint32_t>(bytes.size()))] = static_cast<uint8_t>(any(256));
      frames.push_back(bytes);
    }
    worlds_.expect_same(frames);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

}  // namespace
}  // namespace penstock
