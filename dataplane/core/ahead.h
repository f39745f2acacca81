// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// For drivers that have a burst of frames in hand: a frame's walk in two parts. The first reads the
// frame and has the processor fetch what the second will read of the flow tables, while frames
// before it are walked. The second goes on from what the first has read. Whole packets without tags
// only: the walk of others begins there.
//
// Between the two no reader's pass ends, so the tables' generation that the first met stays.
#pragma once

#include "dataplane/core/walk.h"

// One cache line, or two for IPv6.
PS_INLINE void ps_fetch_set(int family, const void *set) {
  __builtin_prefetch(set);
  if (family == PS_IPV6) __builtin_prefetch((const __u8 *)set + 64);
}

struct ps_ahead {
  struct ps_packet packet;
  struct ps_route route;
  int family;  // 0: nothing was read
  int to_client;
};

PS_INLINE void ps_look_ahead_of(const struct ps_tables *tables, const struct ps_frame *frame,
                                int family, struct ps_ahead *ahead) {
  const struct ps_packet no_packet = {};
  const struct ps_route no_route = {};
  ahead->packet = no_packet;
  ahead->route = no_route;
  if (ps_arrive(tables, frame, &ahead->route) ||
      ps_parse(frame, family, PS_WHOLE, &ahead->packet)) {
    return;
  }
  ahead->family = family;
  struct ps_packet *packet = &ahead->packet;
  struct ps_route *route = &ahead->route;
  ahead->to_client = ps_is_snat_port(family, packet->destination, packet->destination_port, route);
  if (ahead->to_client) {
    ps_read_answer(family, packet, route);
    return ps_fetch_set(family, ps_flow_set_of_hash(tables, family, route->hash));
  }
  ps_read_client(tables, family, packet, route);
  if (!route->service || route->service->has_flows) {
    ps_fetch_set(family, ps_index_set_at(tables, family, route->hash, 0));
  } else if (route->service->mode == PS_TUNNEL) {
    // Where the outer header ends that is to be written: in the cache line before the frame.
    __builtin_prefetch(frame->data - 1, 1);
  }
}

PS_INLINE void ps_look_ahead(const struct ps_tables *tables, const struct ps_frame *frame,
                             struct ps_ahead *ahead) {
  ahead->family = 0;
  const int family = ps_frame_family(frame);
  if (!family || ps_frame_kind(frame, family) != PS_WHOLE) return;
  if (family == PS_IPV4) return ps_look_ahead_of(tables, frame, PS_IPV4, ahead);
  ps_look_ahead_of(tables, frame, PS_IPV6, ahead);
}

PS_MUST_USE PS_INLINE struct ps_verdict ps_walk_on(const struct ps_tables *tables,
                                                   const struct ps_frame *frame, int family,
                                                   struct ps_ahead *ahead) {
  struct ps_exit out = {};
  const struct ps_packet *packet = &ahead->packet;
  struct ps_route *route = &ahead->route;
  const enum ps_reason reason = ahead->to_client
                                    ? ps_forward(tables, frame, family, 0, packet, route, &out)
                                    : ps_forward_other(tables, frame, family, packet, route, &out);
  struct ps_verdict verdict = ps_decide(tables, frame, PS_WHOLE, route, &out, reason);
  verdict = ps_not_put_off(tables, frame, family, &verdict);
  return ps_with_tags(tables, frame, &verdict);
}

// As ps_walk, for a driver's other frames: a function of its own, so that the compiler has the
// registers for those above.
PS_CALL struct ps_verdict ps_walk_whole(const struct ps_tables *tables,
                                        const struct ps_frame *frame) {
  return ps_walk(tables, frame);
}

// As ps_walk, from where ps_look_ahead has come.
PS_MUST_USE PS_INLINE struct ps_verdict ps_walk_ahead(const struct ps_tables *tables,
                                                      const struct ps_frame *frame,
                                                      struct ps_ahead *ahead) {
  if (PS_LIKELY(ahead->family == PS_IPV4)) return ps_walk_on(tables, frame, PS_IPV4, ahead);
  if (ahead->family == PS_IPV6) return ps_walk_on(tables, frame, PS_IPV6, ahead);
  return ps_walk_whole(tables, frame);
}
