// SPDX-License-Identifier: Apache-2.0
// Checksum updates against full computation, the scaling of hashes, and the byte order of the wire
// types.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "core_world.h"
#include "dataplane/core/checksum.h"
#include "dataplane/tables/convert.h"

namespace penstock {
namespace {

using Words = std::array<uint16_t, 16>;  // in memory order

// RFC 1071 by the book: ones' complement sum with the carry added back at once.
uint16_t full_sum(const Words& words) {
  uint32_t sum = 0;
  for (const uint16_t word : words) {
    sum += word;
    if (sum > 0xffff) sum -= 0xffff;
  }
  return static_cast<uint16_t>(sum);
}

ps_address address_in(const Words& words, size_t at) {
  ps_address address{};
  std::memcpy(&address, words.data() + at, sizeof address);
  return address;
}

// Replaces the first address (8 words) and compares the update with a sum over everything.
void expect_update_holds(int family, Words words, const Words& replacement) {
  ps_be16 checksum{static_cast<uint16_t>(~full_sum(words))};
  const ps_address before = address_in(words, 0);
  const ps_address after = address_in(replacement, 0);
  const size_t address_words = family == PS_IPV4 ? 2 : 8;
  std::copy_n(replacement.begin(), address_words, words.begin());

  checksum = ps_sum_end(ps_sum_begin(checksum) + ps_sum_without_address(family, &before) +
                        ps_sum_address(family, &after));
  // A receiver's check: the sum with the checksum is all ones, whichever zero was written.
  uint32_t check = full_sum(words) + checksum.raw;
  if (check > 0xffff) check -= 0xffff;
  EXPECT_EQ(check, 0xffffu);
}

TEST(Checksum, OfOneHopLessIsTheSameInOneWordAsByASum) {
  for (const uint8_t ttl : std::array<uint8_t, 3>{2, 64, 255}) {
    for (uint32_t checksum = 0; checksum <= 0xffff; checksum++) {
      ps_ipv4 by_sum{.ttl = ttl, .protocol = PS_TCP, .checksum = {static_cast<__u16>(checksum)}};
      ps_ipv4 in_one_word = by_sum;
      ps_packet packet{};
      packet.ipv4 = &by_sum;
      ps_spend_hop(PS_IPV4, &packet, 0);
      packet.ipv4 = &in_one_word;
      ps_spend_only_hop(PS_IPV4, &packet);
      ASSERT_EQ(std::memcmp(&by_sum, &in_one_word, sizeof by_sum), 0) << checksum << ' ' << +ttl;
    }
  }
}

TEST(Checksum, UpdateEqualsFullComputationOverRandomData) {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; round++) {
    Words words{};
    Words replacement{};
    for (uint16_t& word : words) word = static_cast<uint16_t>(random());
    for (uint16_t& word : replacement) word = static_cast<uint16_t>(random());
    expect_update_holds(PS_IPV4, words, replacement);
    expect_update_holds(PS_IPV6, words, replacement);
  }
}

TEST(Checksum, UpdateEqualsFullComputationAtItsEdges) {
  Words zeros{};
  Words ones{};
  ones.fill(0xffff);
  Words sparse{};
  sparse[15] = 1;
  for (const int family : {PS_IPV4, PS_IPV6}) {
    for (const Words& from : {ones, sparse}) {
      for (const Words& to : {zeros, ones, sparse}) expect_update_holds(family, from, to);
    }
  }
}

TEST(Checksum, FoldsTheLargestSum) {
  EXPECT_EQ(ps_sum_fold(~0ull), 0xffff);
  EXPECT_EQ(ps_sum_fold(0xffffffffull), 0xffff);
  EXPECT_EQ(ps_sum_fold(0xffff0001ull), 1);
  EXPECT_EQ(ps_sum_fold(0), 0);
}

TEST(Scale, StaysInRange) {
  std::mt19937 random(2);
  for (const uint32_t count : {1u, 2u, 3u, 7u, 65537u, 1u << 20, 0x7fffffffu, 0xffffffffu}) {
    EXPECT_EQ(ps_scale(0, count), 0u);
    EXPECT_EQ(ps_scale(0xffffffff, count), count - 1);
    for (int round = 0; round < 1000; round++) {
      EXPECT_LT(ps_scale(static_cast<uint32_t>(random()), count), count);
    }
  }
  EXPECT_EQ(ps_scale(0xffffffff, 0), 0u);
}

TEST(WireTypes, HoldNetworkOrder) {
  const ps_be16 port = ps_wire16(80);
  uint8_t bytes[4];
  std::memcpy(bytes, &port, 2);
  EXPECT_EQ(bytes[0], 0);
  EXPECT_EQ(bytes[1], 80);
  const ps_be32 word = ps_wire32(0x01020304);
  std::memcpy(bytes, &word, 4);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[3], 4);
  EXPECT_EQ(ps_host16(port), 80);
  EXPECT_EQ(ps_host32(word), 0x01020304u);
}

TEST(WireTypes, MasksCoverTheirPrefix) {
  for (uint8_t bits = 0; bits <= 128; bits++) {
    EXPECT_EQ(prefix_bits(prefix_mask(bits)), bits);
    const IpAddress mask = from_wire(PS_IPV6, prefix_mask(bits));
    for (size_t bit = 0; bit < 128; bit++) {
      EXPECT_EQ(mask.bytes[bit / 8] >> (7 - bit % 8) & 1, bit < bits) << bit;
    }
  }
}

TEST(Translation, KeepsChecksumsRightInBothDirections) {
  CoreWorld world;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    for (uint32_t n = 0; n < 500; n++) {
      const Endpoint client = CoreWorld::client(family, n * 7919);
      const Sent syn = world.from_client(client, kSyn);
      const Sent answer = world.answer(syn.packet, kSyn | kAck, n * 0x01234567);
      const Sent query = world.datagram(client);
      const Sent reply = world.answer(query.packet);
      for (const Sent& sent : {syn, answer, query, reply}) {
        ASSERT_TRUE(sent.forwarded());
        ASSERT_TRUE(sent.checksums_hold) << n;
        ASSERT_EQ(sent.packet.hops, 63);
      }
      ASSERT_EQ(answer.packet.destination, client);
      ASSERT_EQ(answer.packet.source, CoreWorld::vip(family));
      ASSERT_EQ(answer.packet.to, world.header.from);
      ASSERT_EQ(answer.packet.from, world.header.to);
      ASSERT_EQ(syn.packet.destination.address.family, family);
    }
  }
}

}  // namespace
}  // namespace penstock
