// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Whose a frame is, known by one before it.
//
// A few words of a frame decide where it came in, what it is and whom it is for: the addresses and
// the port that it is sent to, and what its headers are. While no table can change, which is for
// the length of a burst, a frame that has the same there as one before it need not be asked again.
// Only packets that go by their client's address are known so: what others wait for is their flow.
#pragma once

#include "dataplane/core/match.h"

#define PS_LIKE_PLACES 8  // of each family
#define PS_LIKE_WORDS 6

// Of frames that are alike.
struct ps_like {
  __u64 word[PS_LIKE_WORDS];  // that decide
  struct ps_route route;      // as far as they do
};

// Of a burst. Begins with nothing known.
struct ps_likes {
  struct ps_like place[2][PS_LIKE_PLACES];  // [0: IPv4, 1: IPv6]
  __u32 known;                              // places in use, a bit each
};

// Parts of words as they stand in the frame, their first byte lowest.
#define PS_LIKE_STATION 0x0000ffffffffffffULL   // of bytes 0 to 7: whom the frame is sent to
#define PS_LIKE_VERSION4 0x00ffffff00000000ULL  // 8 to 15: ethertype, version, header length
#define PS_LIKE_VERSION6 0x00f0ffff00000000ULL
#define PS_LIKE_CARRIES4 0xff00ff3f00000000ULL  // 16 to 23: whether it is a fragment, protocol
#define PS_LIKE_CARRIES6 0x000000ff00000000ULL
#define PS_LIKE_ENDS 0xffff0000ffffffffULL  // the destination's last word, and its port

// Where the destination's last word is; the ports follow it.
PS_INLINE __u32 ps_ends_at(int family) {
  return (__u32)sizeof(struct ps_ethernet) + ps_ip_header_bytes(family) - 4;
}

// A frame that ends before them is like no other.
PS_INLINE int ps_has_ends(const struct ps_frame *frame, int family) {
  return frame->data + ps_ends_at(family) + sizeof(__u64) <= frame->end;
}

PS_INLINE void ps_deciding_words(const __u8 *data, int family, __u64 word[PS_LIKE_WORDS]) {
  const int v4 = family == PS_IPV4;
  word[0] = ps_load64(data) & PS_LIKE_STATION;
  word[1] = ps_load64(data + 8) & (v4 ? PS_LIKE_VERSION4 : PS_LIKE_VERSION6);
  word[2] = ps_load64(data + 16) & (v4 ? PS_LIKE_CARRIES4 : PS_LIKE_CARRIES6);
  word[3] = ps_load64(data + ps_ends_at(family)) & PS_LIKE_ENDS;
  word[4] = v4 ? 0 : ps_load64(data + 38);  // the destination's other words
  word[5] = v4 ? 0 : ps_load64(data + 42);
}

// The place of frames like this one.
PS_INLINE __u32 ps_like_place(const __u8 *data, int family) {
  const __u8 *ends = data + ps_ends_at(family);
  return ((ps_load32(ends) ^ ps_load16(ends + 6)) * 0x9e3779b1u) >> 29;
}

PS_INLINE __u32 ps_like_bit(int family, __u32 place) {
  return 1u << (place + (family == PS_IPV6) * PS_LIKE_PLACES);
}

// Nothing: no frame of the burst was like it.
PS_INLINE const struct ps_like *ps_like_of(const struct ps_likes *likes,
                                           const struct ps_frame *frame, int family) {
  if (!ps_has_ends(frame, family)) return 0;
  const __u32 place = ps_like_place(frame->data, family);
  if (!(likes->known & ps_like_bit(family, place))) return 0;
  const struct ps_like *like = &likes->place[family == PS_IPV6][place];
  __u64 word[PS_LIKE_WORDS];
  ps_deciding_words(frame->data, family, word);
  __u64 differs = 0;
  PS_UNROLL
  for (int i = 0; i < PS_LIKE_WORDS; i++) differs |= word[i] ^ like->word[i];
  return differs ? 0 : like;
}

// Takes note of a whole packet, which has its ends, and of its route before anything was looked up
// for it.
PS_INLINE const struct ps_like *ps_note_like(struct ps_likes *likes, const struct ps_frame *frame,
                                             int family, const struct ps_route *route) {
  const __u32 place = ps_like_place(frame->data, family);
  struct ps_like *like = &likes->place[family == PS_IPV6][place];
  ps_deciding_words(frame->data, family, like->word);
  like->route = *route;
  likes->known |= ps_like_bit(family, place);
  return like;
}
