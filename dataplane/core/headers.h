// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The headers as they stand on the wire, and the cursor over them.
//
// The cursor is the only way to a frame's bytes: it gives a header that lies inside the frame, or
// nothing.
#pragma once

#include "dataplane/core/types.h"

struct PS_WIRE ps_ethernet {
  __u8 destination[6];
  __u8 source[6];
  struct ps_be16 type;
};
PS_SIZE_IS(struct ps_ethernet, 14);

struct PS_WIRE ps_ipv4 {
  __u8 version_and_words;
  __u8 tos;
  struct ps_be16 total_length;
  struct ps_be16 identification;
  struct ps_be16 fragment;
  __u8 ttl;
  __u8 protocol;
  struct ps_be16 checksum;
  struct ps_be32 source;
  struct ps_be32 destination;
};
PS_SIZE_IS(struct ps_ipv4, 20);

struct PS_WIRE ps_ipv6 {
  struct ps_be32 version_class_flow;
  struct ps_be16 payload_length;
  __u8 next_header;
  __u8 hop_limit;
  struct ps_address source;
  struct ps_address destination;
};
PS_SIZE_IS(struct ps_ipv6, 40);

// What opens every extension header that is stepped over; the fragment header has its own form.
struct PS_WIRE ps_ipv6_extension {
  __u8 next_header;
  __u8 more_words;  // of 8 bytes, besides the first
  __u8 routing_type;
  __u8 segments_left;  // of a routing header
  struct ps_be32 rest;
};
PS_SIZE_IS(struct ps_ipv6_extension, 8);

struct PS_WIRE ps_ipv6_fragment {
  __u8 next_header;
  __u8 reserved;
  struct ps_be16 offset_and_flags;
  struct ps_be32 identification;
};
PS_SIZE_IS(struct ps_ipv6_fragment, 8);

struct PS_WIRE ps_tcp {
  struct ps_be16 source_port;
  struct ps_be16 destination_port;
  struct ps_be32 sequence;
  struct ps_be32 acknowledgement;
  __u8 header_words;
  __u8 flags;
  struct ps_be16 window;
  struct ps_be16 checksum;
  struct ps_be16 urgent;
};
PS_SIZE_IS(struct ps_tcp, 20);

struct PS_WIRE ps_udp {
  struct ps_be16 source_port;
  struct ps_be16 destination_port;
  struct ps_be16 length;
  struct ps_be16 checksum;
};
PS_SIZE_IS(struct ps_udp, 8);

struct PS_WIRE ps_icmp {
  __u8 type;
  __u8 code;
  struct ps_be16 checksum;
  struct ps_be32 rest;  // by type: identifier and sequence, the next hop's MTU, ...
};
PS_SIZE_IS(struct ps_icmp, 8);

// IANA protocol numbers; IPv4 and IPv6 as what another packet carries.
enum { PS_PROTOCOL_ICMP = 1, PS_PROTOCOL_IPV4 = 4, PS_PROTOCOL_IPV6 = 41, PS_PROTOCOL_ICMPV6 = 58 };

enum {
  PS_PROTOCOL_HOP_BY_HOP = 0,
  PS_PROTOCOL_ROUTING = 43,
  PS_PROTOCOL_FRAGMENT = 44,
  PS_PROTOCOL_DESTINATION_OPTIONS = 60,
};

enum { PS_TCP_FIN = 0x01, PS_TCP_SYN = 0x02, PS_TCP_RST = 0x04, PS_TCP_ACK = 0x10 };

#define PS_ETHERTYPE_IPV4 0x0800
#define PS_ETHERTYPE_IPV6 0x86dd
#define PS_ETHERTYPE_VLAN 0x8100          // 802.1Q
#define PS_ETHERTYPE_SERVICE_VLAN 0x88a8  // 802.1ad
#define PS_IPV4_NO_OPTIONS 0x45           // version and words of a header without options
#define PS_IPV4_DONT_FRAGMENT 0x4000
#define PS_IPV4_MORE_FRAGMENTS 0x2000
#define PS_IPV4_FRAGMENT_OFFSET 0x1fff
#define PS_IPV4_FRAGMENTED (PS_IPV4_MORE_FRAGMENTS | PS_IPV4_FRAGMENT_OFFSET)
#define PS_IPV6_FRAGMENT_OFFSET 0xfff8

struct ps_cursor {
  __u8 *at;
  __u8 *end;
};

PS_INLINE void *ps_take(struct ps_cursor *cursor, __u32 bytes) {
  __u8 *header = cursor->at;
  if (header + bytes > cursor->end) return 0;
  cursor->at = header + bytes;
  return header;
}

PS_INLINE int ps_is_tag(struct ps_be16 ethertype) {
  return ps_same16(ethertype, ps_wire16(PS_ETHERTYPE_VLAN)) ||
         ps_same16(ethertype, ps_wire16(PS_ETHERTYPE_SERVICE_VLAN));
}

// 0: not IP.
PS_INLINE int ps_family_of(struct ps_be16 ethertype) {
  if (ps_same16(ethertype, ps_wire16(PS_ETHERTYPE_IPV4))) return PS_IPV4;
  if (ps_same16(ethertype, ps_wire16(PS_ETHERTYPE_IPV6))) return PS_IPV6;
  return 0;
}

PS_INLINE struct ps_be16 ps_ethertype(int family) {
  return ps_wire16(family == PS_IPV4 ? PS_ETHERTYPE_IPV4 : PS_ETHERTYPE_IPV6);
}

// The traffic class: DSCP and ECN.
PS_INLINE __u8 ps_ipv6_class(const struct ps_ipv6 *ip) {
  return (__u8)(ps_host32(ip->version_class_flow) >> 20);
}

// Of a header without options.
PS_INLINE __u32 ps_ip_header_bytes(int family) {
  return family == PS_IPV4 ? (__u32)sizeof(struct ps_ipv4) : (__u32)sizeof(struct ps_ipv6);
}
