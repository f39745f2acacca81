// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Whose a frame is, known by one before it.
//
// A few bytes of a frame decide where it came in, what it is and whom it is for: the addresses and
// the port that it is sent to, and what its headers are. While no table changes, a frame that has
// the same there as one before it need not be asked again. Of what backends send to our source
// ports the port itself does not decide.
#pragma once

#include "dataplane/core/block.h"
#include "dataplane/core/match.h"

#define PS_MAX_BURST 64    // frames; a multiple of PS_LANES
#define PS_LIKE_PLACES 16  // of each family

// How frames that are alike go on.
enum ps_way {
  PS_BY_FLOW,     // a client's, that may have a flow
  PS_BY_ADDRESS,  // a client's, whose service has none
  PS_WAY_BACK,    // a backend's, for a source port of ours
};

// Of frames that are alike.
struct ps_like {
  ps_block block[2];      // of the first one: what it begins with, and what ends with its ports
  struct ps_route route;  // as far as they decide
  enum ps_way way;
  __u8 protocol;
};

// Begins with nothing known, and each burst with nothing in use.
struct ps_likes {
  struct ps_like place[2][PS_LIKE_PLACES];  // [0: IPv4, 1: IPv6]
  __u32 known;                              // places that are taken, a bit each
  __u32 in_use;                             // of them, those that frames of this burst are like
};

// Where the destination's last word is; the ports follow it.
PS_INLINE __u32 ps_ends_at(int family) {
  return (__u32)sizeof(struct ps_ethernet) + ps_ip_header_bytes(family) - 4;
}

// The part of each block that decides: first byte of a word lowest.
PS_INLINE void ps_deciding_parts(int family, enum ps_way way, ps_block part[2]) {
  const int v4 = family == PS_IPV4;
  const __u64 port = way == PS_WAY_BACK ? 0 : 0xffffULL << 48;
  const ps_block begin = {
      0x0000ffffffffffffULL,                               // whom the frame is sent to
      v4 ? 0x00ffffff00000000ULL : 0x00f0ffff00000000ULL,  // ethertype, version, header length
      v4 ? 0xff00ff3f00000000ULL : 0x000000ff00000000ULL,  // whether it is a fragment, protocol
      0};
  const ps_block end = {0, v4 ? 0 : 0xffffffff00000000ULL, v4 ? 0 : ~0ULL,  // the destination
                        0x00000000ffffffffULL | port};
  part[0] = begin;
  part[1] = end;
}

PS_INLINE struct ps_be16 ps_port_sent_to(const __u8 *data, int family) {
  const struct ps_be16 port = {ps_load16(data + ps_ends_at(family) + 6)};
  return port;
}

// The place of frames like this one.
PS_INLINE __u32 ps_like_place(const __u8 *data, int family, enum ps_way way) {
  const __u16 port = way == PS_WAY_BACK ? 0 : ps_port_sent_to(data, family).raw;
  return ((ps_load32(data + ps_ends_at(family)) ^ port) * 0x9e3779b1u) >> 28;
}

PS_INLINE __u32 ps_like_bit(int family, __u32 place) {
  return 1u << (place + (family == PS_IPV6) * PS_LIKE_PLACES);
}

PS_INLINE const ps_block *ps_block_at(const __u8 *data, int family, int which) {
  const __u32 at = which ? ps_ends_at(family) + 8 - (__u32)sizeof(ps_block) : 0;
  return (const ps_block *)(data + at);
}

PS_INLINE int ps_is_like(const struct ps_like *like, const struct ps_frame *frame, int family,
                         enum ps_way way) {
  if (!ps_has_headers(frame, family, like->protocol)) return 0;
  ps_block part[2];
  ps_deciding_parts(family, way, part);
  const ps_block differs = ((*ps_block_at(frame->data, family, 0) ^ like->block[0]) & part[0]) |
                           ((*ps_block_at(frame->data, family, 1) ^ like->block[1]) & part[1]);
  return ps_is_nothing(&differs) &&
         (way != PS_WAY_BACK ||
          ps_is_of_snat_ports(like->route.settings, ps_port_sent_to(frame->data, family)));
}

// Among those that go that way.
PS_INLINE const struct ps_like *ps_find_like(struct ps_likes *likes, const struct ps_frame *frame,
                                             int family, enum ps_way way) {
  const __u32 place = ps_like_place(frame->data, family, way);
  const __u32 bit = ps_like_bit(family, place);
  if (!(likes->known & bit)) return 0;
  const struct ps_like *like = &likes->place[family == PS_IPV6][place];
  if ((like->way == PS_WAY_BACK) != (way == PS_WAY_BACK)) return 0;
  if (!ps_is_like(like, frame, family, way)) return 0;
  likes->in_use |= bit;
  return like;
}

// Nothing: no frame before was like it, or it is too short to tell.
PS_INLINE const struct ps_like *ps_like_of(struct ps_likes *likes, const struct ps_frame *frame,
                                           int family) {
  if (!likes->known || !ps_has_headers(frame, family, PS_UDP)) return 0;
  const struct ps_like *like = ps_find_like(likes, frame, family, PS_BY_FLOW);
  return like ? like : ps_find_like(likes, frame, family, PS_WAY_BACK);
}

// Takes note of a simple packet, which has its headers, and of its route before anything was looked
// up for it. Nothing: others of this burst have its place.
PS_INLINE const struct ps_like *ps_note_like(struct ps_likes *likes, const struct ps_frame *frame,
                                             int family, enum ps_way way, __u8 protocol,
                                             const struct ps_route *route) {
  const __u32 place = ps_like_place(frame->data, family, way);
  const __u32 bit = ps_like_bit(family, place);
  if (likes->in_use & bit) return 0;
  struct ps_like *like = &likes->place[family == PS_IPV6][place];
  for (int i = 0; i < 2; i++) like->block[i] = *ps_block_at(frame->data, family, i);
  like->route = *route;
  like->way = way;
  like->protocol = protocol;
  likes->known |= bit;
  likes->in_use |= bit;
  return like;
}
