// SPDX-License-Identifier: Apache-2.0
// Between the value types of dataplane/address.h and the wire types of the tables.
#pragma once

#include <cstring>

#include "dataplane/address.h"
#include "dataplane/core/tables.h"
#include "dataplane/vlan.h"

namespace penstock {

inline ps_address to_wire(const IpAddress& address) {
  ps_address wire{};
  std::memcpy(&wire, address.bytes.data(), sizeof wire);
  return wire;
}

inline IpAddress from_wire(uint8_t family, const ps_address& wire) {
  IpAddress address;
  address.family = family == PS_IPV4 ? Family::kIpv4 : Family::kIpv6;
  std::memcpy(address.bytes.data(), &wire, address.is_ipv4() ? 4 : sizeof wire);
  return address;
}

inline uint8_t family_number(const IpAddress& address) {
  return address.is_ipv4() ? PS_IPV4 : PS_IPV6;
}

inline uint64_t mac_number(const MacAddress& mac) {
  return ps_load_mac(mac.bytes.data());
}

// Its lowest 48 bits.
inline MacAddress from_number(uint64_t number) {
  MacAddress mac;
  for (size_t i = 0; i < mac.bytes.size(); i++)
    mac.bytes[i] = static_cast<uint8_t>(number >> 8 * i);
  return mac;
}

// As the tables hold them: ps_interface.tags.
inline uint32_t tags_number(const VlanTags& tags) {
  uint32_t number = 0;
  for (size_t i = 0; i < tags.size() && i < kMaxVlanTags; i++) {
    const uint32_t tag = tags[i].vlan | (tags[i].is_service ? PS_TAG_IS_SERVICE : 0u);
    number |= tag << (16 * i);
  }
  return number;
}

inline VlanTags tags_from(uint32_t number) {
  VlanTags tags;
  for (; number != 0; number >>= 16) {
    tags.push_back({static_cast<uint16_t>(number & 0xfff), (number & PS_TAG_IS_SERVICE) != 0});
  }
  return tags;
}

// The first `bits` bits set, in wire order.
inline ps_address prefix_mask(uint8_t bits) {
  IpAddress mask;
  for (size_t i = 0; i < mask.bytes.size(); i++) {
    const int left = bits - static_cast<int>(i) * 8;
    mask.bytes[i] = static_cast<uint8_t>(left >= 8 ? 0xff : left <= 0 ? 0 : 0xff00 >> left);
  }
  return to_wire(mask);
}

inline uint8_t prefix_bits(const ps_address& mask) {
  int bits = 0;
  for (const ps_be32& word : mask.word) bits += __builtin_popcount(word.raw);
  return static_cast<uint8_t>(bits);
}

}  // namespace penstock
