// SPDX-License-Identifier: Apache-2.0
// Processes beside the daemon: how they are begun, and how soon again.
#include "dataplane/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock {
namespace {

int exit_status_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(SpawnDetached, BeginsASessionOfItsOwn) {
  const auto child = spawn_detached("sh", {"-c",
                                           "read -r _ _ _ _ _ session _ < /proc/self/stat; "
                                           "test $session = $$ && exit 7"});
  ASSERT_TRUE(child);
  EXPECT_EQ(exit_status_of(*child), 7);
}

TEST(SpawnDetached, HandsOnNoFileButTheStandardOnes) {
  const int open_here = dup(0);
  const auto child =
      spawn_detached("sh", {"-c", "test ! -e /proc/self/fd/" + std::to_string(open_here)});
  ASSERT_TRUE(child);
  EXPECT_EQ(exit_status_of(*child), 0);
  close(open_here);
}

TEST(SpawnDetached, TellsThatThereIsNoSuchProgram) {
  const auto child = spawn_detached("/no/such/program", {});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().message, "cannot start /no/such/program: No such file or directory");
}

TEST(RestartPause, IsNoneForOneThatRan) {
  RestartPause pause;
  pause.begins();
  pause.ended(true);
  EXPECT_TRUE(pause.is_over());
}

TEST(RestartPause, GrowsWithEachStartThatFails) {
  RestartPause pause;
  for (int i = 0; i < 10; i++) {
    pause.begins();
    pause.ended(false);
  }
  EXPECT_FALSE(pause.is_over()) << "ten seconds";
}

TEST(WaitFor, EndsWithItsPatience) {
  EXPECT_TRUE(wait_for(std::chrono::milliseconds(0), [] { return true; }));
  EXPECT_FALSE(wait_for(std::chrono::milliseconds(20), [] { return false; }));
}

}  // namespace
}  // namespace penstock
