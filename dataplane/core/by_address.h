// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The walk of frames that are alike (likeness.h) and go by their client's address: no flow, no list
// and no limit is asked for, and clients choose their backends side by side (choices.h).
#pragma once

#include "dataplane/core/basis.h"
#include "dataplane/core/choices.h"
#include "dataplane/core/outcome.h"

// Has the client of the frame at that place choose.
PS_INLINE void ps_ask_alike(const struct ps_frame *frame, int family,
                            const struct ps_service *service, int with_port,
                            struct ps_choices *choices, __u32 place) {
  struct ps_packet packet = {};
  ps_point_into(frame, family, &packet);
  ps_ask_choice(choices, place, family, service, with_port, &packet);
}

// As ps_track_client, for the client whose slot of the lookup table leads there. The packet's hash
// is for the header of a tunnel only.
PS_MUST_USE PS_INLINE enum ps_reason ps_track_alike(const struct ps_basis *basis,
                                                    const struct ps_frame *frame, int family,
                                                    int mode, const struct ps_packet *packet,
                                                    __u16 selected, struct ps_route *route) {
  if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
  route->backend_id = selected;
  route->mode = (__u8)mode;
  if (mode == PS_TUNNEL) ps_hash_packet(family, packet, route);
  if (mode == PS_DNAT && route->backend_id) {
    const enum ps_reason reason =
        ps_note_dnat_client(basis->tables, frame, family, packet, route->backend_id, route);
    if (reason) return reason;
  }
  route->backend = ps_backend_of(basis, route->backend_id);
  const enum ps_reason reason = ps_reaches_backend(family, route);
  return reason && !route->backend_id ? PS_REASON_no_backend : reason;
}

// `seen`: of the service, where packets that do not go on are taken off instead.
PS_INLINE void ps_count_alike(const struct ps_basis *basis, const struct ps_packet *packet,
                              const struct ps_route *route, struct ps_traffic *seen) {
  struct ps_traffic *traffic = basis->backend_traffic + route->backend_id;
  traffic->packets_to_backend++;
  traffic->bytes_to_backend += packet->ip_bytes;
  seen->bytes_to_backend += packet->ip_bytes;
  if (PS_LIKELY(!ps_begins_connection(packet))) return;
  traffic->new_flows++;
  seen->new_flows++;
}

// Answers by which interface it leaves (outcome.h). `begun`: of all of them.
PS_MUST_USE PS_INLINE __u32 ps_walk_one_alike(const struct ps_basis *basis,
                                              const struct ps_route *begun,
                                              const struct ps_frame *frame, int family, int mode,
                                              __u8 protocol, __u16 selected,
                                              struct ps_traffic *seen) {
  struct ps_packet packet = {};
  struct ps_route route = *begun;
  struct ps_exit out = {};
  if (!PS_LIKELY(ps_parse_simple(frame, family, protocol, &packet))) {
    seen->packets_to_backend--;
    return ps_walk_whole(basis->tables, frame);
  }
  enum ps_reason reason = ps_track_alike(basis, frame, family, mode, &packet, selected, &route);
  if (!reason) reason = ps_send(frame, family, 1, &packet, &route, &out);
  if (PS_LIKELY(!reason)) {
    ps_count_alike(basis, &packet, &route, seen);
  } else {
    seen->packets_to_backend--;
  }
  if (PS_LIKELY(ps_goes_on(&route, &out, mode == PS_TUNNEL, reason))) return out.interface_index;
  return ps_conclude(basis->tables, frame, family, begun, &out, reason);
}
