// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/frame.h"

#include <boost/algorithm/hex.hpp>

#include <algorithm>
#include <iterator>

namespace penstock::golden {
namespace {

constexpr size_t kIp = 14;

// Where things are in a frame.
struct Places {
  bool ipv4;
  bool tcp;
  size_t addresses;
  size_t address_bytes;
  size_t transport;
  size_t end;

  size_t address(Side side) const {
    return addresses + (side == Side::kSource ? 0 : address_bytes);
  }
  size_t port(Side side) const { return transport + (side == Side::kSource ? 0 : 2); }
  size_t checksum() const { return transport + (tcp ? 16 : 6); }
};

uint16_t load(const Bytes& frame, size_t at) {
  return static_cast<uint16_t>(frame.at(at) << 8 | frame.at(at + 1));
}

void store(Bytes& frame, size_t at, uint16_t value) {
  frame.at(at) = static_cast<uint8_t>(value >> 8);
  frame.at(at + 1) = static_cast<uint8_t>(value);
}

Places places(const Bytes& frame) {
  if (frame.at(kIp) >> 4 == 4) {
    const size_t header_bytes = (frame.at(kIp) & 15u) * 4;
    return {true, frame.at(kIp + 9) == 6, kIp + 12,
            4,    kIp + header_bytes,     kIp + load(frame, kIp + 2)};
  }
  return {false, frame.at(kIp + 6) == 6, kIp + 8, 16, kIp + 40, kIp + 40 + load(frame, kIp + 4)};
}

uint64_t sum(const Bytes& frame, size_t from, size_t to) {
  uint64_t total = 0;
  for (size_t i = from; i + 1 < to; i += 2) total += load(frame, i);
  if ((to - from) % 2) total += static_cast<uint64_t>(frame.at(to - 1)) << 8;
  return total;
}

uint16_t checksum(uint64_t total) {
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return static_cast<uint16_t>(~total);
}

void compute_checksums(Bytes& frame, const Places& at) {
  if (at.ipv4) {
    store(frame, kIp + 10, 0);
    store(frame, kIp + 10, checksum(sum(frame, kIp, at.transport)));
  }
  store(frame, at.checksum(), 0);
  const uint64_t pseudo_header = sum(frame, at.addresses, at.addresses + 2 * at.address_bytes) +
                                 (at.end - at.transport) + (at.tcp ? 6 : 17);
  const uint16_t value = checksum(pseudo_header + sum(frame, at.transport, at.end));
  store(frame, at.checksum(), value == 0 && !at.tcp ? 0xffff : value);
}

}  // namespace

Bytes from_hex(std::string_view hex) {
  Bytes bytes;
  boost::algorithm::unhex(hex.begin(), hex.end(), std::back_inserter(bytes));
  return bytes;
}

std::string to_hex(const Bytes& bytes) {
  std::string hex;
  boost::algorithm::hex_lower(bytes.begin(), bytes.end(), std::back_inserter(hex));
  return hex;
}

bool is_tagged(const Bytes& frame) {
  if (frame.size() < 14) return false;
  const int type = frame[12] << 8 | frame[13];
  return type == 0x8100 || type == 0x88a8;
}

Endpoint endpoint_of(const Bytes& frame, Side side) {
  const Places at = places(frame);
  Endpoint endpoint;
  endpoint.address.family = at.ipv4 ? Family::kIpv4 : Family::kIpv6;
  for (size_t i = 0; i < at.address_bytes; i++) {
    endpoint.address.bytes.at(i) = frame.at(at.address(side) + i);
  }
  endpoint.port = load(frame, at.port(side));
  return endpoint;
}

void set_endpoint(Bytes& frame, Side side, const Endpoint& endpoint) {
  const Places at = places(frame);
  for (size_t i = 0; i < at.address_bytes; i++) {
    frame.at(at.address(side) + i) = endpoint.address.bytes.at(i);
  }
  store(frame, at.port(side), endpoint.port);
  compute_checksums(frame, at);
}

}  // namespace penstock::golden
