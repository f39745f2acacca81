// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/judge_cookies.h"

#include <algorithm>

namespace penstock::fuzz {
namespace {

constexpr uint8_t kSyn = 2;
constexpr uint8_t kAck = 16;

uint8_t flags_of(const PacketView& view) {
  return view.frame->at(view.transport + 13) & (kSyn | kAck);
}

size_t header_bytes_of(const PacketView& view) {
  return (view.frame->at(view.transport + 12) >> 4) * 4u;
}

bool is_same(const PacketView& in, const PacketView& out, size_t from, size_t to) {
  const auto at = [](const PacketView& view, size_t offset) {
    return view.frame->begin() + static_cast<ptrdiff_t>(view.transport + offset);
  };
  return std::equal(at(in, from), at(in, to), at(out, from));
}

// It fills its frame, carries nothing but perhaps a byte, and its checksum was made.
void judge_own(const PacketView& out, size_t payload_bytes) {
  require(out.protocol == 6 && out.end == out.frame->size(), "a segment of ours fills its frame");
  require(out.end - out.transport == header_bytes_of(out) + payload_bytes,
          "and carries what it is to");
  require((payload_sum(out) + length_sum(out)) % 65535 == 0, "with a right checksum");
}

}  // namespace

void judge_cookie(const PacketView& in, const PacketView& out) {
  require(in.protocol == 6 && flags_of(in) == kSyn, "only a SYN is answered by a cookie");
  require(in.is_ipv4 == out.is_ipv4 && out.source == in.destination &&
              out.destination == in.source && out.port(0) == in.port(1) &&
              out.port(1) == in.port(0),
          "a cookie goes to who asked");
  judge_own(out, 0);
  require(flags_of(out) == (kSyn | kAck), "as a SYN-ACK");
  require(load32(*out.frame, out.transport + 8) == load32(*in.frame, in.transport + 4) + 1,
          "that acknowledges the SYN");
  require(load16(*out.frame, out.transport + 14) == 0, "and offers no window");
  require(out.hops == 64, "with hops of its own");
  if (out.is_ipv4)
    require(header_sum(in) == header_sum(out), "and the IPv4 header's checksum kept");
}

void judge_segment(const PacketView& in, const PacketView& out) {
  if (flags_of(in) == kAck && flags_of(out) == kSyn) {
    judge_own(out, 0);
    require(load32(*out.frame, out.transport + 8) == 0, "a SYN acknowledges nothing");
  } else if (flags_of(in) == (kSyn | kAck) && flags_of(out) == kAck) {
    judge_own(out, 1);
    require(is_same(in, out, 8, 12), "a window update acknowledges what the SYN-ACK did");
  } else {
    require(in.ip_bytes() == out.ip_bytes(), "lengths stay");
    require(payload_sum(in) == payload_sum(out), "a checksum is updated");
    require(is_same(in, out, 12, 14) && is_same(in, out, 18, in.end - in.transport),
            "only numbers and windows are translated");
  }
}

}  // namespace penstock::fuzz
