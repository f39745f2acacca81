// SPDX-License-Identifier: Apache-2.0
// The keyed hash of names against an independent SipHash-1-3: CPython's hash of bytes, whose key is
// zero with PYTHONHASHSEED=0.
#include "controlplane/plan/hash_key.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(SipHashOfText, AgreesWithAnIndependentImplementation) {
  EXPECT_EQ(siphash({0, 0}, "a"), 0x407448d2b89b1813u);
  EXPECT_EQ(siphash({0, 0}, "abcdefg"), 0x6db12aae9070f506u);
  EXPECT_EQ(siphash({0, 0}, "abcdefgh"), 0x3f7b849c0b8e35eau);
  EXPECT_EQ(siphash({0, 0}, "10.0.0.1:3000"), 0xa69f0ec4c5bec424u);
}

TEST(SipHashOfText, TellsTextsOfDifferentLengthApart) {
  EXPECT_NE(siphash({1, 2}, ""), siphash({1, 2}, std::string_view("\0", 1)));
}

TEST(SipHashOfText, DependsOnBothWordsOfItsKey) {
  EXPECT_NE(siphash({1, 2}, "h1-a"), siphash({1, 3}, "h1-a"));
  EXPECT_NE(siphash({1, 2}, "h1-a"), siphash({0, 2}, "h1-a"));
}

TEST(HashKey, IsTheSameOnEveryApplianceWithTheSeed) {
  EXPECT_EQ(hash_key_from_seed("penstock"), (HashKey{0x1b1d6fef79abcf44u, 0xf4cb8ce148d404c4u}));
}

TEST(HashKey, DependsOnTheSeed) {
  EXPECT_NE(hash_key_from_seed("a")[0], hash_key_from_seed("b")[0]);
  EXPECT_NE(hash_key_from_seed("a")[1], hash_key_from_seed("b")[1]);
}

}  // namespace
}  // namespace penstock
