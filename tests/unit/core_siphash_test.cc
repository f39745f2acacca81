// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3 against values computed by another implementation, which was checked with the 2-4
// vectors of the paper.
#include <gtest/gtest.h>

#include <random>

#include "dataplane/core/siphash_lanes.h"
#include "dataplane/tables/convert.h"

namespace penstock {
namespace {

struct Vector {
  __u64 key[2];
  const char* address;
  uint64_t hash;
};

constexpr uint64_t kLow = 0x0706050403020100;
constexpr uint64_t kHigh = 0x0f0e0d0c0b0a0908;
constexpr uint64_t kOnes = ~0ull;

const Vector kVectors[] = {
    {{kLow, kHigh}, "0.0.0.0", 0x009fe5e6a916d7de},
    {{kLow, kHigh}, "1.2.3.4", 0xf07c6b8807de6dcc},
    {{kLow, kHigh}, "198.18.0.1", 0x69768cf280b178ad},
    {{kLow, kHigh}, "255.255.255.255", 0x295a20a62a3937fb},
    {{kLow, kHigh}, "::", 0x403e4b0d4f19f787},
    {{kLow, kHigh}, "1:203:405:607:809:a0b:c0d:e0f", 0xcc4fdd1a7d908b66},
    {{kLow, kHigh}, "2001:db8:18::1", 0x2da3935b64b1148f},
    {{kLow, kHigh}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0x04c3a2db341281ec},
    {{0, 0}, "0.0.0.0", 0xcc2247b79ac48af0},
    {{0, 0}, "198.18.0.1", 0x9f3ab63302689fbe},
    {{0, 0}, "::", 0x76be999e3e25b2a0},
    {{0, 0}, "2001:db8:18::1", 0x46703d2e2a698f59},
    {{kOnes, kOnes}, "255.255.255.255", 0xb9132cd1c265c78b},
    {{kOnes, kOnes}, "2001:db8:18::1", 0x47ce9f7a42fd7a6b},
    {{kOnes, kOnes}, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0xc51ea4f6822a5355},
};

TEST(SipHash, AgreesWithAnotherImplementation) {
  for (const Vector& vector : kVectors) {
    const IpAddress address = IpAddress::parse(vector.address).value();
    const ps_address wire = to_wire(address);
    EXPECT_EQ(ps_siphash_address(vector.key, family_number(address), &wire), vector.hash)
        << vector.address;
  }
}

template <int family>
void expect_lanes_to_agree(std::mt19937_64& random) {
  alignas(64) __u64 words[PS_CLIENT_WORDS][PS_LANES];
  const __u64 key[2] = {random(), random()};
  __u64 expected[PS_LANES];
  for (__u32 i = 0; i < PS_LANES; i++) {
    ps_address address{};
    for (ps_be32& word : address.word) word.raw = static_cast<__u32>(random());
    const ps_be16 port{static_cast<__u16>(random())};
    const int with_port = static_cast<int>(random() % 2);
    __u64 word[PS_CLIENT_WORDS];
    ps_client_words(family, &address, with_port, port, word);
    for (int w = 0; w < ps_client_word_count(family); w++) words[w][i] = word[w];
    expected[i] = ps_siphash_client(key, family, &address, with_port, port);
  }
  ps_sip begun;
  ps_sip_begin(&begun, key);
  ps_lanes hash;
  ps_siphash_lanes(&begun, ps_client_word_count(family), words[0], PS_LANES, &hash);
  for (__u32 i = 0; i < PS_LANES; i++) EXPECT_EQ(hash[i], expected[i]) << "lane " << i;
}

TEST(SipHash, OfManySideBySideIsThatOfEach) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 100; round++) {
    expect_lanes_to_agree<PS_IPV4>(random);
    expect_lanes_to_agree<PS_IPV6>(random);
  }
}

TEST(SipHash, ReadsOnlyTheFirstWordOfAnIpv4Address) {
  ps_address clean = to_wire(IpAddress::parse("198.18.0.1").value());
  ps_address dirty = clean;
  dirty.word[3].raw = 0xdeadbeef;
  const __u64 key[2] = {kLow, kHigh};
  EXPECT_EQ(ps_siphash_address(key, PS_IPV4, &dirty), ps_siphash_address(key, PS_IPV4, &clean));
  EXPECT_NE(ps_siphash_address(key, PS_IPV6, &dirty), ps_siphash_address(key, PS_IPV6, &clean));
}

}  // namespace
}  // namespace penstock
