// SPDX-License-Identifier: Apache-2.0
// Frames from the system's own header structs.
#include "controlplane/netlink/announcement.h"

#include <arpa/inet.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>

#include <cstring>

namespace penstock {
namespace {

constexpr MacAddress kEverybody{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
constexpr MacAddress kAllNodes{{0x33, 0x33, 0, 0, 0, 1}};  // of ff02::1 (RFC 2464 section 7)

struct Advertisement {
  nd_neighbor_advert header;
  nd_opt_hdr option;
  uint8_t mac[6];
};
static_assert(sizeof(Advertisement) == 32);

template <typename Header>
void append(Frame& frame, const Header& header) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  frame.insert(frame.end(), bytes, bytes + sizeof header);
}

ether_header ethernet(const MacAddress& source, const MacAddress& destination, uint16_t type) {
  ether_header header{};
  std::memcpy(header.ether_dhost, destination.bytes.data(), sizeof header.ether_dhost);
  std::memcpy(header.ether_shost, source.bytes.data(), sizeof header.ether_shost);
  header.ether_type = htons(type);
  return header;
}

Frame gratuitous_arp(uint16_t operation, const MacAddress& mac, const IpAddress& address) {
  ether_arp arp{};
  arp.arp_hrd = htons(ARPHRD_ETHER);
  arp.arp_pro = htons(ETHERTYPE_IP);
  arp.arp_hln = sizeof arp.arp_sha;
  arp.arp_pln = sizeof arp.arp_spa;
  arp.arp_op = htons(operation);
  std::memcpy(arp.arp_sha, mac.bytes.data(), sizeof arp.arp_sha);
  std::memcpy(arp.arp_spa, address.bytes.data(), sizeof arp.arp_spa);
  std::memcpy(arp.arp_tpa, address.bytes.data(), sizeof arp.arp_tpa);
  Frame frame;
  append(frame, ethernet(mac, kEverybody, ETHERTYPE_ARP));
  append(frame, arp);
  return frame;
}

// RFC 4443 section 2.3: over the pseudo-header and the message, whose own checksum is zero.
uint16_t icmpv6_checksum(const ip6_hdr& ip, const Advertisement& message) {
  uint32_t sum = sizeof message + IPPROTO_ICMPV6;
  const auto add = [&](const auto& part) {
    static_assert(sizeof part % 2 == 0);
    const auto* bytes = reinterpret_cast<const uint8_t*>(&part);
    for (size_t i = 0; i < sizeof part; i += 2) {
      sum += static_cast<uint32_t>(bytes[i] << 8 | bytes[i + 1]);
    }
  };
  add(ip.ip6_src);
  add(ip.ip6_dst);
  add(message);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons(static_cast<uint16_t>(~sum));
}

Frame unsolicited_advertisement(const MacAddress& mac, const IpAddress& address) {
  ip6_hdr ip{};
  ip.ip6_flow = htonl(6u << 28);
  ip.ip6_plen = htons(sizeof(Advertisement));
  ip.ip6_nxt = IPPROTO_ICMPV6;
  ip.ip6_hlim = 255;  // receivers drop anything less
  std::memcpy(&ip.ip6_src, address.bytes.data(), sizeof ip.ip6_src);
  ip.ip6_dst = {{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};

  Advertisement message{};
  message.header.nd_na_type = ND_NEIGHBOR_ADVERT;
  message.header.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE;
  std::memcpy(&message.header.nd_na_target, address.bytes.data(), sizeof(in6_addr));
  message.option = {ND_OPT_TARGET_LINKADDR, 1};  // in units of eight bytes
  std::memcpy(message.mac, mac.bytes.data(), sizeof message.mac);
  message.header.nd_na_cksum = icmpv6_checksum(ip, message);

  Frame frame;
  append(frame, ethernet(mac, kAllNodes, ETHERTYPE_IPV6));
  append(frame, ip);
  append(frame, message);
  return frame;
}

}  // namespace

std::vector<Frame> announcement_frames(const MacAddress& mac, const IpAddress& address) {
  if (!address.is_ipv4()) return {unsolicited_advertisement(mac, address)};
  return {gratuitous_arp(ARPOP_REQUEST, mac, address), gratuitous_arp(ARPOP_REPLY, mac, address)};
}

}  // namespace penstock
