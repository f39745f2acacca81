// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The packet walk as a driver sees it: its stages in order, then the verdict and the counters.
//
//   ps_take_tags -> ps_frame_family, ps_frame_kind -> ps_arrive -> ps_parse -> ps_track_client or
//   ps_track_answer -> ps_send -> ps_count -> verdict -> ps_take_up (what is put off) -> ps_leave
//
// Each stage answers PS_REASON_NONE to go on, or why the packet goes no further; up to ps_send its
// bytes are untouched.
#pragma once

#include "dataplane/core/become.h"
#include "dataplane/core/fragment.h"
#include "dataplane/core/icmp_relay.h"
#include "dataplane/core/track.h"
#include "dataplane/core/vlan.h"

enum ps_action { PS_PASS, PS_DROP, PS_TRANSMIT };

struct ps_verdict {
  enum ps_action action;
  enum ps_reason reason;
  __u32 interface_index;  // PS_TRANSMIT: where the frame leaves
  __u32 tags;             // and the VLAN tags that it gets there (ps_leave)
  __u32 arrived_tags;     // those that were taken out of it
  int is_put_off;         // until the frame has become what it is to (ps_take_up)
};

PS_INLINE enum ps_action ps_action_of(enum ps_reason reason) {
  switch (reason) {
    case PS_REASON_NONE: return PS_TRANSMIT;
#define PS_ACTION_pass PS_PASS
#define PS_ACTION_drop PS_DROP
#define PS_ACTION_answer PS_TRANSMIT
#define PS_REASON_ACTION(name, verdict, text) \
  case PS_REASON_##name: return PS_ACTION_##verdict;
      PS_REASONS(PS_REASON_ACTION)
#undef PS_REASON_ACTION
#undef PS_ACTION_pass
#undef PS_ACTION_drop
#undef PS_ACTION_answer
    default: return PS_DROP;
  }
}

