// SPDX-License-Identifier: Apache-2.0
// Addresses as values: IP, MAC, and address:port, with their text forms.
// Ports here are in host byte order; the tables' own types (core/types.h) are in wire order.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

enum class Family : uint8_t { kIpv4 = 4, kIpv6 = 6 };
enum class Protocol : uint8_t { kTcp = 6, kUdp = 17 };  // IANA protocol numbers

std::string_view to_string(Family family);      // "IPv4", "IPv6"
std::string_view to_string(Protocol protocol);  // "tcp", "udp"

// An IPv4 address fills the first four bytes, the rest are zero. Network byte order.
struct IpAddress {
  Family family = Family::kIpv4;
  std::array<uint8_t, 16> bytes{};

  // "10.0.0.1" or "2001:db8::1"; no brackets, no zone, no prefix. nullopt: not an address.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_ipv4() const { return family == Family::kIpv4; }
  auto operator<=>(const IpAddress&) const = default;
};

// "10.0.0.1:3000" or "[2001:db8::1]:3000".
struct Endpoint {
  IpAddress address;
  uint16_t port = 0;

  // nullopt: not an address and port; port 0 is refused.
  static std::optional<Endpoint> parse(std::string_view text);

  auto operator<=>(const Endpoint&) const = default;
};

// "198.51.100.0/24": an address whose bits after the first `bits` are zero.
struct IpPrefix {
  IpAddress address;
  uint8_t bits = 0;

  // nullopt: not a prefix. Without "/bits" it is the one address.
  static std::optional<IpPrefix> parse(std::string_view text);

  bool has(const IpAddress& other) const;  // of its family
  auto operator<=>(const IpPrefix&) const = default;
};

struct MacAddress {
  std::array<uint8_t, 6> bytes{};

  auto operator<=>(const MacAddress&) const = default;
};

std::string to_string(const IpAddress& address);
std::string to_string(const Endpoint& endpoint);
std::string to_string(const IpPrefix& prefix);
std::string to_string(const MacAddress& mac);  // "02:00:00:00:00:01"

}  // namespace penstock
