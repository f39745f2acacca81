// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The options of a SYN (RFC 9293, 3.2; RFC 7323): maximum segment size and window scale.
//
// They are copied out of the frame into memory of the worker's: the BPF verifier follows no place
// in a frame that an option's length has led to.
#pragma once

#include "dataplane/core/packet.h"
#include "dataplane/core/tables.h"

#define PS_NO_SCALE 15  // no window is scaled by more than 14

enum { PS_OPTION_END = 0, PS_OPTION_NOTHING = 1, PS_OPTION_MSS = 2, PS_OPTION_SCALE = 3 };

// Reads the next option. 0: there is none, or it cannot be read.
PS_CALL int ps_read_option(struct ps_tcp_options *options) {
  if (!options) return 0;
  __u32 at = options->next;
  PS_OPAQUE(at);  // else the compiler drops a bound that the BPF verifier needs
  if (at >= PS_OPTION_BYTES || at >= options->count) return 0;
  const __u8 *option = &options->bytes[at];
  if (option[0] == PS_OPTION_END) return 0;
  if (option[0] == PS_OPTION_NOTHING) {
    options->next = (__u8)(at + 1);
    return 1;
  }
  const __u32 next = at + option[1];
  if (option[1] < 2 || next > options->count) return 0;
  if (option[0] == PS_OPTION_MSS && option[1] == 4) {
    options->mss = (__u16)(option[2] << 8 | option[3]);
    options->mss_at = (__u8)(at + 2);
  }
  if (option[0] == PS_OPTION_SCALE && option[1] == 3) {
    options->scale = option[2] < PS_NO_SCALE ? option[2] : PS_NO_SCALE - 1;
  }
  options->next = (__u8)next;
  return 1;
}

// Fills `options`. 0: they do not lie in the frame's first buffer.
PS_INLINE int ps_read_options(const struct ps_frame *frame, const struct ps_tcp *tcp,
                              struct ps_tcp_options *options) {
  struct ps_cursor cursor = {(__u8 *)tcp, frame->end};
  if (!ps_take(&cursor, sizeof *tcp)) return 0;
  const __u32 count = (tcp->header_words >> 4) * 4u - (__u32)sizeof *tcp;
  for (__u32 at = 0; at < PS_OPTION_BYTES; at += 4) {
    PS_OPAQUE(at);  // a loop, not its unrolled rounds: the BPF stack is short
    const void *word = at < count ? ps_take(&cursor, 4) : 0;
    if (!word && at < count) return 0;
    ps_store32(&options->bytes[at], word ? ps_load32(word) : 0);
  }
  options->mss = 0;
  options->mss_at = 0;
  options->next = 0;
  options->scale = PS_NO_SCALE;
  options->count = (__u8)count;
  for (__u32 i = 0; i < PS_OPTION_BYTES && ps_read_option(options); i++) {
  }
  return 1;
}
