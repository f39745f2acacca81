// SPDX-License-Identifier: Apache-2.0
// What golden packets do not show of VLAN tags: a driver that leaves no room for them, and that a
// worker holds on to none.
#include <gtest/gtest.h>

#include "core_world.h"
#include "dataplane/tables/reader.h"
#include "tests/walk.h"

namespace penstock {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr VlanTag kVlan{100, false};

class Vlans : public ::testing::Test {
 protected:
  Vlans() {
    for (auto& [id, backend] : world_.state.backends) backend.next_hop->tags = {kVlan};
    world_.publish();
  }

  Packet syn() const {
    Packet packet = world_.header;
    packet.source = CoreWorld::client(Family::kIpv4, 1);
    packet.destination = CoreWorld::vip(Family::kIpv4);
    packet.tcp_flags = kSyn;
    return packet;
  }

  CoreWorld world_;
};

TEST_F(Vlans, ThatFindNoRoomHaveTheFrameDroppedAndCounted) {
  EXPECT_EQ(world_.send(syn()).verdict.action, PS_DROP);  // its frame begins where its buffer does
  const auto dropped = read_counters(world_.tables()).dropped;
  ASSERT_TRUE(dropped.contains(0));
  EXPECT_EQ(dropped.at(0), (std::map<std::string, uint64_t>{{"no_room", 1}}));
}

TEST_F(Vlans, AreNotKeptForTheWorkersNextFrame) {
  ps_settings& settings =
      *ps_settings_at(&world_.tables(), world_.tables().control->generation & 1);
  settings.interfaces[0].tags = 200;
  Bytes bytes = frame_of(syn());
  const Bytes tag{0x81, 0, 0, 200};
  bytes.insert(bytes.begin() + 12, tag.begin(), tag.end());
  for (const uint8_t hops : {uint8_t{64}, uint8_t{1}}) {  // forwarded, and answered or dropped
    Bytes frame = bytes;
    frame.at(26) = hops;
    frame.insert(frame.begin(), 64, 0);
    ps_handle buffer{frame.data(), frame.data() + 64, frame.data() + frame.size()};
    const ps_frame input{buffer.data,           buffer.end, &buffer,
                         CoreWorld::kInterface, 0,          world_.now_ticks};
    EXPECT_EQ(walk(world_.tables(), input).action, PS_TRANSMIT);
    EXPECT_EQ(world_.tables().arrivals[0].tags, 0u);
    EXPECT_EQ(buffer.data[12], 0x81);
    EXPECT_EQ(buffer.data[15], hops == 64 ? 100 : 200);
  }
}

}  // namespace
}  // namespace penstock
