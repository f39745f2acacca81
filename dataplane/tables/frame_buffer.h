// SPDX-License-Identifier: Apache-2.0
// A frame in one buffer of this process's memory, with room before it: what ps_frame.handle points
// to in tests, and wherever the core is compiled for what it knows of the tables.
#pragma once

#include "dataplane/core/packet.h"

struct ps_handle {
  __u8* begin;  // of the room
  __u8* data;   // of the frame
  __u8* end;
};

PS_INLINE __u32 ps_frame_length(const struct ps_frame* frame) {
  return (__u32)(frame->end - frame->data);
}

PS_INLINE void ps_frame_moved(struct ps_frame* frame) {
  const ps_handle* buffer = frame->handle;
  frame->data = buffer->data;
  frame->end = buffer->end;
}

PS_INLINE int ps_frame_extend(struct ps_frame* frame, __s32 bytes) {
  ps_handle* buffer = frame->handle;
  if (bytes > buffer->data - buffer->begin || -bytes > buffer->end - buffer->data) return 0;
  frame->data = buffer->data -= bytes;
  return 1;
}

PS_INLINE int ps_frame_cut(struct ps_frame* frame, __u32 bytes) {
  ps_handle* buffer = frame->handle;
  if (bytes > ps_frame_length(frame)) return 0;
  frame->end = buffer->end = buffer->data + bytes;
  return 1;
}
