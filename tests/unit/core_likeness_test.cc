// SPDX-License-Identifier: Apache-2.0
// A burst is walked as its frames are one by one, however like each other they are.
#include <gtest/gtest.h>

#include "core_world.h"
#include "dataplane/core/ahead.h"

namespace penstock {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kRoom = 64;  // before a frame, for a tunnel's header

// A frame in memory of its own, with nothing behind it.
class Buffer {
 public:
  explicit Buffer(const Bytes& frame) : bytes_(kRoom + frame.size()) {
    std::copy(frame.begin(), frame.end(), bytes_.begin() + kRoom);
    handle_ = {bytes_.data(), bytes_.data() + kRoom, bytes_.data() + bytes_.size()};
  }
  ps_frame frame() { return {handle_.data, handle_.end, &handle_, CoreWorld::kInterface, 0, 1000}; }
  Bytes bytes() const { return {handle_.data, handle_.end}; }

 private:
  Bytes bytes_;
  ps_handle handle_{};
};

struct Walked {
  ps_action action = PS_PASS;
  uint32_t interface_index = 0;
  Bytes bytes;
  bool by_likeness = false;

  bool operator==(const Walked& other) const {
    return action == other.action && bytes == other.bytes &&
           (action != PS_TRANSMIT || interface_index == other.interface_index);
  }
};

Walked alone(const ps_tables& tables, const Bytes& frame) {
  Buffer buffer(frame);
  const ps_frame placed = buffer.frame();
  const ps_verdict verdict = ps_walk(&tables, &placed);
  return {verdict.action, verdict.interface_index, buffer.bytes()};
}

// The second of two frames in a burst.
Walked behind(const ps_tables& tables, const Bytes& first, const Bytes& second) {
  Buffer buffers[] = {Buffer(first), Buffer(second)};
  const ps_frame frames[] = {buffers[0].frame(), buffers[1].frame()};
  ps_ahead ahead[2];
  ps_likes likes;
  likes.known = 0;
  for (int i = 0; i < 2; i++) ps_look_ahead(&tables, &frames[i], &likes, &ahead[i]);
  Walked walked;
  walked.by_likeness = ahead[1].like && ahead[1].like == ahead[0].like;
  for (int i = 0; i < 2; i++) {
    const ps_outcome outcome = ps_walk_ahead(&tables, &frames[i], &ahead[i]);
    walked.action = outcome.action;
    walked.interface_index = outcome.interface_index;
  }
  walked.bytes = buffers[1].bytes();
  return walked;
}

using Parameters = std::tuple<Family, Protocol, Mode>;

class Likeness : public ::testing::TestWithParam<Parameters> {
 protected:
  Likeness() {
    world_.state.settings.tunnel_sources = {{*IpAddress::parse("198.18.0.1"), 32},
                                            {*IpAddress::parse("2001:db8:ffff::1"), 128}};
    ServiceEntry& service = world_.state.services.at(CoreWorld::service_id(family(), protocol()));
    service.mode = std::get<Mode>(GetParam());
    service.has_flows = false;
    world_.publish();
  }
  Family family() const { return std::get<Family>(GetParam()); }
  Protocol protocol() const { return std::get<Protocol>(GetParam()); }
  Bytes frame(uint32_t client) const {
    Packet packet = world_.header;
    packet.protocol = protocol();
    packet.source = CoreWorld::client(family(), client);
    packet.destination = CoreWorld::vip(family(), protocol());
    packet.tcp_flags = kAck;
    return frame_of(packet);
  }

  CoreWorld world_;
};

std::string name_of(const ::testing::TestParamInfo<Parameters>& info) {
  const auto& [family, protocol, mode] = info.param;
  return std::string(to_string(family)).append(to_string(protocol)).append(to_string(mode));
}

INSTANTIATE_TEST_SUITE_P(Ways, Likeness,
                         ::testing::Combine(::testing::Values(Family::kIpv4, Family::kIpv6),
                                            ::testing::Values(Protocol::kTcp, Protocol::kUdp),
                                            ::testing::Values(Mode::kDsr, Mode::kTunnel,
                                                              Mode::kDnat)),
                         name_of);

TEST_P(Likeness, IsSeenInAnotherClientsPacket) {
  const Walked walked = behind(world_.tables(), frame(1), frame(2));
  EXPECT_TRUE(walked.by_likeness);
  EXPECT_EQ(walked.action, PS_TRANSMIT);
  EXPECT_TRUE(walked == alone(world_.tables(), frame(2)));
}

TEST_P(Likeness, ChangesNothingWhateverBitOfTheFrameIsAnother) {
  int alike = 0;
  for (size_t bit = 0; bit < frame(1).size() * 8; bit++) {
    Bytes changed = frame(1);
    changed[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    const Walked walked = behind(world_.tables(), frame(1), changed);
    EXPECT_TRUE(walked == alone(world_.tables(), changed)) << "bit " << bit;
    alike += walked.by_likeness;
  }
  EXPECT_GT(alike, 100);
  EXPECT_LT(alike, static_cast<int>(frame(1).size() * 8) - 100);
}

TEST_P(Likeness, ChangesNothingWhereverTheFrameEnds) {
  for (size_t size = 0; size < frame(1).size(); size++) {
    Bytes cut = frame(1);
    cut.resize(size);
    EXPECT_TRUE(behind(world_.tables(), frame(1), cut) == alone(world_.tables(), cut)) << size;
  }
}

TEST_P(Likeness, IsNotSeenWhereClientsAreAskedFor) {
  ServiceEntry& service = world_.state.services.at(CoreWorld::service_id(family(), protocol()));
  const uint8_t whole = family() == Family::kIpv4 ? 32 : 128;
  service.access.deny = {{CoreWorld::client(family(), 2).address, whole}};
  world_.publish();
  const Walked walked = behind(world_.tables(), frame(1), frame(2));
  EXPECT_FALSE(walked.by_likeness);
  EXPECT_EQ(walked.action, PS_DROP);
}

}  // namespace
}  // namespace penstock
