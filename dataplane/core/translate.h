// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The rewrite: address and port translation in both directions (nat, dnat), TTL, MAC addresses.
//
// Checksums are updated (RFC 1624, RFC 3022); a UDP checksum of zero over IPv4 stays zero, and one
// that becomes zero is sent as all ones (RFC 768).
#pragma once

#include "dataplane/core/checksum.h"
#include "dataplane/core/flow_index.h"
#include "dataplane/core/match.h"

// Of a header without options; whatever its checksum is now does not count.
PS_INLINE struct ps_be16 ps_ipv4_checksum(const struct ps_ipv4 *ip) {
  const __u8 *at = (const __u8 *)ip;
  return ps_sum_end((__u64)ps_load32(at) + ps_load32(at + 4) + ps_load16(at + 8) + ip->source.raw +
                    ip->destination.raw);
}

// Where a frame leaves: the interface, and the VLAN tags there (ps_interface.tags).
struct ps_exit {
  __u32 interface_index;
  __u32 tags;
};

// Where a packet is sent on: its new addresses, ports and MACs, and the way out.
struct ps_destination {
  const struct ps_address *from;  // nothing: the packet's own address and port stay
  const struct ps_address *to;    // likewise
  struct ps_be16 from_port;
  struct ps_be16 to_port;
  __u32 ethernet[3];  // destination and source MAC, as they stand in memory
  struct ps_exit exit;
};

PS_INLINE struct ps_exit ps_exit_to(const struct ps_backend *backend) {
  const struct ps_exit exit = {backend->interface_index, backend->tags};
  return exit;
}

PS_INLINE void ps_towards_backend(int family, int mode, const struct ps_route *route,
                                  struct ps_destination *next) {
  if (mode == PS_NAT) {
    next->from = &route->settings->snat[family == PS_IPV6][ps_onward_snat(route->onward)];
    next->from_port = ps_onward_port(route->onward);
  }
  next->to = &route->backend->address;
  next->to_port = route->backend->port;
  for (int i = 0; i < 3; i++) next->ethernet[i] = route->backend->ethernet[i];
  next->exit = ps_exit_to(route->backend);
}

// A flow may outlive the configuration that its source address was in: then its place is empty.
PS_INLINE int ps_has_snat(int family, const struct ps_route *route) {
  const struct ps_address *snat = route->settings->snat[family == PS_IPV6];
  return snat[ps_onward_snat(route->onward)].word[0].raw != 0;
}

// Where the client's frames came in.
PS_INLINE const struct ps_interface *ps_client_interface(const struct ps_route *route) {
  return &route->settings->interfaces[(route->client_hop >> 48) & (PS_MAX_INTERFACES - 1)];
}

PS_INLINE void ps_towards_client(int family, int mode, const struct ps_route *route,
                                 struct ps_destination *next) {
  const __u64 hop = route->client_hop;
  const struct ps_interface *out = ps_client_interface(route);
  next->from = &route->service->vip;
  next->from_port = route->service->port;
  if (mode == PS_NAT) {
    next->to = ps_flow_client(family, route->flow);
    next->to_port = route->flow->client_port;
  }
  next->ethernet[0] = (__u32)hop;
  next->ethernet[1] = (__u32)(hop >> 32 & 0xffff) | (__u32)(out->mac << 16);
  next->ethernet[2] = (__u32)(out->mac >> 16);
  next->exit.interface_index = out->index;
  next->exit.tags = out->tags;
}

// Mode nat or dnat.
PS_INLINE struct ps_destination ps_towards(int family, int mode, int to_backend,
                                           const struct ps_route *route) {
  struct ps_destination next = {};
  if (to_backend) {
    ps_towards_backend(family, mode, route, &next);
  } else {
    ps_towards_client(family, mode, route, &next);
  }
  return next;
}

// What another address in the place of `field` changes in a checksum over it.
PS_INLINE __u64 ps_address_change(int family, const struct ps_address *field,
                                  const struct ps_address *value) {
  return value ? ps_sum_without_address(family, field) + ps_sum_address(family, value) : 0;
}

PS_INLINE __u64 ps_port_change(const struct ps_udp *ports, const struct ps_destination *next) {
  return (next->from ? (__u64)(__u16)~ports->source_port.raw + next->from_port.raw : 0) +
         (next->to ? (__u64)(__u16)~ports->destination_port.raw + next->to_port.raw : 0);
}

