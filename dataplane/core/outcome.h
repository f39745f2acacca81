// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// How the walk of a frame in a burst ends.
#pragma once

#include "dataplane/core/walk.h"

// What a driver does with a frame.
struct ps_outcome {
  enum ps_action action;
  __u32 interface_index;  // PS_TRANSMIT: where it leaves
};

PS_INLINE struct ps_outcome ps_outcome_of(const struct ps_verdict *verdict) {
  const struct ps_outcome outcome = {verdict->action, verdict->interface_index};
  return outcome;
}

// As ps_walk, for what is not walked in parts. A function of its own, so that the compiler has the
// registers for those that are.
PS_CALL struct ps_outcome ps_walk_whole(const struct ps_tables *tables,
                                        const struct ps_frame *frame) {
  const struct ps_verdict verdict = ps_walk(tables, frame);
  return ps_outcome_of(&verdict);
}

// Of a packet that does not go on, or not as it is: by family.
PS_INLINE struct ps_outcome ps_conclude_other(const struct ps_tables *tables,
                                              const struct ps_frame *frame, int family,
                                              const struct ps_route *route,
                                              const struct ps_exit *out, enum ps_reason reason) {
  struct ps_verdict verdict = ps_decide(tables, frame, PS_WHOLE, route, out, reason);
  verdict = ps_not_put_off(tables, frame, family, &verdict);
  verdict = ps_with_tags(tables, frame, &verdict);
  return ps_outcome_of(&verdict);
}

PS_CALL struct ps_outcome ps_conclude_other4(const struct ps_tables *tables,
                                             const struct ps_frame *frame,
                                             const struct ps_route *route,
                                             const struct ps_exit *out, enum ps_reason reason) {
  return ps_conclude_other(tables, frame, PS_IPV4, route, out, reason);
}

PS_CALL struct ps_outcome ps_conclude_other6(const struct ps_tables *tables,
                                             const struct ps_frame *frame,
                                             const struct ps_route *route,
                                             const struct ps_exit *out, enum ps_reason reason) {
  return ps_conclude_other(tables, frame, PS_IPV6, route, out, reason);
}

// Most go on as they are, without tags. `may_become` is 0 where none that goes on becomes anything
// else.
PS_MUST_USE PS_INLINE struct ps_outcome ps_conclude(const struct ps_tables *tables,
                                                    const struct ps_frame *frame, int family,
                                                    const struct ps_route *route,
                                                    const struct ps_exit *out, int may_become,
                                                    enum ps_reason reason) {
  const __u8 become = may_become ? *(volatile __u8 *)&route->arrival->become : 0;
  if (PS_LIKELY(!(reason | out->tags | route->tags | become))) {
    const struct ps_outcome transmit = {PS_TRANSMIT, out->interface_index};
    return transmit;
  }
  // In memory only here, not for every packet.
  const struct ps_route route_in_memory = *route;
  const struct ps_exit out_in_memory = *out;
  return family == PS_IPV4
             ? ps_conclude_other4(tables, frame, &route_in_memory, &out_in_memory, reason)
             : ps_conclude_other6(tables, frame, &route_in_memory, &out_in_memory, reason);
}
