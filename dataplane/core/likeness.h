// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Whose a frame is, known by one before it.
//
// A few words of a frame decide where it came in, what it is and whom it is for: the addresses and
// the port that it is sent to, and what its headers are. While no table changes, a frame that has
// the same there as one before it need not be asked again. Of what backends send to our source
// ports the port itself does not decide.
#pragma once

#include "dataplane/core/match.h"

#define PS_LIKE_PLACES 16  // of each family
#define PS_LIKE_WORDS 6
#define PS_LIKE_WORDS4 4  // of them, IPv4

// How frames that are alike go on.
enum ps_way {
  PS_BY_FLOW,     // a client's, that may have a flow
  PS_BY_ADDRESS,  // a client's, whose service has none
  PS_WAY_BACK,    // a backend's, for a source port of ours
};

// Of frames that are alike.
struct ps_like {
  __u64 word[PS_LIKE_WORDS];  // that decide
  struct ps_route route;      // as far as they do
  enum ps_way way;
};

// Begins with nothing known, and each burst with nothing in use.
struct ps_likes {
  struct ps_like place[2][PS_LIKE_PLACES];  // [0: IPv4, 1: IPv6]
  __u32 known;                              // places that are taken, a bit each
  __u32 in_use;                             // of them, those that frames of this burst are like
};

// Parts of words as they stand in the frame, their first byte lowest.
#define PS_LIKE_STATION 0x0000ffffffffffffULL   // of bytes 0 to 7: whom the frame is sent to
#define PS_LIKE_VERSION4 0x00ffffff00000000ULL  // 8 to 15: ethertype, version, header length
#define PS_LIKE_VERSION6 0x00f0ffff00000000ULL
#define PS_LIKE_CARRIES4 0xff00ff3f00000000ULL  // 16 to 23: whether it is a fragment, protocol
#define PS_LIKE_CARRIES6 0x000000ff00000000ULL
#define PS_LIKE_ENDS 0xffff0000ffffffffULL  // the destination's last word, and its port
#define PS_LIKE_END 0x00000000ffffffffULL   // without the port

// Where the destination's last word is; the ports follow it.
PS_INLINE __u32 ps_ends_at(int family) {
  return (__u32)sizeof(struct ps_ethernet) + ps_ip_header_bytes(family) - 4;
}

// A frame that ends before them is like no other.
PS_INLINE int ps_has_ends(const struct ps_frame *frame, int family) {
  return frame->data + ps_ends_at(family) + sizeof(__u64) <= frame->end;
}

PS_INLINE void ps_deciding_words(const __u8 *data, int family, enum ps_way way,
                                 __u64 word[PS_LIKE_WORDS]) {
  const int v4 = family == PS_IPV4;
  word[0] = ps_load64(data) & PS_LIKE_STATION;
  word[1] = ps_load64(data + 8) & (v4 ? PS_LIKE_VERSION4 : PS_LIKE_VERSION6);
  word[2] = ps_load64(data + 16) & (v4 ? PS_LIKE_CARRIES4 : PS_LIKE_CARRIES6);
  word[3] =
      ps_load64(data + ps_ends_at(family)) & (way == PS_WAY_BACK ? PS_LIKE_END : PS_LIKE_ENDS);
  word[4] = v4 ? 0 : ps_load64(data + 38);  // the destination's other words
  word[5] = v4 ? 0 : ps_load64(data + 42);
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

PS_INLINE int ps_is_like(const struct ps_like *like, const struct ps_frame *frame, int family,
                         enum ps_way way) {
  if (!ps_has_ends(frame, family)) return 0;
  __u64 word[PS_LIKE_WORDS];
  ps_deciding_words(frame->data, family, way, word);
  __u64 differs = 0;
  PS_UNROLL
  for (int i = 0; i < PS_LIKE_WORDS; i++) {
    if (i < PS_LIKE_WORDS4 || family == PS_IPV6) differs |= word[i] ^ like->word[i];
  }
  return !differs &&
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

// Nothing: no frame before was like it.
PS_INLINE const struct ps_like *ps_like_of(struct ps_likes *likes, const struct ps_frame *frame,
                                           int family) {
  if (!likes->known || !ps_has_ends(frame, family)) return 0;
  const struct ps_like *like = ps_find_like(likes, frame, family, PS_BY_FLOW);
  return like ? like : ps_find_like(likes, frame, family, PS_WAY_BACK);
}

// Takes note of a simple packet, which has its ends, and of its route before anything was looked up
// for it. Nothing: others of this burst have its place.
PS_INLINE const struct ps_like *ps_note_like(struct ps_likes *likes, const struct ps_frame *frame,
                                             int family, enum ps_way way,
                                             const struct ps_route *route) {
  const __u32 place = ps_like_place(frame->data, family, way);
  const __u32 bit = ps_like_bit(family, place);
  if (likes->in_use & bit) return 0;
  struct ps_like *like = &likes->place[family == PS_IPV6][place];
  ps_deciding_words(frame->data, family, way, like->word);
  like->route = *route;
  like->way = way;
  likes->known |= bit;
  likes->in_use |= bit;
  return like;
}
