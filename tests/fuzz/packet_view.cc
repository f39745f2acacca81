// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/packet_view.h"

#include <algorithm>

namespace penstock::fuzz {
namespace {

constexpr uint32_t kModulus = 65535;

uint32_t sum_of(const Bytes& frame, size_t from, size_t to) {
  uint64_t sum = 0;
  for (size_t i = from; i < to; i++) {
    const uint32_t byte = frame.at(i);
    sum += (i - from) % 2 == 0 ? byte << 8 : byte;
  }
  return static_cast<uint32_t>(sum % kModulus);
}

IpAddress address_at(const Bytes& frame, bool is_ipv4, size_t at) {
  IpAddress address;
  address.family = is_ipv4 ? Family::kIpv4 : Family::kIpv6;
  std::copy_n(frame.begin() + static_cast<ptrdiff_t>(at), is_ipv4 ? 4 : 16, address.bytes.begin());
  return address;
}

// IPv6's extension headers, as many as there are, but none behind a later fragment's header. false:
// the frame ends in one.
bool step_over_extensions(const Bytes& frame, PacketView& view) {
  while (is_extension(view.protocol) && !view.is_later) {
    const size_t at = view.transport;
    if (frame.size() < at + 8) return false;
    const bool is_fragment = view.protocol == 44;
    if (is_fragment) {
      view.fragment_headers++;
      view.is_later = (load16(frame, at + 2) & 0xfff8) != 0;
      view.is_fragment = true;
    }
    view.is_routed_on |= view.protocol == 43 && frame[at + 3] != 0;
    view.extensions++;
    view.transport += is_fragment ? 8 : 8 + frame[at + 1] * 8u;
    view.protocol = frame[at];
  }
  return true;
}

// A header with options, if it is one; where its packet ends is what it says.
std::optional<PacketView> header_at(const Bytes& frame, bool is_ipv4, size_t ip) {
  const size_t least = is_ipv4 ? 20 : 40;
  if (frame.size() < ip + least || frame[ip] >> 4 != (is_ipv4 ? 4 : 6)) return std::nullopt;
  PacketView view;
  view.frame = &frame;
  view.is_ipv4 = is_ipv4;
  view.ip = ip;
  view.protocol = frame[ip + (is_ipv4 ? 9 : 6)];
  view.hops = frame[ip + (is_ipv4 ? 8 : 7)];
  const size_t header_bytes = is_ipv4 ? (frame[ip] & 15u) * 4 : 40;
  view.transport = ip + header_bytes;
  view.end = is_ipv4 ? ip + load16(frame, ip + 2) : ip + 40 + load16(frame, ip + 4);
  view.source = address_at(frame, is_ipv4, ip + (is_ipv4 ? 12 : 8));
  view.destination = address_at(frame, is_ipv4, ip + (is_ipv4 ? 16 : 24));
  if (is_ipv4) {
    view.is_later = (load16(frame, ip + 6) & 0x1fff) != 0;
    view.is_fragment = (load16(frame, ip + 6) & 0x3fff) != 0;
  } else if (!step_over_extensions(frame, view)) {
    return std::nullopt;
  }
  if (header_bytes < least || frame.size() < view.transport) return std::nullopt;
  return view;
}

}  // namespace

uint16_t load16(const Bytes& frame, size_t at) {
  return static_cast<uint16_t>(frame.at(at) << 8 | frame.at(at + 1));
}

uint32_t load32(const Bytes& frame, size_t at) {
  return static_cast<uint32_t>(load16(frame, at)) << 16 | load16(frame, at + 2);
}

void store32(Bytes& frame, size_t at, uint32_t number) {
  for (size_t i = 0; i < 4; i++) frame.at(at + i) = static_cast<uint8_t>(number >> (24 - 8 * i));
}

bool is_extension(uint8_t protocol) {
  return protocol == 0 || protocol == 43 || protocol == 44 || protocol == 60;
}

uint16_t PacketView::port(size_t which) const {
  return load16(*frame, transport + which * 2);
}

std::optional<PacketView> view_at(const Bytes& frame, bool is_ipv4, size_t ip) {
  auto view = header_at(frame, is_ipv4, ip);
  if (!view || view->end > frame.size() || view->end < view->transport) return std::nullopt;
  return view;
}

std::optional<PacketView> view_of(const Bytes& frame) {
  if (frame.size() < kEthernetBytes) return std::nullopt;
  const uint16_t type = load16(frame, 12);
  if (type != 0x0800 && type != 0x86dd) return std::nullopt;
  return view_at(frame, type == 0x0800, kEthernetBytes);
}

std::optional<PacketView> quoted_in(const PacketView& error) {
  auto view = header_at(*error.frame, error.is_ipv4, error.transport + 8);
  if (!view || view->transport > error.end) return std::nullopt;
  view->end = std::min(std::max(view->end, view->transport), error.end);
  return view;
}

uint32_t header_sum(const PacketView& view) {
  return sum_of(*view.frame, view.ip, view.transport);
}

uint32_t payload_sum(const PacketView& view) {
  uint32_t sum = sum_of(*view.frame, view.transport, view.end);
  if (view.is_icmp() && view.is_ipv4) return sum;
  const size_t addresses = view.ip + (view.is_ipv4 ? 12 : 8);
  sum += sum_of(*view.frame, addresses, addresses + (view.is_ipv4 ? 8 : 32)) + view.protocol;
  return sum % kModulus;
}

uint32_t length_sum(const PacketView& view) {
  if (view.is_icmp() && view.is_ipv4) return 0;
  return static_cast<uint32_t>((view.end - view.transport) % kModulus);
}

bool has_checksum(const PacketView& view) {
  if (view.is_later) return false;
  if (view.protocol != 6 && view.protocol != 17 && !view.is_icmp()) return false;
  if (view.checksum_at() + 2 > view.end) return false;
  return view.protocol != 17 || !view.is_ipv4 || load16(*view.frame, view.checksum_at()) != 0;
}

}  // namespace penstock::fuzz
