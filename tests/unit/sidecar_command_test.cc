// SPDX-License-Identifier: Apache-2.0
// Programs of the system's, run to their end.
#include "controlplane/sidecar/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using ::testing::HasSubstr;

TEST(Command, GivesWhatTheProgramWroteToEitherOutput) {
  EXPECT_EQ(run_command({"sh", "-c", "echo a; echo b >&2"}).value(), "a\nb\n");
}

TEST(Command, HasNoInputToWaitFor) {
  EXPECT_EQ(run_command({"cat"}).value(), "");
}

TEST(Command, TakesMoreThanAPipeHolds) {
  EXPECT_EQ(run_command({"head", "-c", "300000", "/dev/zero"}).value().size(), 300'000u);
}

TEST(Command, IsShownWithWhatItSaidWhenItFails) {
  const auto failed = run_command({"sh", "-c", "echo one; echo two; exit 3"});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "sh -c echo one; echo two; exit 3: one; two");
}

TEST(Command, FailsByASignalToo) {
  EXPECT_FALSE(run_command({"sh", "-c", "kill -9 $$"}));
}

TEST(Command, IsMissedByName) {
  const auto missing = run_command({"no-such-program"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kUnsupported);
  EXPECT_THAT(missing.error().message, HasSubstr("no-such-program"));
}

}  // namespace
}  // namespace penstock
