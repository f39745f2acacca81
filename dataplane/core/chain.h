// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The chain of IPv6 extension headers before what a packet carries: hop-by-hop options, destination
// options, a routing header at its end, a fragment header (RFC 8200, section 4). They are stepped
// over, and stay as they are.
//
// A chain is followed apart from the walk, to which it is a number of bytes and a protocol: so the
// BPF verifier follows each way through it once, not each with all that comes behind.
#pragma once

#include "dataplane/core/headers.h"

// Bounds, as RFC 8504, 5.3, lets a node have them: more headers than the five that RFC 8200, 4.1,
// has one after another, and as many bytes as leave room for the ports in an error of our own
// (PS_QUOTED_BYTES).
#define PS_CHAIN_HEADERS 8
#define PS_CHAIN_BYTES 80u

struct ps_chain {
  __u8 bytes;     // as far as it can be followed; where the frame ends in it, beyond that end
  __u8 protocol;  // behind it: an extension header's, where it cannot be followed to its end
  __u8 is_fragment;
  __u8 is_later;  // fragment than the first: what is behind its header is no header
  struct ps_be32 identification;
};
PS_SIZE_IS(struct ps_chain, 8);

PS_INLINE int ps_is_extension(__u8 protocol) {
  return protocol == PS_PROTOCOL_HOP_BY_HOP || protocol == PS_PROTOCOL_ROUTING ||
         protocol == PS_PROTOCOL_FRAGMENT || protocol == PS_PROTOCOL_DESTINATION_OPTIONS;
}

PS_INLINE void ps_note_fragment(struct ps_chain *chain, const struct ps_ipv6_fragment *header) {
  const __u16 offset = header->offset_and_flags.raw & ps_wire16(PS_IPV6_FRAGMENT_OFFSET).raw;
  chain->is_fragment = 1;
  chain->is_later = offset != 0;
  chain->identification = header->identification;
}

// One header on. 0: there is none, or none that is stepped over. A packet is no fragment twice;
// and one that is routed on has a checksum over another destination.
PS_INLINE int ps_step_over(struct ps_cursor *cursor, struct ps_chain *chain) {
  if (!ps_is_extension(chain->protocol) || chain->is_later) return 0;
  const struct ps_ipv6_extension *header =
      (struct ps_ipv6_extension *)ps_take(cursor, sizeof *header);
  if (!header) {
    chain->bytes += (__u8)sizeof *header;
    return 0;
  }
  const int is_fragment = chain->protocol == PS_PROTOCOL_FRAGMENT;
  const __u32 more_bytes = is_fragment ? 0 : header->more_words * (__u32)sizeof *header;
  const __u32 bytes = chain->bytes + (__u32)sizeof *header + more_bytes;
  if (bytes > PS_CHAIN_BYTES || (is_fragment && chain->is_fragment)) return 0;
  if (chain->protocol == PS_PROTOCOL_ROUTING && header->segments_left) return 0;
  if (is_fragment) ps_note_fragment(chain, (const struct ps_ipv6_fragment *)header);
  chain->bytes = (__u8)bytes;
  chain->protocol = header->next_header;
  return ps_take(cursor, more_bytes) != 0;
}

// The cursor is where the chain begins, whose first header's protocol is given.
PS_INLINE struct ps_chain ps_read_chain(struct ps_cursor cursor, __u8 protocol) {
  struct ps_chain chain = {};
  chain.protocol = protocol;
  for (int i = 0; i < PS_CHAIN_HEADERS && ps_step_over(&cursor, &chain); i++) continue;
  return chain;
}
