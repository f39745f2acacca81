// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// How the walk of a frame in a burst ends.
#pragma once

#include "dataplane/core/walk.h"

// By which interface (the kernel's index) a frame leaves, or one of these.
#define PS_DROPPED 0u
#define PS_TO_KERNEL 0xffffffffu

PS_INLINE __u32 ps_outcome_of(const struct ps_verdict *verdict) {
  switch (verdict->action) {
    case PS_TRANSMIT: return verdict->interface_index;
    case PS_PASS: return PS_TO_KERNEL;
    default: return PS_DROPPED;
  }
}

// As ps_walk, for what is not walked in parts. A function of its own, so that the compiler has the
// registers for those that are.
PS_CALL __u32 ps_walk_whole(const struct ps_tables *tables, const struct ps_frame *frame) {
  const struct ps_verdict verdict = ps_walk(tables, frame);
  return ps_outcome_of(&verdict);
}

// Most packets go on as they are, without tags, as they came. `may_become` is 0 where none that
// goes on becomes anything else.
PS_INLINE int ps_goes_on(const struct ps_route *route, const struct ps_exit *out, int may_become,
                         enum ps_reason reason) {
  const __u8 become = may_become ? *(volatile __u8 *)&route->arrival->become : 0;
  return !(reason | out->tags | become);
}

PS_INLINE __u32 ps_conclude_family(const struct ps_tables *tables, const struct ps_frame *frame,
                                   int family, const struct ps_route *route,
                                   const struct ps_exit *out, enum ps_reason reason) {
  struct ps_verdict verdict = ps_decide(tables, frame, PS_WHOLE, route, out, reason);
  verdict = ps_not_put_off(tables, frame, family, &verdict);
  verdict = ps_with_tags(tables, frame, &verdict);
  return ps_outcome_of(&verdict);
}

PS_CALL __u32 ps_conclude4(const struct ps_tables *tables, const struct ps_frame *frame,
                           const struct ps_route *route, const struct ps_exit *out,
                           enum ps_reason reason) {
  return ps_conclude_family(tables, frame, PS_IPV4, route, out, reason);
}

PS_CALL __u32 ps_conclude6(const struct ps_tables *tables, const struct ps_frame *frame,
                           const struct ps_route *route, const struct ps_exit *out,
                           enum ps_reason reason) {
  return ps_conclude_family(tables, frame, PS_IPV6, route, out, reason);
}

// What becomes of the others. Where `out` is a variable its copy is made here, so that it is in
// memory only for them.
PS_INLINE __u32 ps_conclude(const struct ps_tables *tables, const struct ps_frame *frame,
                            int family, const struct ps_route *route, const struct ps_exit *out,
                            enum ps_reason reason) {
  const struct ps_exit out_in_memory = *out;
  return family == PS_IPV4 ? ps_conclude4(tables, frame, route, &out_in_memory, reason)
                           : ps_conclude6(tables, frame, route, &out_in_memory, reason);
}
