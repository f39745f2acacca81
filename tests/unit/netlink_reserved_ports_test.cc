// SPDX-License-Identifier: Apache-2.0
// The kernel's list format as values, and the files in a namespace of the test's own.
#include "controlplane/netlink/reserved_ports.h"

#include "tests/unit/netlink_world.h"

namespace penstock {
namespace {

using Spans = std::vector<PortSpan>;

std::string with(const std::string& list, PortSpan span) {
  return format_port_spans(with_span(parse_port_spans(list), span));
}

std::string without(const std::string& list, PortSpan span) {
  return format_port_spans(without_span(parse_port_spans(list), span));
}

TEST(PortSpans, AreReadAsTheKernelWritesThem) {
  EXPECT_EQ(parse_port_spans(""), Spans{});
  EXPECT_EQ(parse_port_spans("80"), (Spans{{80, 80}}));
  EXPECT_EQ(parse_port_spans("80,8000-8010,65535"),
            (Spans{{80, 80}, {8000, 8010}, {65535, 65535}}));
}

TEST(PortSpans, LeaveOutWhatIsFaulty) {
  EXPECT_EQ(parse_port_spans("x,5-,-7,70000,1:2,9-8x,443"), (Spans{{443, 443}}));
}

TEST(PortSpans, AreAddedInOrder) {
  EXPECT_EQ(with("", {20000, 32767}), "20000-32767");
  EXPECT_EQ(with("80,40000-40010", {20000, 20000}), "80,20000,40000-40010");
  EXPECT_EQ(with("80", {20000, 32767}), "80,20000-32767");
}

TEST(PortSpans, AreAddedOverWhatTheyOverlap) {
  EXPECT_EQ(with("100-200", {150, 300}), "100-149,150-300");
  EXPECT_EQ(with("100-200", {120, 130}), "100-119,120-130,131-200");
  EXPECT_EQ(with("100-200", {100, 200}), "100-200");
  EXPECT_EQ(with("120,130", {100, 200}), "100-200");
}

TEST(PortSpans, AreRemovedFromWhatTheyOverlap) {
  EXPECT_EQ(without("80,20000-32767", {20000, 32767}), "80");
  EXPECT_EQ(without("100-200", {150, 300}), "100-149");
  EXPECT_EQ(without("100-200", {50, 149}), "150-200");
  EXPECT_EQ(without("100-200", {120, 130}), "100-119,131-200");
  EXPECT_EQ(without("0-65535", {0, 65535}), "");
  EXPECT_EQ(without("0-65535", {1, 65534}), "0,65535");
}

std::string conflict(PortSpan pool, PortSpan kernel) {
  const auto clear = check_clear_of(pool, kernel);
  return clear ? "none" : clear.error().message;
}

TEST(PortPool, MayTouchTheKernelsRange) {
  EXPECT_EQ(conflict({20000, 32767}, {32768, 60999}), "none");
  EXPECT_EQ(conflict({61000, 65535}, {32768, 60999}), "none");
}

TEST(PortPool, ThatOverlapsTheKernelsRangeNamesTheWaysOut) {
  EXPECT_EQ(check_clear_of({32768, 32768}, {32768, 60999}).error().kind, ErrorKind::kConflict);
  EXPECT_EQ(conflict({30000, 40000}, {32768, 60999}),
            "snat_ports 30000-40000 overlaps the kernel's own 32768-60999: choose ports below "
            "32768, or run sysctl -w net.ipv4.ip_local_port_range='40001 60999'");
  EXPECT_EQ(conflict({50000, 65535}, {32768, 60999}),
            "snat_ports 50000-65535 overlaps the kernel's own 32768-60999: choose ports below "
            "32768, or run sysctl -w net.ipv4.ip_local_port_range='32768 49999'");
  EXPECT_EQ(
      conflict({1024, 65535}, {32768, 60999}),
      "snat_ports 1024-65535 overlaps the kernel's own 32768-60999: choose ports below 32768");
}

class ReservedPorts : public NetlinkWorld {
 protected:
  static constexpr const char* kReserved = "/proc/sys/net/ipv4/ip_local_reserved_ports";

  static std::string reserved() {
    std::ifstream file(kReserved);
    std::string line;
    std::getline(file, line);
    return line;
  }
};

TEST_F(ReservedPorts, AreTakenAndGivenBackBesideThoseOfOthers) {
  write_file(kReserved, "8080,19000-19010");
  const auto taken = reserve_ports(20000, 32767);
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(reserved(), "8080,19000-19010,20000-32767");
  ASSERT_TRUE(reserve_ports(20000, 32767));
  EXPECT_EQ(reserved(), "8080,19000-19010,20000-32767");
  ASSERT_TRUE(release_ports(20000, 32767));
  EXPECT_EQ(reserved(), "8080,19000-19010");
}

TEST_F(ReservedPorts, AreGivenBackToTheLast) {
  ASSERT_TRUE(reserve_ports(20000, 20000));
  EXPECT_EQ(reserved(), "20000");
  ASSERT_TRUE(release_ports(20000, 20000));
  EXPECT_EQ(reserved(), "");
}

TEST_F(ReservedPorts, StayAsTheyAreOnAConflict) {
  write_file("/proc/sys/net/ipv4/ip_local_port_range", "10000 30000");
  const auto taken = reserve_ports(20000, 32767);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().kind, ErrorKind::kConflict);
  EXPECT_EQ(reserved(), "");
}

}  // namespace
}  // namespace penstock
