// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Mode tunnel: a client's packet inside another one to its backend, IPv4 or IPv6 in either (RFC
// 2003, 2473, 4213).
//
// The outer source address varies with the flow, and so does IPv6's flow label (RFC 6438): a
// receiver that spreads packets over its queues by addresses spreads flows. The outer packet is
// never fragmented: what does not fit is answered before.
#pragma once

#include "dataplane/core/match.h"
#include "dataplane/core/translate.h"

#define PS_OWN_HOPS 64  // of packets that begin here

// The header of a packet of our own, which is never fragmented: its identification is of no use
// (RFC 6864). Addresses are the caller's, and IPv4's checksum after them.
PS_INLINE void ps_begin_ipv4(struct ps_ipv4 *ip, __u8 traffic_class, __u8 protocol,
                             __u32 payload_bytes) {
  ip->version_and_words = PS_IPV4_NO_OPTIONS;
  ip->tos = traffic_class;
  ip->total_length = ps_wire16((__u16)(sizeof *ip + payload_bytes));
  ip->identification.raw = 0;
  ip->fragment = ps_wire16(PS_IPV4_DONT_FRAGMENT);
  ip->ttl = PS_OWN_HOPS;
  ip->protocol = protocol;
}

PS_INLINE void ps_begin_ipv6(struct ps_ipv6 *ip, __u8 traffic_class, __u32 label, __u8 protocol,
                             __u32 payload_bytes) {
  ip->version_class_flow = ps_wire32(6u << 28 | (__u32)traffic_class << 20 | label);
  ip->payload_length = ps_wire16((__u16)payload_bytes);
  ip->next_header = protocol;
  ip->hop_limit = PS_OWN_HOPS;
}

// The largest packet that fits to the backend; 0: not known.
PS_INLINE __u32 ps_tunnel_mtu(const struct ps_backend *backend) {
  const __u32 header_bytes = ps_ip_header_bytes(backend->family);
  return backend->mtu > header_bytes ? backend->mtu - header_bytes : 0;
}

// Whether our own tunnel packets come from the address: then it is one of them, or pretends to be.
PS_INLINE int ps_is_tunnel_source(const struct ps_settings *settings, int family,
                                  const struct ps_address *address) {
  const struct ps_address *source = &settings->tunnel_source[family == PS_IPV6];
  const struct ps_address *spread = &settings->tunnel_spread[family == PS_IPV6];
  __u32 differs = (address->word[0].raw ^ source->word[0].raw) & ~spread->word[0].raw;
  if (family == PS_IPV4) return source->word[0].raw && !differs;
  for (int i = 1; i < 4; i++) {
    differs |= (address->word[i].raw ^ source->word[i].raw) & ~spread->word[i].raw;
  }
  return source->word[0].raw && !differs;
}

// What the outer header takes from the inner packet.
struct ps_inner {
  __u32 ip_bytes;
  __u8 traffic_class;  // DSCP and ECN (RFC 6040, normal mode)
  __u8 protocol;       // of the whole packet
  __u64 hash;          // of its flow
};

PS_INLINE struct ps_be32 ps_spread_word(const struct ps_settings *settings, int v6, int word,
                                        __u32 random) {
  struct ps_be32 mixed = {settings->tunnel_source[v6].word[word].raw |
                          (random & settings->tunnel_spread[v6].word[word].raw)};
  return mixed;
}

PS_INLINE void ps_write_outer4(struct ps_ipv4 *ip, const struct ps_settings *settings,
                               const struct ps_backend *backend, const struct ps_inner *inner) {
  ps_begin_ipv4(ip, inner->traffic_class, inner->protocol, inner->ip_bytes);
  ip->source = ps_spread_word(settings, 0, 0, (__u32)(inner->hash >> 32));
  ip->destination = backend->address.word[0];
  ip->checksum = ps_ipv4_checksum(ip);
}

