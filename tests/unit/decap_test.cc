// SPDX-License-Identifier: Apache-2.0
// The decapsulator's program by BPF_PROG_TEST_RUN: a tunnel packet in, what the kernel gets out.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <cstring>
#include <optional>

#include "dataplane/core/checksum.h"
#include "dataplane/core/decap_maps.h"
#include "dataplane/core/headers.h"
#include "dataplane/tables/convert.h"
#include "dataplane/xdp/skeleton.h"

namespace penstock {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint8_t kUdp = 17;
constexpr uint8_t kCongested = 3;
constexpr uint8_t kCapable = 2;  // ECT(0)

struct Header {
  IpAddress source;
  IpAddress destination;
  uint8_t traffic_class = 0;
};

Header header(const char* source, const char* destination, uint8_t traffic_class = 0) {
  return {*IpAddress::parse(source), *IpAddress::parse(destination), traffic_class};
}

Bytes ipv4(const Header& header, uint8_t protocol, const Bytes& payload) {
  ps_ipv4 ip{};
  ip.version_and_words = 0x45;
  ip.tos = header.traffic_class;
  ip.total_length = ps_wire16(static_cast<uint16_t>(sizeof ip + payload.size()));
  ip.ttl = 64;
  ip.protocol = protocol;
  ip.source = to_wire(header.source).word[0];
  ip.destination = to_wire(header.destination).word[0];
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof ip; i += 2) sum += ps_load16(reinterpret_cast<uint8_t*>(&ip) + i);
  ip.checksum = ps_sum_end(sum);
  Bytes bytes(sizeof ip);
  std::memcpy(bytes.data(), &ip, sizeof ip);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Bytes ipv6(const Header& header, uint8_t protocol, const Bytes& payload) {
  ps_ipv6 ip{};
  ip.version_class_flow = ps_wire32(6u << 28 | static_cast<uint32_t>(header.traffic_class) << 20);
  ip.payload_length = ps_wire16(static_cast<uint16_t>(payload.size()));
  ip.next_header = protocol;
  ip.hop_limit = 64;
  ip.source = to_wire(header.source);
  ip.destination = to_wire(header.destination);
  Bytes bytes(sizeof ip);
  std::memcpy(bytes.data(), &ip, sizeof ip);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Bytes ip(const Header& header, uint8_t protocol, const Bytes& payload) {
  return header.source.is_ipv4() ? ipv4(header, protocol, payload)
                                 : ipv6(header, protocol, payload);
}

Bytes framed(const Bytes& packet) {
  Bytes frame{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00};
  if (packet.at(0) >> 4 == 6) frame[12] = 0x86, frame[13] = 0xdd;
  frame.insert(frame.end(), packet.begin(), packet.end());
  return frame;
}

Bytes tunnelled(const Header& outer, const Bytes& inner) {
  return framed(ip(outer, inner.at(0) >> 4 == 4 ? 4 : 41, inner));
}

// Appliances are at 198.51.100.0/24 and 2001:db8:99::/64; the VIPs are 203.0.113.10 and
// 2001:db8:113::10.
class Decap : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to load BPF programs";
    skeleton_.reset(decap::open_and_load());
    ASSERT_TRUE(skeleton_);
    allow(skeleton_->maps.sources, "::ffff:198.51.100.0", 120);
    allow(skeleton_->maps.sources, "2001:db8:99::", 64);
    allow(skeleton_->maps.vips, "::ffff:203.0.113.10", 128);
    allow(skeleton_->maps.vips, "2001:db8:113::10", 128);
  }

