// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// For drivers that have a burst of frames in hand: a frame's walk in two parts. The first reads the
// frame and has the processor fetch what the second will read of the flow tables, while frames
// before it are walked. The second goes on from what the first has read. Whole packets without tags
// only: the walk of others begins there.
//
// Between the two no reader's pass ends, so the tables' generation that the first met stays.
#pragma once

#include "dataplane/core/likeness.h"
#include "dataplane/core/walk.h"

// One cache line, or two for IPv6.
PS_INLINE void ps_fetch_set(int family, const void *set) {
  __builtin_prefetch(set);
  if (family == PS_IPV6) __builtin_prefetch((const __u8 *)set + 64);
}

struct ps_ahead {
  struct ps_packet packet;
  struct ps_route route;
  const struct ps_like *like;  // of a packet that goes by its address: nothing else was read
  int family;                  // 0: nothing was read
  int to_client;
};

// Where a tunnel's outer header ends that is to be written: in the cache line before the frame.
PS_INLINE void ps_fetch_outer(const struct ps_frame *frame, const struct ps_service *service) {
  if (service->mode == PS_TUNNEL) __builtin_prefetch(frame->data - 1, 1);
}

PS_INLINE void ps_read_ahead(const struct ps_tables *tables, const struct ps_frame *frame,
                             int family, struct ps_likes *likes, struct ps_ahead *ahead) {
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
    ps_hash_packet(family, packet, route);
    return ps_fetch_set(family, ps_flow_set_of_hash(tables, family, route->hash));
  }
  ps_know_service(tables, family, packet, route);
  if (route->service) ps_fetch_outer(frame, route->service);
  if (ps_is_by_address(route)) {
    ahead->like = ps_note_like(likes, frame, family, route);
    return;
  }
  ps_hash_packet(family, packet, route);
  if (!route->service || route->service->has_flows) {
    ps_fetch_set(family, ps_index_set_at(tables, family, route->hash, 0));
  }
}

PS_INLINE void ps_look_ahead_of(const struct ps_tables *tables, const struct ps_frame *frame,
                                int family, struct ps_likes *likes, struct ps_ahead *ahead) {
  ahead->like = likes->known ? ps_like_of(likes, frame, family) : 0;
  if (ahead->like) {
    ahead->family = family;
    return ps_fetch_outer(frame, ahead->like->route.service);
  }
  if (ps_frame_kind(frame, family) == PS_WHOLE) ps_read_ahead(tables, frame, family, likes, ahead);
}

PS_INLINE void ps_look_ahead(const struct ps_tables *tables, const struct ps_frame *frame,
                             struct ps_likes *likes, struct ps_ahead *ahead) {
  ahead->family = 0;
  ahead->like = 0;
  const int family = ps_frame_family(frame);
  if (family == PS_IPV4) return ps_look_ahead_of(tables, frame, PS_IPV4, likes, ahead);
  if (family == PS_IPV6) ps_look_ahead_of(tables, frame, PS_IPV6, likes, ahead);
}

// What a driver does with a frame.
struct ps_outcome {
  enum ps_action action;
  __u32 interface_index;  // PS_TRANSMIT: where it leaves
};

PS_INLINE struct ps_outcome ps_outcome_of(const struct ps_verdict *verdict) {
  const struct ps_outcome outcome = {verdict->action, verdict->interface_index};
  return outcome;
}

// Most go on as they are, without tags.
PS_MUST_USE PS_INLINE struct ps_outcome ps_conclude(const struct ps_tables *tables,
                                                    const struct ps_frame *frame, int family,
                                                    const struct ps_route *route,
                                                    const struct ps_exit *out,
                                                    enum ps_reason reason) {
  const __u8 become = *(volatile __u8 *)&route->arrival->become;
  if (PS_LIKELY(!(reason | out->tags | route->tags | become))) {
    const struct ps_outcome transmit = {PS_TRANSMIT, out->interface_index};
    return transmit;
  }
  struct ps_verdict verdict = ps_decide(tables, frame, PS_WHOLE, route, out, reason);
  verdict = ps_not_put_off(tables, frame, family, &verdict);
  verdict = ps_with_tags(tables, frame, &verdict);
  return ps_outcome_of(&verdict);
}