PS_INLINE void ps_update_transport_checksum(int family, const struct ps_packet *packet,
                                            __u64 change) {
  struct ps_be16 *field = packet->checksum;
  if (packet->protocol == PS_UDP && family == PS_IPV4 && field->raw == 0) return;
  struct ps_be16 checksum = ps_sum_end(ps_sum_begin(*field) + change);
  if (packet->protocol == PS_UDP && checksum.raw == 0) checksum.raw = 0xffff;
  *field = checksum;
}

// In the sum over an IPv4 header, one hop less: the TTL is the low byte of its word, as words are
// added here, and one less is 0xfffe more, in one's complement.
#define PS_ONE_HOP 0xfffeu

// Time to live, and the checksum of an IPv4 header whose addresses have changed by that.
PS_INLINE void ps_spend_hop(int family, const struct ps_packet *packet, __u64 address_change) {
  if (family == PS_IPV6) {
    packet->ipv6->hop_limit--;
    return;
  }
  packet->ipv4->ttl--;
  struct ps_be16 *checksum = &packet->ipv4->checksum;
  *checksum = ps_sum_end(ps_sum_begin(*checksum) + address_change + PS_ONE_HOP);
}

// TTL, protocol and checksum of an IPv4 header are a word; one hop less is one more in the
// checksum's higher byte, around the zero that one's complement has twice (RFC 1141).
#define PS_HOP_WORD_AT 8
#define PS_HOP_WORD_LESS 0x0000ffffu  // 0x10000 more, 1 less
#define PS_HOP_WORD_LAST 0xfffe0000u  // from here on the checksum goes round

// The same where addresses stay.
PS_INLINE void ps_spend_only_hop(int family, const struct ps_packet *packet) {
  if (family == PS_IPV6) {
    packet->ipv6->hop_limit--;
    return;
  }
  void *at = (__u8 *)packet->ipv4 + PS_HOP_WORD_AT;
  const __u32 word = ps_load32(at);
  ps_store32(at, word + PS_HOP_WORD_LESS + ((__u32)(word >= PS_HOP_WORD_LAST) << 16));
}

// Destination and source, as they stand in memory.
PS_INLINE void ps_set_macs(struct ps_ethernet *ethernet, const __u32 macs[3]) {
  // All read before, so that the compiler may copy two at once.
  const __u32 word[3] = {macs[0], macs[1], macs[2]};
  for (int i = 0; i < 3; i++) ps_store32((__u8 *)ethernet + i * 4, word[i]);
}

// The same, of two addresses as numbers (ps_load_mac).
PS_INLINE void ps_set_mac_pair(struct ps_ethernet *ethernet, __u64 to, __u64 from) {
  const __u32 macs[3] = {(__u32)to, (__u32)(to >> 32) | (__u32)(from << 16), (__u32)(from >> 16)};
  ps_set_macs(ethernet, macs);
}

PS_INLINE void ps_send_on(int family, const struct ps_packet *packet,
                          const struct ps_destination *next) {
  const __u64 address_change = ps_address_change(family, packet->source, next->from) +
                               ps_address_change(family, packet->destination, next->to);
  struct ps_udp *ports = packet->udp;
  if (ports) {
    const __u64 port_change = ps_port_change(ports, next);
    ps_update_transport_checksum(family, packet, address_change + port_change);
    if (next->from) ports->source_port = next->from_port;
    if (next->to) ports->destination_port = next->to_port;
  }
  ps_spend_hop(family, packet, address_change);
  if (next->from) ps_set_address(family, packet->source, next->from);
  if (next->to) ps_set_address(family, packet->destination, next->to);
  ps_set_macs(packet->ethernet, next->ethernet);
}

// To a backend that has the VIP itself: only the frame is another one.
PS_INLINE void ps_hand_over(int family, const struct ps_packet *packet,
                            const struct ps_route *route) {
  ps_spend_only_hop(family, packet);
  ps_set_macs(packet->ethernet, route->backend->ethernet);
}

// Rewrites the packet in place; answers where it leaves.
PS_INLINE struct ps_exit ps_translate(int family, int mode, int to_backend,
                                      const struct ps_packet *packet,
                                      const struct ps_route *route) {
  const struct ps_destination next = ps_towards(family, mode, to_backend, route);
  ps_send_on(family, packet, &next);
  return next.exit;
}