  // What the kernel gets; nothing: it is dropped.
  std::optional<Bytes> run(const Bytes& frame) {
    Bytes out(frame.size() + 64);
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
                .data_size_in = static_cast<uint32_t>(frame.size()),
                .data_size_out = static_cast<uint32_t>(out.size()), .repeat = 1);
    EXPECT_EQ(bpf_prog_test_run_opts(bpf_program__fd(skeleton_->progs.penstock_decap), &options),
              0);
    if (options.retval == XDP_DROP) return std::nullopt;
    EXPECT_EQ(options.retval, static_cast<uint32_t>(XDP_PASS));
    out.resize(options.data_size_out);
    return out;
  }

  uint64_t count(uint32_t place) const {
    std::vector<uint64_t> parts(static_cast<size_t>(libbpf_num_possible_cpus()));
    bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.counts), &place, parts.data());
    uint64_t sum = 0;
    for (const uint64_t part : parts) sum += part;
    return sum;
  }

  const Bytes payload_ = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const Header outer4_ = header("198.51.100.77", "10.0.0.1");
  const Header outer6_ = header("2001:db8:99::77", "2001:db8:10::1");
  const Header inner4_ = header("198.18.0.1", "203.0.113.10");
  const Header inner6_ = header("2001:db8:18::1", "2001:db8:113::10");

 private:
  static void allow(const bpf_map* trie, const char* address, uint32_t bits) {
    const ps_prefix_key key{bits, to_wire(*IpAddress::parse(address))};
    const uint8_t present = 1;
    ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(trie), &key, &present, BPF_ANY), 0);
  }

  struct Destroy {
    void operator()(decap* skeleton) const { decap::destroy(skeleton); }
  };
  std::unique_ptr<decap, Destroy> skeleton_;
};

TEST_F(Decap, TakesClientsPacketsOutOfAppliances) {
  for (const Header& outer : {outer4_, outer6_}) {
    for (const Header& inside : {inner4_, inner6_}) {
      const Bytes packet = ip(inside, kUdp, payload_);
      EXPECT_EQ(run(tunnelled(outer, packet)), framed(packet));
    }
  }
  EXPECT_EQ(count(PS_DECAP_TAKEN_OUT), 4u);
}

TEST_F(Decap, LeavesTunnelPacketsOfOthersToTheKernel) {
  for (const Header& outer :
       {header("198.51.101.1", "10.0.0.1"), header("2001:db8:98::1", "2001:db8:10::1")}) {
    const Bytes frame = tunnelled(outer, ip(inner4_, kUdp, payload_));
    EXPECT_EQ(run(frame), frame);
  }
  EXPECT_EQ(count(PS_DECAP_FOREIGN_SOURCE), 2u);
}

TEST_F(Decap, LetsNothingInForOtherAddresses) {
  for (const Header& inside :
       {header("198.18.0.1", "10.0.0.1"), header("2001:db8:18::1", "2001:db8:10::1")}) {
    EXPECT_EQ(run(tunnelled(outer4_, ip(inside, kUdp, payload_))), std::nullopt);
  }
  EXPECT_EQ(count(PS_DECAP_FOREIGN_VIP), 2u);
}

TEST_F(Decap, LeavesEverythingElseAlone) {
  Bytes fragment = tunnelled(outer4_, ip(inner4_, kUdp, payload_));
  fragment[14 + 6] = 0x20;  // more fragments
  Bytes arp = fragment;
  arp[12] = 0x08, arp[13] = 0x06;
  for (const Bytes& frame : {fragment, arp, framed(ip(outer4_, kUdp, payload_)),
                             framed(ip(outer6_, kUdp, payload_)), Bytes(14)}) {
    EXPECT_EQ(run(frame), frame);
  }
}

TEST_F(Decap, DropsWhatIsNoPacketInside) {
  Bytes other_version = tunnelled(outer4_, ip(inner4_, kUdp, payload_));
  other_version[14 + 20] = 0x65;
  EXPECT_EQ(run(other_version), std::nullopt);
  for (const Header& inside : {inner4_, inner6_}) {
    Bytes cut = tunnelled(outer4_, ip(inside, kUdp, payload_));
    cut.resize(14 + 20 + 19);
    EXPECT_EQ(run(cut), std::nullopt);
  }
  EXPECT_EQ(count(PS_DECAP_BROKEN), 3u);
}

TEST_F(Decap, PassesCongestionOn) {
  Header outer = outer4_;
  outer.traffic_class = kCongested;
  for (Header inside : {inner4_, inner6_}) {
    inside.traffic_class = kCapable;
    const Bytes frame = tunnelled(outer, ip(inside, kUdp, payload_));
    inside.traffic_class = kCongested;
    EXPECT_EQ(run(frame), framed(ip(inside, kUdp, payload_)));
    inside.traffic_class = 0;  // its sender would not understand
    EXPECT_EQ(run(tunnelled(outer, ip(inside, kUdp, payload_))), std::nullopt);
  }
}

}  // namespace
}  // namespace penstock
