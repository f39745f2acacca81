// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The walk of frames that are alike (likeness.h) and go by their client's address: no flow, no list
// and no limit is asked for, and clients choose their backends side by side (choices.h).
#pragma once

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

// What the walk of frames that are alike reads for each, found once for all.
struct ps_alike {
  const struct ps_tables *tables;
  const struct ps_route *route;
  const struct ps_lookup_table *table;
  const struct ps_backend *backends;  // of the generation, by their ids
  struct ps_traffic *traffic;         // of the worker, likewise
  __u32 backend_count;
};

// 0: something is missing in the tables.
PS_INLINE int ps_find_alike(const struct ps_tables *tables, const struct ps_route *route,
                            __u32 worker, struct ps_alike *alike) {
  alike->tables = tables;
  alike->route = route;
  alike->table = ps_lookup_table_at(tables, route->service->lookup_table);
  alike->backends = ps_backend_at(tables, route->generation, 0);
  alike->traffic = ps_backend_traffic_at(tables, worker, 0);
  alike->backend_count = ps_backend_count(tables);
  return alike->table && alike->backends && alike->traffic;
}

// As ps_track_client; `slot`: of the lookup table, the client's. The packet's hash is for the
// header of a tunnel only.
PS_MUST_USE PS_INLINE enum ps_reason ps_track_alike(const struct ps_alike *alike,
                                                    const struct ps_frame *frame, int family,
                                                    int mode, const struct ps_packet *packet,
                                                    __u64 slot, struct ps_route *route) {
  if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
  route->backend_id = alike->table->slots[slot];
  route->mode = (__u8)mode;
  if (mode == PS_TUNNEL) ps_hash_packet(family, packet, route);
  if (mode == PS_DNAT && route->backend_id) {
    const enum ps_reason reason =
        ps_note_dnat_client(alike->tables, frame, family, packet, route->backend_id, route);
    if (reason) return reason;
  }
  // Nobody's id is that of an entry without a family.
  route->backend =
      route->backend_id < alike->backend_count ? alike->backends + route->backend_id : 0;
  const enum ps_reason reason = ps_reaches_backend(family, route);
  return reason && !route->backend_id ? PS_REASON_no_backend : reason;
}

// `seen`: of the service, where packets that do not go on are taken off instead.
PS_INLINE void ps_count_alike(const struct ps_alike *alike, const struct ps_packet *packet,
                              const struct ps_route *route, struct ps_traffic *seen) {
  struct ps_traffic *traffic = alike->traffic + route->backend_id;
  traffic->packets_to_backend++;
  traffic->bytes_to_backend += packet->ip_bytes;
  seen->bytes_to_backend += packet->ip_bytes;
  if (PS_LIKELY(!ps_begins_connection(packet))) return;
  traffic->new_flows++;
  seen->new_flows++;
}

// Answers by which interface it leaves (outcome.h).
PS_MUST_USE PS_INLINE __u32 ps_walk_one_alike(const struct ps_alike *alike,
                                              const struct ps_frame *frame, int family, int mode,
                                              __u8 protocol, __u64 slot, struct ps_traffic *seen) {
  struct ps_packet packet = {};
  struct ps_route route = *alike->route;
  struct ps_exit out = {};
  if (!PS_LIKELY(ps_parse_simple(frame, family, protocol, &packet))) {
    seen->packets_to_backend--;
    return ps_walk_whole(alike->tables, frame);
  }
  enum ps_reason reason = ps_track_alike(alike, frame, family, mode, &packet, slot, &route);
  if (!reason) reason = ps_send(frame, family, 1, &packet, &route, &out);
  if (PS_LIKELY(!reason)) {
    ps_count_alike(alike, &packet, &route, seen);
  } else {
    seen->packets_to_backend--;
  }
  if (PS_LIKELY(ps_goes_on(&route, &out, mode == PS_TUNNEL, reason))) return out.interface_index;
  return ps_conclude(alike->tables, frame, family, alike->route, &out, reason);
}

PS_INLINE void ps_add_traffic(struct ps_traffic *traffic, const struct ps_traffic *seen) {
  if (!traffic) return;
  traffic->packets_to_backend += seen->packets_to_backend;
  traffic->bytes_to_backend += seen->bytes_to_backend;
  traffic->new_flows += seen->new_flows;
}
