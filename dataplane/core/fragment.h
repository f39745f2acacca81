// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Fragments: the first one's ports and protocol are remembered by addresses and identification;
// later ones take them from there, and then go as any other packet of their connection.
//
// A later fragment that comes before the first, after PS_FRAGMENT_UNITS, or when others have taken
// its place, is dropped and counted: nothing is held back.
#pragma once

#include "dataplane/core/packet.h"
#include "dataplane/core/recent.h"

// 30 s at least: as long as a host waits for the rest (RFC 791, RFC 8200 has 60 s).
#define PS_FRAGMENT_UNITS 7

// IPv4 tells datagrams apart by protocol too (RFC 791). IPv6 does not (RFC 8200, 4.5): what a later
// fragment tells may be an extension header's.
PS_INLINE __u64 ps_fragment_key(const struct ps_settings *settings, int family,
                                const struct ps_packet *packet) {
  const struct ps_be16 low = {(__u16)packet->identification.raw};
  const struct ps_be16 high = {(__u16)(packet->identification.raw >> 16)};
  const __u8 protocol = family == PS_IPV4 ? packet->protocol : 0;
  const struct ps_tuple tuple = {packet->source, packet->destination, low, high, protocol};
  return ps_tuple_hash(settings, family, &tuple);
}

// Remembers a first fragment's ports (both as wire words, the source's lowest) and protocol, or
// fills in a later one's.
PS_MUST_USE PS_INLINE enum ps_reason ps_meet_fragment(const struct ps_tables *tables,
                                                      const struct ps_settings *settings,
                                                      int family, enum ps_kind kind,
                                                      struct ps_packet *packet, __u32 now) {
  const __u64 key = ps_fragment_key(settings, family, packet);
  struct ps_recent_set *set = ps_recent_set_of(tables, PS_FRAGMENTS, key);
  if (kind == PS_FIRST_FRAGMENT) {
    const __u32 ports = packet->source_port.raw | ((__u32)packet->destination_port.raw << 16);
    ps_remember(set, key, ports | ((__u64)packet->protocol << 32), now);
    return PS_REASON_NONE;
  }
  const __u64 known = ps_recall(set, key, now, PS_FRAGMENT_UNITS);
  packet->source_port.raw = (__u16)known;
  packet->destination_port.raw = (__u16)(known >> 16);
  packet->protocol = (__u8)(known >> 32);
  return known ? PS_REASON_NONE : PS_REASON_fragment_unknown;
}
