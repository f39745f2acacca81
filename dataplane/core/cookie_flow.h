// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Flows begun by a SYN cookie: what the backend counts from its own first sequence number, the
// client counts from the cookie.
//
// Such a flow is looked at for every packet: the client's are no packets of its steady index entry.
// Until the backend has answered, each of the client's packets that shows the cookie becomes the
// SYN to the backend again: nobody else would send that again.
//
// What a packet is to become is written to memory (struct ps_arrival), not answered: the BPF
// verifier would follow the rest of the walk for each answer.
#pragma once

#include "dataplane/core/handshake.h"
#include "dataplane/core/match.h"

PS_INLINE void ps_shift_by(struct ps_arrival *arrival, const struct ps_flow *flow, __u64 word) {
  arrival->sequence_shift = ps_host32(flow->sequence);
  arrival->window_scale = ps_flow_scale(word);
}

// What a backend that does not scale, or a client that does not, makes of windows: they are scaled
// by this, and back by PS_OUR_SCALE.
PS_INLINE __u8 ps_scale_towards_client(__u32 cookie, int syn_ack_scale) {
  if (ps_cookie_scale(cookie) == PS_NO_SCALE) return PS_OUR_SCALE;
  return (__u8)(syn_ack_scale == PS_NO_SCALE ? 0 : syn_ack_scale);
}

// The backend's first SYN-ACK tells by how much its numbers are off. Of two at once one is taken.
// Answers the word then; 0: it was not taken.
PS_INLINE __u64 ps_take_syn_ack(struct ps_flow *flow, __u64 word, __u32 sequence, int scale,
                                __u32 now) {
  const __u32 cookie = ps_host32(flow->sequence) - 1;
  const __u64 next = ps_flow_after(word, now, 0, PS_TCP_SYN | PS_TCP_ACK, 0) |
                     (__u64)ps_scale_towards_client(cookie, scale) << PS_FLOW_SCALE_SHIFT;
  if (__sync_val_compare_and_swap(&flow->word, word, next) != word) return 0;
  flow->sequence = ps_wire32(cookie - sequence);
  return next;
}

// A backend's segment, before it is translated: what its client needs it to be (enum ps_reason).
// Before its SYN-ACK a backend can only reset; anything else belongs to an older connection, which
// the kernel resets.
PS_CALL int ps_meet_cookie_answer(struct ps_handle *handle, int family, struct ps_flow *flow,
                                  struct ps_arrival *arrival, __u32 now) {
  if (!flow || !arrival) return PS_REASON_tables_unreadable;
  const struct ps_frame frame = ps_frame_again(handle);
  const struct ps_tcp *tcp = ps_find_tcp(&frame, arrival->header_bytes);
  if (!tcp) return PS_REASON_truncated;
  const __u8 syn_ack = PS_TCP_SYN | PS_TCP_ACK;
  const int is_syn_ack = (tcp->flags & syn_ack) == syn_ack;
  const __u32 sequence = ps_host32(tcp->sequence);
  const int is_reset = (tcp->flags & PS_TCP_RST) != 0;
  __u64 word = ps_flow_load(&flow->word);
  if (is_syn_ack && is_reset) return PS_REASON_malformed;
  if (!ps_is_answered(word) && !is_reset) {
    if (!is_syn_ack) return PS_REASON_no_flow;
    const int scale = family == PS_IPV4 ? ps_syn_ack_scale(&frame, PS_IPV4, &arrival->options)
                                        : ps_syn_ack_scale(&frame, PS_IPV6, &arrival->options);
    if (scale < 0) return PS_REASON_malformed;
    word = ps_take_syn_ack(flow, word, sequence, scale, now);
    if (!word) return PS_REASON_handshake_unfinished;
  }
  ps_shift_by(arrival, flow, word);
  if (!ps_is_answered(word)) arrival->sequence_shift -= sequence;  // it resets what it was asked
  arrival->become = is_syn_ack ? PS_WINDOW_UPDATE : PS_TO_CLIENT;
  return PS_REASON_NONE;
}

// A client's packet on its way to the backend.
PS_MUST_USE PS_INLINE enum ps_reason ps_meet_cookie_client(const struct ps_packet *packet,
                                                           const struct ps_flow *flow, __u64 word,
                                                           struct ps_arrival *arrival) {
  if (!packet->tcp) return PS_REASON_NONE;  // a later fragment
  if (!ps_is_answered(word)) return PS_REASON_handshake_unfinished;
  ps_shift_by(arrival, flow, word);
  arrival->header_bytes = (__u16)packet->header_bytes;
  arrival->become = PS_TO_BACKEND;
  return PS_REASON_NONE;
}
