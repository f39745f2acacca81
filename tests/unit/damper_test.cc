// SPDX-License-Identifier: Apache-2.0
#include "controlplane/health/damper.h"

#include <gtest/gtest.h>

#include <string_view>

namespace penstock {
namespace {

// How often health changes over the results, '+' and '-'.
int observe(Damper& damper, std::string_view results) {
  int changes = 0;
  for (const char result : results) changes += damper.observe(result == '+');
  return changes;
}

TEST(Damper, TakesTheFirstResultAtOnce) {
  Damper up(2, 3);
  EXPECT_EQ(up.health(), Health::kUnknown);
  EXPECT_TRUE(up.observe(true));
  EXPECT_EQ(up.health(), Health::kUp);

  Damper down(2, 3);
  EXPECT_TRUE(down.observe(false));
  EXPECT_EQ(down.health(), Health::kDown);
}

TEST(Damper, GoesDownAfterFallFailuresInARow) {
  Damper damper(2, 3, Health::kUp);
  EXPECT_EQ(observe(damper, "--"), 0);
  EXPECT_EQ(damper.streak(), 2u);
  EXPECT_TRUE(damper.observe(false));
  EXPECT_EQ(damper.health(), Health::kDown);
  EXPECT_EQ(damper.streak(), 0u);
}

TEST(Damper, ComesUpAfterRiseSuccessesInARow) {
  Damper damper(2, 3, Health::kDown);
  EXPECT_FALSE(damper.observe(true));
  EXPECT_TRUE(damper.observe(true));
  EXPECT_EQ(damper.health(), Health::kUp);
}

TEST(Damper, ForgetsAStreakThatEnds) {
  Damper up(2, 3, Health::kUp);
  EXPECT_EQ(observe(up, "--+--+--+"), 0);
  Damper down(2, 3, Health::kDown);
  EXPECT_EQ(observe(down, "+-+-+-"), 0);
}

TEST(Damper, FlipsAtOnceWhenOneIsEnough) {
  Damper damper(1, 1, Health::kUp);
  EXPECT_EQ(observe(damper, "-+-+"), 4);
}

TEST(Damper, SaysNothingNewWhileNothingChanges) {
  Damper damper(1, 1, Health::kUp);
  EXPECT_EQ(observe(damper, "++++"), 0);
}

}  // namespace
}  // namespace penstock