PS_MUST_USE PS_INLINE struct ps_outcome ps_walk_on(const struct ps_tables *tables,
                                                   const struct ps_frame *frame, int family,
                                                   struct ps_ahead *ahead) {
  struct ps_exit out = {};
  const struct ps_packet *packet = &ahead->packet;
  struct ps_route *route = &ahead->route;
  const enum ps_reason reason = ahead->to_client
                                    ? ps_forward(tables, frame, family, 0, packet, route, &out)
                                    : ps_forward_other(tables, frame, family, packet, route, &out);
  return ps_conclude(tables, frame, family, route, &out, reason);
}

// As ps_walk, for a driver's other frames. This and those below are functions of their own, so that
// the compiler has the registers for each.
PS_CALL struct ps_outcome ps_walk_whole(const struct ps_tables *tables,
                                        const struct ps_frame *frame) {
  const struct ps_verdict verdict = ps_walk(tables, frame);
  return ps_outcome_of(&verdict);
}

// As ps_track_client, where packets go by their client's address: no flow, no list and no limit is
// asked for. The packet's hash is for the header of a tunnel only.
PS_MUST_USE PS_INLINE enum ps_reason ps_track_by_address(const struct ps_tables *tables,
                                                         const struct ps_frame *frame, int family,
                                                         const struct ps_packet *packet,
                                                         struct ps_route *route) {
  if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
  const struct ps_service *service = route->service;
  const __u16 selected = ps_look_up(
      tables, service,
      ps_client_hash(route->settings, family, service, packet->source, packet->source_port));
  if (!selected) return PS_REASON_no_backend;
  if (service->mode == PS_TUNNEL) ps_hash_packet(family, packet, route);
  const enum ps_reason reason = ps_go_by_address(tables, frame, family, packet, selected, route);
  return reason ? reason : ps_find_backend(tables, family, route);
}

// The rest of the walk of such a packet.
PS_MUST_USE PS_INLINE enum ps_reason ps_forward_by_address(const struct ps_tables *tables,
                                                           const struct ps_frame *frame, int family,
                                                           const struct ps_packet *packet,
                                                           struct ps_route *route,
                                                           struct ps_exit *out) {
  enum ps_reason reason = ps_track_by_address(tables, frame, family, packet, route);
  if (reason) return reason;
  reason = ps_send(frame, family, 1, packet, route, out);
  if (reason) return reason;
  ps_count(tables, frame, 1, packet, route);
  return PS_REASON_NONE;
}

PS_MUST_USE PS_INLINE struct ps_outcome ps_walk_like(const struct ps_tables *tables,
                                                     const struct ps_frame *frame, int family,
                                                     const struct ps_like *like) {
  struct ps_packet packet = {};
  struct ps_route route = like->route;
  struct ps_exit out = {};
  if (ps_parse(frame, family, PS_WHOLE, &packet)) return ps_walk_whole(tables, frame);
  const enum ps_reason reason = ps_forward_by_address(tables, frame, family, &packet, &route, &out);
  return ps_conclude(tables, frame, family, &route, &out, reason);
}

PS_CALL struct ps_outcome ps_walk_like4(const struct ps_tables *tables,
                                        const struct ps_frame *frame, const struct ps_like *like) {
  return ps_walk_like(tables, frame, PS_IPV4, like);
}

PS_CALL struct ps_outcome ps_walk_like6(const struct ps_tables *tables,
                                        const struct ps_frame *frame, const struct ps_like *like) {
  return ps_walk_like(tables, frame, PS_IPV6, like);
}

// As ps_walk, from where ps_look_ahead has come.
PS_MUST_USE PS_INLINE struct ps_outcome ps_walk_ahead(const struct ps_tables *tables,
                                                      const struct ps_frame *frame,
                                                      struct ps_ahead *ahead) {
  const int v6 = ahead->family == PS_IPV6;
  if (ahead->like) {
    return v6 ? ps_walk_like6(tables, frame, ahead->like)
              : ps_walk_like4(tables, frame, ahead->like);
  }
  if (PS_LIKELY(ahead->family == PS_IPV4)) return ps_walk_on(tables, frame, PS_IPV4, ahead);
  if (v6) return ps_walk_on(tables, frame, PS_IPV6, ahead);
  return ps_walk_whole(tables, frame);
}
