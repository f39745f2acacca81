// SPDX-License-Identifier: Apache-2.0
// Two network namespaces joined by a veth pair, for one test: `ps0` in the test's own, `ps1` in its
// peer's. Both end with the last descriptor to them: nothing is named, nothing is left behind.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "dataplane/address.h"

namespace penstock {

class NetlinkWorld : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    home_ = open_namespace();
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    peer_ = open_namespace();
    write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");  // or IPv6 takes two seconds
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    own_ = open_namespace();
    write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    run("ip link set lo up");
    const std::string peer = fmt::format("/proc/{}/fd/{}", getpid(), peer_);
    run("ip link add ps0 address 02:00:00:00:00:fe type veth "
        "peer name ps1 address 02:00:00:00:00:01 netns " +
        peer);
    run("ip link set ps0 up && ip address add 192.0.2.254/24 dev ps0 && "
        "ip address add 2001:db8::fe/64 dev ps0 nodad");
    in_peer([] {
      run("ip link set lo up && ip link set ps1 up && ip address add 192.0.2.1/24 dev ps1 && "
          "ip address add 2001:db8::1/64 dev ps1 nodad");
    });
    run("timeout 20 sh -c 'until ip link show ps0 | grep -q \"state UP\"; do sleep 0.01; done'");
  }

  void TearDown() override {
    if (home_ < 0) return;
    setns(home_, CLONE_NEWNET);
    for (const int descriptor : {home_, peer_, own_}) close(descriptor);
  }

  static void run(const std::string& command) {
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }

  static void write_file(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    ASSERT_TRUE(file.flush()) << path;
  }

  // Runs `what` in the peer's namespace; sockets that it opens stay there.
  template <typename What>
  void in_peer(What what) {
    ASSERT_EQ(setns(peer_, CLONE_NEWNET), 0);
    what();
    ASSERT_EQ(setns(own_, CLONE_NEWNET), 0);
  }

 private:
  static int open_namespace() { return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC); }

  int home_ = -1;
  int peer_ = -1;
  int own_ = -1;
};

inline IpAddress ip(const char* text) {
  return IpAddress::parse(text).value();
}

}  // namespace penstock
