// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// VLAN tags, one or two (IEEE 802.1Q, 802.1ad): taken out before the walk, which asks for them only
// where it looks for the interface, and put in front of the frame behind it.
//
// Between the two they are kept by worker, which has one frame in hand at a time: not every driver
// has room for them beside the frame. Frames without tags pay one look there.
#pragma once

#include "dataplane/core/match.h"

#define PS_TAG_BYTES 4u
#define PS_MACS_BYTES 12u
#define PS_VLAN_MASK 0xfffu

// Tags as they stand in a frame, outermost first; 0: none.
struct ps_tagging {
  __u32 wire[2];
};

PS_INLINE int ps_frame_is_tagged(const struct ps_frame *frame) {
  struct ps_cursor cursor = {frame->data, frame->end};
  const struct ps_ethernet *ethernet = (struct ps_ethernet *)ps_take(&cursor, sizeof *ethernet);
  return ethernet && ps_is_tag(ethernet->type);
}

// A tag's half of ps_interface.tags; 0: it says a priority, and no VLAN.
PS_INLINE __u32 ps_tag_number(__u32 wire) {
  const struct ps_be32 tag = {wire};
  const __u32 vlan = ps_host32(tag) & PS_VLAN_MASK;
  const int is_service = ps_host32(tag) >> 16 == PS_ETHERTYPE_SERVICE_VLAN;
  return vlan && is_service ? vlan | PS_TAG_IS_SERVICE : vlan;
}

// The other way round, with no priority.
PS_INLINE __u32 ps_tag_wire(__u32 number) {
  const __u32 type = number & PS_TAG_IS_SERVICE ? PS_ETHERTYPE_SERVICE_VLAN : PS_ETHERTYPE_VLAN;
  return number ? ps_wire32(type << 16 | (number & PS_VLAN_MASK)).raw : 0;
}

// Those before an IP packet; answers ps_interface.tags of them, 0 for any others.
PS_INLINE __u32 ps_read_tags(const struct ps_frame *frame, struct ps_tagging *found) {
  struct ps_cursor cursor = {frame->data, frame->end};
  if (!ps_take(&cursor, PS_MACS_BYTES)) return 0;
  const struct ps_be32 *outer = (struct ps_be32 *)ps_take(&cursor, PS_TAG_BYTES);
  const struct ps_be16 *type = (struct ps_be16 *)ps_take(&cursor, sizeof *type);
  if (!outer || !type) return 0;
  found->wire[0] = outer->raw;
  const __u32 first = ps_tag_number(outer->raw);
  if (!ps_is_tag(*type)) return ps_family_of(*type) ? first : 0;
  const void *control = ps_take(&cursor, PS_TAG_BYTES - (__u32)sizeof *type);
  const struct ps_be16 *inner_type = (struct ps_be16 *)ps_take(&cursor, sizeof *inner_type);
  if (!control || !inner_type || !ps_family_of(*inner_type)) return 0;
  found->wire[1] = ps_load32(type);
  const __u32 second = ps_tag_number(found->wire[1]);
  return first && second ? first | second << 16 : 0;
}

PS_INLINE int ps_is_forwarded_on(const struct ps_settings *settings, __u32 index, __u32 tags) {
  for (__u32 i = 0; i < PS_MAX_INTERFACES; i++) {
    const struct ps_interface *interface = &settings->interfaces[i];
    if (interface->index == index && interface->tags == tags) return 1;
  }
  return 0;
}

// Moves the frame's MAC addresses by so many bytes towards its end (less than 0: its begin), and
// the frame's begin with them. The two cases of 0 after ps_frame_extend are none that happen.
PS_MUST_USE PS_INLINE int ps_move_macs(struct ps_frame *frame, __s32 bytes) {
  struct ps_cursor before = {frame->data, frame->end};
  const __u8 *macs = (const __u8 *)ps_take(&before, PS_MACS_BYTES);
  if (!macs) return 0;
  const __u32 word[3] = {ps_load32(macs), ps_load32(macs + 4), ps_load32(macs + 8)};
  if (!ps_frame_extend(frame, -bytes)) return 0;
  struct ps_cursor after = {frame->data, frame->end};
  struct ps_ethernet *ethernet = (struct ps_ethernet *)ps_take(&after, sizeof *ethernet);
  if (!ethernet) return 0;
  ps_set_macs(ethernet, word);
  return 1;
}

// For a frame that came in by one of our VLAN interfaces: from here on it is one without tags. 0:
// it is none, and as it was.
PS_MUST_USE PS_INLINE int ps_take_tags(const struct ps_tables *tables, struct ps_frame *frame) {
  __u32 generation = 0;
  const struct ps_settings *settings = ps_settings_now(tables, &generation);
  struct ps_arrival *arrival = ps_arrival_at(tables, frame->worker);
  if (!settings || !arrival) return 0;
  struct ps_tagging found = {};
  const __u32 tags = ps_read_tags(frame, &found);
  if (!tags || !ps_is_forwarded_on(settings, frame->interface_index, tags)) return 0;
  const int moved = found.wire[1] ? ps_move_macs(frame, 2 * (__s32)PS_TAG_BYTES)
                                  : ps_move_macs(frame, (__s32)PS_TAG_BYTES);
  if (!moved) return 0;
  arrival->wire[0] = found.wire[0];
  arrival->wire[1] = found.wire[1];
  arrival->tags = tags;
  return 1;
}

PS_MUST_USE PS_INLINE int ps_write_tags(struct ps_frame *frame, const struct ps_tagging *tagging,
                                        int count) {
  if (!ps_move_macs(frame, -count * (__s32)PS_TAG_BYTES)) return 0;
  struct ps_cursor cursor = {frame->data, frame->end};
  if (!ps_take(&cursor, PS_MACS_BYTES)) return 0;
  for (int i = 0; i < count; i++) {
    void *tag = ps_take(&cursor, PS_TAG_BYTES);
    if (!tag) return 0;
    ps_store32(tag, tagging->wire[i]);
  }
  return 1;
}

// Behind the walk: the frame gets the tags that it came with, or those of the way out, with no
// priority; and the worker has none in hand any more. 0: there is no room for them.
PS_MUST_USE PS_INLINE int ps_put_tags(const struct ps_tables *tables, const struct ps_frame *frame,
                                      int is_passed, __u32 tags) {
  struct ps_arrival *arrival = ps_arrival_at(tables, frame->worker);
  if (!arrival) return 0;
  struct ps_tagging tagging = {{ps_tag_wire(tags & 0xffff), ps_tag_wire(tags >> 16)}};
  if (is_passed) {
    tagging.wire[0] = arrival->tags ? arrival->wire[0] : 0;
    tagging.wire[1] = arrival->tags ? arrival->wire[1] : 0;
  }
  arrival->tags = 0;
  if (!tagging.wire[0]) return 1;
  struct ps_frame tagged = *frame;
  ps_frame_moved(&tagged);
  return tagging.wire[1] ? ps_write_tags(&tagged, &tagging, 2)
                         : ps_write_tags(&tagged, &tagging, 1);
}
