// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// What a frame becomes behind the walk, beyond what that made of it: an ICMP error about it,
// another TCP segment, or the same one in the other end's numbers.
//
// The walk says what (struct ps_arrival) and where to; a BPF program of its own does it, so that
// the verifier follows each once, and not for each way that leads there.
#pragma once

#include "dataplane/core/handshake.h"
#include "dataplane/core/icmp_error.h"

PS_INLINE int ps_become_error(const struct ps_frame *frame, int family,
                              const struct ps_arrival *arrival) {
  const struct ps_icmp_error error =
      ps_error_about(family, (enum ps_reason)arrival->reason, arrival->limit_bytes);
  return ps_answer_with_error(frame, family, error);
}

// 0: it cannot be read, there is no room, or nobody may be told.
PS_MUST_USE PS_INLINE int ps_become(struct ps_frame *frame, const struct ps_settings *settings,
                                    int family, struct ps_arrival *arrival) {
  switch (arrival->become) {
    case PS_ERROR: return ps_become_error(frame, family, arrival);
    case PS_SYN_ACK: return ps_become_syn_ack(frame, settings, family, arrival);
    case PS_SYN: return ps_become_syn(frame, family, 0);
    case PS_SYN_BY_PROBE: return ps_become_syn(frame, family, 1);
    case PS_WINDOW_UPDATE: return ps_become_window_update(frame, family, arrival->sequence_shift);
    case PS_TO_CLIENT: return ps_shift_to_client(frame, arrival);
    case PS_TO_BACKEND: return ps_shift_to_backend(frame, arrival);
    case PS_CLAMPED: return ps_clamp_mss(frame, arrival, arrival->limit_bytes);
    default: return 0;
  }
}
