// SPDX-License-Identifier: Apache-2.0
// A frame's headers and sums, read apart from the core, which is judged by them.
//
// Sums are in one's complement, modulo 65535: zero for what carries a right checksum, and the same
// before and after for what was wrong on its way in.
#pragma once

#include <optional>

#include "dataplane/address.h"
#include "tests/fuzz/steps.h"

namespace penstock::fuzz {

constexpr size_t kEthernetBytes = 14;

struct PacketView {
  const Bytes* frame = nullptr;
  bool is_ipv4 = false;
  uint8_t protocol = 0;
  uint8_t hops = 0;
  bool is_fragment = false;  // with IPv6, any with a fragment header
  bool is_later = false;  // fragment than the first: it carries no header, only a part of the rest
  size_t ip = 0;          // where the IP header begins in the frame
  size_t transport = 0;   // and what it carries, behind IPv6 extension headers
  size_t end = 0;         // of the IP packet, which is inside the frame
  size_t extensions = 0;  // how many of those there are,
  size_t fragment_headers = 0;  // and how many of those
  bool is_routed_on = false;    // its destination is not the one that its checksum is over
  IpAddress source;
  IpAddress destination;

  size_t ip_bytes() const { return end - ip; }
  bool is_icmp() const { return protocol == (is_ipv4 ? 1 : 58); }
  bool has_ports() const {
    return (protocol == 6 || protocol == 17) && !is_later && transport + 8 <= end;
  }
  uint16_t port(size_t which) const;  // 0: the source's, 1: the destination's
  size_t checksum_at() const { return transport + (protocol == 6 ? 16 : is_icmp() ? 2 : 6); }
};

uint16_t load16(const Bytes& frame, size_t at);
uint32_t load32(const Bytes& frame, size_t at);
void store32(Bytes& frame, size_t at, uint32_t number);

bool is_extension(uint8_t protocol);  // an IPv6 header that leads to another one

// nullopt: it has no IP packet that lies inside it, from `ip` on.
std::optional<PacketView> view_of(const Bytes& frame);
std::optional<PacketView> view_at(const Bytes& frame, bool is_ipv4, size_t ip);
// Of an ICMP error. Its end is the error's or its own, whichever comes first.
std::optional<PacketView> quoted_in(const PacketView& error);

uint32_t header_sum(const PacketView& view);  // IPv4's
// Of what the IP packet carries, with the pseudo-header but for its length, which does not change.
uint32_t payload_sum(const PacketView& view);
uint32_t length_sum(const PacketView& view);  // that length
// Whether payload_sum means something: there is a checksum, and UDP's is not the zero of IPv4.
bool has_checksum(const PacketView& view);

}  // namespace penstock::fuzz