PS_INLINE void ps_count_traffic(struct ps_traffic *traffic, int to_backend,
                                const struct ps_packet *packet, const struct ps_route *route) {
  if (!traffic) return;
  if (to_backend) {
    traffic->packets_to_backend++;
    traffic->bytes_to_backend += packet->ip_bytes;
    if (!PS_LIKELY(!route->is_new)) traffic->new_flows++;
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

// The packet as it leaves, and where.
PS_MUST_USE PS_INLINE enum ps_reason ps_send(const struct ps_frame *frame, int family,
                                             int to_backend, const struct ps_packet *packet,
                                             const struct ps_route *route, struct ps_exit *out) {
  if (!to_backend || route->mode == PS_NAT) {
    if (to_backend && !ps_has_snat(family, route)) return PS_REASON_no_snat_address;
    *out = ps_translate(family, PS_NAT, to_backend, packet, route);
    return PS_REASON_NONE;
  }
  if (route->mode == PS_DNAT) {
    *out = ps_translate(family, PS_DNAT, 1, packet, route);
    return PS_REASON_NONE;
  }
  *out = ps_exit_to(route->backend);
  if (route->mode == PS_TUNNEL) {
    if (route->service->clamps_mss) ps_clamp_behind(packet, route);
    return ps_encapsulate(frame, family, packet, route);
  }
  ps_hand_over(family, packet, route);
  return PS_REASON_NONE;
}

// The rest of the walk for one direction, which is a constant where it is inlined, as the family.
PS_MUST_USE PS_INLINE enum ps_reason ps_forward(const struct ps_tables *tables,
                                                const struct ps_frame *frame, int family,
                                                int to_backend, const struct ps_packet *packet,
                                                struct ps_route *route, struct ps_exit *out) {
  enum ps_reason reason = to_backend ? ps_track_client(tables, frame, family, packet, route)
                                     : ps_track_answer(tables, frame, family, packet, route);
  if (reason) return reason;
  reason = ps_send(frame, family, to_backend, packet, route, out);
  if (reason) return reason;
  ps_count(tables, frame, to_backend, packet, route);
  return PS_REASON_NONE;
}

// The same for what a backend in mode dnat sends to its client, by us as its gateway.
PS_MUST_USE PS_INLINE enum ps_reason ps_forward_dnat_answer(
    const struct ps_tables *tables, const struct ps_frame *frame, int family,
    const struct ps_packet *packet, struct ps_route *route, struct ps_exit *out) {
  const enum ps_reason reason = ps_track_dnat_answer(tables, frame, family, packet, route);
  if (reason) return reason;
  *out = ps_translate(family, PS_DNAT, 0, packet, route);
  ps_count(tables, frame, 0, packet, route);
  return PS_REASON_NONE;
}

// The same for an ICMP error about a packet that we have sent on.
PS_MUST_USE PS_INLINE enum ps_reason ps_relay_error(const struct ps_tables *tables,
                                                    const struct ps_frame *frame, int family,
                                                    const struct ps_packet *packet,
                                                    struct ps_route *route, struct ps_exit *out) {
  struct ps_quoted quoted = {};
  enum ps_reason reason = ps_parse_quoted(frame, family, packet, &quoted);
  if (reason) return reason;
  int to_backend = !ps_is_snat_port(family, quoted.source, quoted.ports->source_port, route);
  reason = to_backend ? ps_relay_to_backend(tables, frame, family, &quoted, route)
                      : ps_relay_to_client(tables, frame, family, &quoted, route);
  if (reason == PS_REASON_not_ours && route->settings->has_dnat) {
    to_backend = 0;
    reason = ps_relay_to_dnat_client(tables, frame, family, &quoted, route);
  }
  if (reason) return reason;
  if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
  if (route->mode == PS_DNAT) {
    *out = ps_send_error(family, PS_DNAT, to_backend, packet, &quoted, route);
  } else if (route->mode != PS_NAT) {
    reason = ps_send(frame, family, 1, packet, route, out);
  } else if (to_backend && !ps_has_snat(family, route)) {
    reason = PS_REASON_no_snat_address;
  } else {
    *out = ps_send_error(family, PS_NAT, to_backend, packet, &quoted, route);
  }
  if (reason) return reason;
  ps_count(tables, frame, to_backend, packet, route);
  return PS_REASON_NONE;
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

// Counts why the packet is not forwarded; it may become an answer to its sender.
PS_MUST_USE PS_INLINE struct ps_verdict ps_refuse(const struct ps_tables *tables,
                                                  const struct ps_frame *frame, enum ps_kind kind,
                                                  const struct ps_route *route,
                                                  enum ps_reason reason) {
  struct ps_reason_counts *counts = ps_reasons_at(tables, frame->worker, route->service_id);
  if (counts) counts->count[reason & (PS_REASON_SLOTS - 1)]++;
  struct ps_verdict verdict = {.action = ps_action_of(reason),
                               .reason = reason,
                               .interface_index = frame->interface_index,
                               .tags = route->tags,
                               .arrived_tags = route->tags};
  if (!route->arrival) return verdict;
  route->arrival->become = PS_AS_IT_IS;
  if (verdict.action != PS_TRANSMIT) return verdict;
  if (kind == PS_ICMP) {  // no error is about another one
    verdict.action = PS_DROP;
    return verdict;
  }
  route->arrival->become = reason == PS_REASON_syn_cookie ? PS_SYN_ACK : PS_ERROR;
  verdict.is_put_off = 1;
  return verdict;
}

// A client's packet, or what a backend in mode dnat sends to one.
PS_MUST_USE PS_INLINE enum ps_reason ps_forward_other(const struct ps_tables *tables,
                                                      const struct ps_frame *frame, int family,
                                                      const struct ps_packet *packet,
                                                      struct ps_route *route, struct ps_exit *out) {
  const enum ps_reason reason = ps_forward(tables, frame, family, 1, packet, route, out);
  if (reason != PS_REASON_not_ours || !route->settings->has_dnat) return reason;
  return ps_forward_dnat_answer(tables, frame, family, packet, route, out);
}

// What becomes of a packet that goes on, or for that reason does not.
PS_MUST_USE PS_INLINE struct ps_verdict ps_decide(const struct ps_tables *tables,
                                                  const struct ps_frame *frame, enum ps_kind kind,
                                                  const struct ps_route *route,
                                                  const struct ps_exit *out,
                                                  enum ps_reason reason) {
  if (!PS_LIKELY(!reason)) return ps_refuse(tables, frame, kind, route, reason);
  const struct ps_verdict verdict = {.action = PS_TRANSMIT,
                                     .interface_index = out->interface_index,
                                     .tags = out->tags,
                                     .arrived_tags = route->tags,
                                     .is_put_off = *(volatile __u8 *)&route->arrival->become};
  return verdict;
}

PS_MUST_USE PS_INLINE struct ps_verdict ps_walk_family(const struct ps_tables *tables,
                                                       const struct ps_frame *frame, int family,
                                                       enum ps_kind kind) {
  struct ps_packet packet = {};
  struct ps_route route = {};
  struct ps_exit out = {};
  enum ps_reason reason = ps_arrive(tables, frame, &route);
  if (!reason) {
    reason = ps_parse(frame, family, kind, &packet);
    if (!reason && packet.is_fragment) {
      reason = ps_meet_fragment(tables, route.settings, family, kind, &packet, frame->now_ticks);
    }
    if (reason) {
      reason = ps_whose(tables, family, &packet, &route, reason);
    } else if (kind == PS_ICMP) {
      reason = ps_relay_error(tables, frame, family, &packet, &route, &out);
    } else if (ps_is_snat_port(family, packet.destination, packet.destination_port, &route)) {
      ps_hash_packet(family, &packet, &route);
      reason = ps_forward(tables, frame, family, 0, &packet, &route, &out);
    } else {
      ps_hash_packet(family, &packet, &route);
      ps_know_service(tables, family, &packet, &route);
      reason = ps_forward_other(tables, frame, family, &packet, &route, &out);
    }
  }
  return ps_decide(tables, frame, kind, &route, &out, reason);
}

// Between the walk and ps_take_up, which may be another program's.
PS_INLINE void ps_put_off(const struct ps_tables *tables, const struct ps_frame *frame,
                          const struct ps_verdict *verdict) {
  struct ps_arrival *arrival = ps_arrival_at(tables, frame->worker);
  if (!arrival) return;
  arrival->egress_index = verdict->interface_index;
  arrival->egress_tags = verdict->tags;
  arrival->reason = (__u16)verdict->reason;
}

// The verdict that was put off, when the frame has become what it was to.
PS_MUST_USE PS_INLINE struct ps_verdict ps_take_up(const struct ps_tables *tables,
                                                   const struct ps_frame *frame, int family) {
  struct ps_verdict verdict = {.action = PS_DROP, .reason = PS_REASON_tables_unreadable};
  __u32 generation = 0;
  const struct ps_settings *settings = ps_settings_now(tables, &generation);
  struct ps_arrival *arrival = ps_arrival_at(tables, frame->worker);
  if (!settings || !arrival) return verdict;
  struct ps_frame moved = *frame;
  ps_frame_moved(&moved);
  const int is_done = ps_become(&moved, settings, family, arrival);
  arrival->become = PS_AS_IT_IS;
  verdict.action = is_done ? PS_TRANSMIT : PS_DROP;
  verdict.reason = (enum ps_reason)arrival->reason;
  verdict.interface_index = arrival->egress_index;
  verdict.tags = arrival->egress_tags;
  verdict.arrived_tags = arrival->tags;
  if (is_done || verdict.reason) return verdict;
  verdict.reason = PS_REASON_no_room;
  struct ps_reason_counts *counts = ps_reasons_at(tables, frame->worker, 0);
  if (counts) counts->count[PS_REASON_no_room]++;
  return verdict;
}

PS_MUST_USE PS_INLINE struct ps_verdict ps_not_put_off(const struct ps_tables *tables,
                                                       const struct ps_frame *frame, int family,
                                                       const struct ps_verdict *verdict) {
  if (PS_LIKELY(!verdict->is_put_off)) return *verdict;
  ps_put_off(tables, frame, verdict);
  return ps_take_up(tables, frame, family);
}

PS_MUST_USE PS_INLINE struct ps_verdict ps_walk_kind(const struct ps_tables *tables,
                                                     const struct ps_frame *frame, int family) {
  switch (ps_frame_kind(frame, family)) {
    case PS_ICMP: return ps_walk_family(tables, frame, family, PS_ICMP);
    case PS_FIRST_FRAGMENT: return ps_walk_family(tables, frame, family, PS_FIRST_FRAGMENT);
    case PS_LATER_FRAGMENT: return ps_walk_family(tables, frame, family, PS_LATER_FRAGMENT);
    case PS_EXTENDED: return ps_walk_family(tables, frame, family, PS_EXTENDED);
    case PS_EXTENDED_UDP: return ps_walk_family(tables, frame, family, PS_EXTENDED_UDP);
    default: return ps_walk_family(tables, frame, family, PS_WHOLE);
  }
}

PS_MUST_USE PS_INLINE struct ps_verdict ps_walk_any(const struct ps_tables *tables,
                                                    const struct ps_frame *frame, int family) {
  const struct ps_verdict verdict = ps_walk_kind(tables, frame, family);
  return ps_not_put_off(tables, frame, family, &verdict);
}

// The verdict of a frame without tags that has none to get needs no more than that.
PS_INLINE int ps_is_untagged(const struct ps_verdict *verdict) {
  return !(verdict->tags | verdict->arrived_tags);
}

// What ends the walk of a frame that has, or is to get, VLAN tags.
PS_MUST_USE PS_INLINE enum ps_action ps_leave(const struct ps_tables *tables,
                                              const struct ps_frame *frame, enum ps_action action,
                                              __u32 tags) {
  const __u32 wanted = action == PS_TRANSMIT ? tags : 0;
  if (ps_put_tags(tables, frame, action == PS_PASS, wanted)) return action;
  struct ps_reason_counts *counts = ps_reasons_at(tables, frame->worker, 0);
  if (counts) counts->count[PS_REASON_no_room]++;
  return PS_DROP;
}

PS_MUST_USE PS_INLINE struct ps_verdict ps_with_tags(const struct ps_tables *tables,
                                                     const struct ps_frame *frame,
                                                     const struct ps_verdict *walked) {
  struct ps_verdict verdict = *walked;
  if (!PS_LIKELY(ps_is_untagged(&verdict))) {
    const enum ps_action action = ps_leave(tables, frame, verdict.action, verdict.tags);
    if (action != verdict.action) verdict.reason = PS_REASON_no_room;
    verdict.action = action;
  }
  return verdict;
}

PS_MUST_USE PS_INLINE struct ps_verdict ps_walk_untagged(const struct ps_tables *tables,
                                                         const struct ps_frame *frame) {
  switch (ps_frame_family(frame)) {
    case PS_IPV4: return ps_walk_any(tables, frame, PS_IPV4);
    case PS_IPV6: return ps_walk_any(tables, frame, PS_IPV6);
  }
  const struct ps_verdict not_ip = {.action = PS_PASS, .reason = PS_REASON_not_ours};
  return not_ip;
}

// One frame, from bytes to verdict. On PS_TRANSMIT its bytes are those to send.
PS_MUST_USE PS_INLINE struct ps_verdict ps_walk(const struct ps_tables *tables,
                                                const struct ps_frame *frame) {
  struct ps_frame bare = *frame;
  if (ps_frame_is_tagged(frame) && !ps_take_tags(tables, &bare)) {
    const struct ps_verdict not_ours = {.action = PS_PASS, .reason = PS_REASON_not_ours};
    return not_ours;
  }
  const struct ps_verdict verdict = ps_walk_untagged(tables, &bare);
  return ps_with_tags(tables, &bare, &verdict);
}
