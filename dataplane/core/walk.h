// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The packet walk as a driver sees it: its stages in order, then the verdict and the counters.
//
//   ps_frame_family -> ps_arrive -> ps_parse -> ps_track_client or ps_track_answer -> ps_count,
//   ps_translate -> verdict
//
// Each stage answers PS_REASON_NONE to go on, or why the packet goes no further; up to ps_translate
// its bytes are untouched.
#pragma once

#include "dataplane/core/track.h"
#include "dataplane/core/translate.h"

enum ps_action { PS_PASS, PS_DROP, PS_TRANSMIT };

struct ps_verdict {
  enum ps_action action;
  enum ps_reason reason;
  __u32 interface_index;  // PS_TRANSMIT: where the frame leaves
};

PS_INLINE enum ps_action ps_action_of(enum ps_reason reason) {
  switch (reason) {
    case PS_REASON_NONE: return PS_TRANSMIT;
#define PS_ACTION_pass PS_PASS
#define PS_ACTION_drop PS_DROP
#define PS_REASON_ACTION(name, verdict, text) \
  case PS_REASON_##name: return PS_ACTION_##verdict;
      PS_REASONS(PS_REASON_ACTION)
#undef PS_REASON_ACTION
#undef PS_ACTION_pass
#undef PS_ACTION_drop
    default: return PS_DROP;
  }
}

PS_INLINE void ps_count_traffic(struct ps_traffic *traffic, int to_backend,
                                const struct ps_packet *packet, const struct ps_route *route) {
  if (!traffic) return;
  if (to_backend) {
    traffic->packets_to_backend++;
    traffic->bytes_to_backend += packet->ip_bytes;
    if (route->is_new) traffic->new_flows++;
  } else {
    traffic->packets_to_client++;
    traffic->bytes_to_client += packet->ip_bytes;
  }
}

PS_INLINE void ps_count(const struct ps_tables *tables, const struct ps_frame *frame,
                        int to_backend, const struct ps_packet *packet,
                        const struct ps_route *route) {
  ps_count_traffic(ps_service_traffic_at(tables, frame->worker, route->service_id), to_backend,
                   packet, route);
  ps_count_traffic(ps_backend_traffic_at(tables, frame->worker, route->backend_id), to_backend,
                   packet, route);
}

PS_MUST_USE PS_INLINE struct ps_verdict ps_refuse(const struct ps_tables *tables,
                                                  const struct ps_frame *frame, __u16 service_id,
                                                  enum ps_reason reason) {
  struct ps_reason_counts *counts = ps_reasons_at(tables, frame->worker, service_id);
  if (counts) counts->count[reason & (PS_REASON_SLOTS - 1)]++;
  const struct ps_verdict verdict = {ps_action_of(reason), reason, 0};
  return verdict;
}

// The rest of the walk for one family and one direction: both are constants where it is inlined.
PS_MUST_USE PS_INLINE struct ps_verdict ps_forward(const struct ps_tables *tables,
                                                   const struct ps_frame *frame, int family,
                                                   int to_backend, const struct ps_packet *packet,
                                                   struct ps_route *route) {
  const enum ps_reason reason = to_backend ? ps_track_client(tables, frame, family, packet, route)
                                           : ps_track_answer(tables, frame, family, packet, route);
  if (reason) return ps_refuse(tables, frame, route->service_id, reason);
  ps_count(tables, frame, to_backend, packet, route);
  const __u32 out = to_backend && route->mode == PS_DSR
                        ? ps_hand_over(family, packet, route)
                        : ps_translate(family, to_backend, packet, route);
  const struct ps_verdict verdict = {PS_TRANSMIT, PS_REASON_NONE, out};
  return verdict;
}

// A packet that could not be read is dropped when it is for a service; it is the kernel's
// otherwise.
PS_INLINE enum ps_reason ps_whose(const struct ps_tables *tables, int family,
                                  const struct ps_packet *packet, const struct ps_route *route,
                                  enum ps_reason reason) {
  if (ps_action_of(reason) != PS_DROP || !packet->destination) return reason;
  struct ps_address destination = {};
  ps_set_address(family, &destination, packet->destination);
  return ps_is_vip(tables, route->generation, family, &destination) ? reason : PS_REASON_not_ours;
}

PS_MUST_USE PS_INLINE struct ps_verdict ps_walk_family(const struct ps_tables *tables,
                                                       const struct ps_frame *frame, int family) {
  struct ps_packet packet = {};
  struct ps_route route = {};
  enum ps_reason reason = ps_arrive(tables, frame, &route);
  if (reason) return ps_refuse(tables, frame, 0, reason);
  reason = ps_parse(frame, family, &packet);
  if (reason) {
    return ps_refuse(tables, frame, 0, ps_whose(tables, family, &packet, &route, reason));
  }
  return ps_is_to_snat_port(family, &packet, &route)
             ? ps_forward(tables, frame, family, 0, &packet, &route)
             : ps_forward(tables, frame, family, 1, &packet, &route);
}

// One frame, from bytes to verdict. On PS_TRANSMIT its bytes are those to send.
PS_MUST_USE PS_INLINE struct ps_verdict ps_walk(const struct ps_tables *tables,
                                                const struct ps_frame *frame) {
  switch (ps_frame_family(frame)) {
    case PS_IPV4: return ps_walk_family(tables, frame, PS_IPV4);
    case PS_IPV6: return ps_walk_family(tables, frame, PS_IPV6);
  }
  const struct ps_verdict not_ip = {PS_PASS, PS_REASON_not_ours, 0};
  return not_ip;
}