PS_INLINE void ps_write_outer6(struct ps_ipv6 *ip, const struct ps_settings *settings,
                               const struct ps_backend *backend, const struct ps_inner *inner) {
  const __u32 label = (__u32)inner->hash & 0xfffff;
  ps_begin_ipv6(ip, inner->traffic_class, label, inner->protocol, inner->ip_bytes);
  for (int i = 0; i < 4; i++) {
    const __u32 random = (__u32)(i & 1 ? inner->hash : inner->hash >> 32);
    ip->source.word[i] = ps_spread_word(settings, 1, i, random);
  }
  ps_set_address(PS_IPV6, &ip->destination, &backend->address);
}

// Puts the frame's packet into one of the outer family, which is a constant where it is inlined.
PS_MUST_USE PS_INLINE enum ps_reason ps_wrap(const struct ps_frame *frame, int outer_family,
                                             const struct ps_route *route,
                                             const struct ps_inner *inner) {
  struct ps_frame longer = *frame;
  if (!ps_frame_extend(&longer, (__s32)ps_ip_header_bytes(outer_family))) return PS_REASON_no_room;
  struct ps_cursor cursor = {longer.data, longer.end};
  struct ps_ethernet *ethernet = (struct ps_ethernet *)ps_take(&cursor, sizeof *ethernet);
  if (!ethernet) return PS_REASON_no_room;
  void *ip = ps_take(&cursor, ps_ip_header_bytes(outer_family));
  if (!ip) return PS_REASON_no_room;
  ps_set_macs(ethernet, route->backend->ethernet);
  ethernet->type = ps_ethertype(outer_family);
  if (outer_family == PS_IPV4) {
    ps_write_outer4((struct ps_ipv4 *)ip, route->settings, route->backend, inner);
  } else {
    ps_write_outer6((struct ps_ipv6 *)ip, route->settings, route->backend, inner);
  }
  return PS_REASON_NONE;
}

// A SYN of a service that clamps: once it is in the tunnel, it asks for segments that fit there.
PS_INLINE void ps_clamp_behind(const struct ps_packet *packet, const struct ps_route *route) {
  const __u32 header_bytes = packet->header_bytes + (__u32)sizeof(struct ps_tcp);
  const __u32 mtu = ps_tunnel_mtu(route->backend);
  if (!packet->tcp || !(packet->tcp_flags & PS_TCP_SYN) || mtu <= header_bytes) return;
  route->arrival->become = PS_CLAMPED;
  route->arrival->limit_bytes = (__u16)(mtu - header_bytes);
  route->arrival->header_bytes =
      (__u16)(packet->header_bytes + ps_ip_header_bytes(route->backend->family));
}

// The packet's pointers are void after it.
PS_MUST_USE PS_INLINE enum ps_reason ps_encapsulate(const struct ps_frame *frame, int family,
                                                    const struct ps_packet *packet,
                                                    const struct ps_route *route) {
  const int outer_family = route->backend->family;
  const __u32 mtu = ps_tunnel_mtu(route->backend);
  if (mtu && packet->ip_bytes > mtu) {
    route->arrival->limit_bytes = (__u16)mtu;
    return PS_REASON_packet_too_big;
  }
  if (ps_is_tunnel_source(route->settings, family, packet->source)) return PS_REASON_loop;
  if (!route->settings->tunnel_source[outer_family == PS_IPV6].word[0].raw) {
    return PS_REASON_no_tunnel_source;
  }
  const struct ps_inner inner = {
      packet->ip_bytes, family == PS_IPV4 ? packet->ipv4->tos : ps_ipv6_class(packet->ipv6),
      (__u8)(family == PS_IPV4 ? PS_PROTOCOL_IPV4 : PS_PROTOCOL_IPV6), route->hash};
  ps_spend_only_hop(family, packet);
  return outer_family == PS_IPV4 ? ps_wrap(frame, PS_IPV4, route, &inner)
                                 : ps_wrap(frame, PS_IPV6, route, &inner);
}
