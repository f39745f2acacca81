// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The walk of frames that are alike (likeness.h) and go by their client's address: no flow, no list
// and no limit is asked for, and clients choose their backends side by side (choices.h).
#pragma once

#include "dataplane/core/choices.h"
#include "dataplane/core/likeness.h"
#include "dataplane/core/outcome.h"

// Has the client choose at that place.
PS_INLINE void ps_ask_alike(const struct ps_frame *frame, int family,
                            const struct ps_service *service, struct ps_choices *choices,
                            __u32 place) {
  struct ps_packet packet = {};
  ps_point_into(frame, family, &packet);
  ps_ask_choice(choices, place, family, service, packet.source, packet.source_port);
  // Where a tunnel's outer header ends that is to be written: in the line before the frame.
  if (service->mode == PS_TUNNEL) __builtin_prefetch(frame->data - 1, 1);
}

// Frames that are alike, and what the walk of each reads, found once for all.
struct ps_alike {
  const struct ps_tables *tables;
  const struct ps_route *route;
  const struct ps_lookup_table *table;
  const struct ps_backend *backends;  // of the generation, by their ids
  struct ps_traffic *traffic;         // of the worker, likewise
  __u32 backend_count;
};

// As ps_track_client. The packet's hash is for the header of a tunnel only.
PS_MUST_USE PS_INLINE enum ps_reason ps_track_alike(const struct ps_alike *alike,
                                                    const struct ps_frame *frame, int family,
                                                    int mode, const struct ps_packet *packet,
                                                    __u64 client_hash, struct ps_route *route) {
  if (!ps_has_hops(family, packet)) return PS_REASON_ttl_expired;
  route->backend_id = ps_held_by(alike->table, client_hash);
  if (!route->backend_id) return PS_REASON_no_backend;
  route->mode = (__u8)mode;
  if (mode == PS_TUNNEL) ps_hash_packet(family, packet, route);
  if (mode == PS_DNAT) {
    const enum ps_reason reason =
        ps_note_dnat_client(alike->tables, frame, family, packet, route->backend_id, route);
    if (reason) return reason;
  }
  route->backend =
      route->backend_id < alike->backend_count ? alike->backends + route->backend_id : 0;
  return ps_reaches_backend(family, route);
}

// `seen`: of the service.
PS_INLINE void ps_count_alike(const struct ps_alike *alike, const struct ps_packet *packet,
                              const struct ps_route *route, struct ps_traffic *seen) {
  struct ps_traffic *traffic = alike->traffic + route->backend_id;
  traffic->packets_to_backend++;
  traffic->bytes_to_backend += packet->ip_bytes;
  seen->packets_to_backend++;
  seen->bytes_to_backend += packet->ip_bytes;
  if (PS_LIKELY(!ps_begins_connection(packet))) return;
  traffic->new_flows++;
  seen->new_flows++;
}

PS_MUST_USE PS_INLINE struct ps_outcome ps_walk_one_alike(const struct ps_alike *alike,
                                                          const struct ps_frame *frame, int family,
                                                          int mode, __u64 client_hash,
                                                          struct ps_traffic *seen) {
  struct ps_packet packet = {};
  struct ps_route route = *alike->route;
  struct ps_exit out = {};
  if (!PS_LIKELY(ps_parse_simple(frame, family, &packet))) {
    return ps_walk_whole(alike->tables, frame);
  }
  enum ps_reason reason = ps_track_alike(alike, frame, family, mode, &packet, client_hash, &route);
  if (!reason) reason = ps_send(frame, family, 1, &packet, &route, &out);
  if (!reason) ps_count_alike(alike, &packet, &route, seen);
  return ps_conclude(alike->tables, frame, family, &route, &out, mode == PS_TUNNEL, reason);
}

PS_INLINE void ps_add_traffic(struct ps_traffic *traffic, const struct ps_traffic *seen) {
  if (!traffic) return;
  traffic->packets_to_backend += seen->packets_to_backend;
  traffic->bytes_to_backend += seen->bytes_to_backend;
  traffic->new_flows += seen->new_flows;
}

// The walk of frames that are alike, whose clients' hashes those are.
PS_INLINE void ps_walk_alike(const struct ps_tables *tables, const struct ps_frame *frame,
                             __u32 count, int family, int mode, const struct ps_like *like,
                             const __u64 *client_hash, struct ps_outcome *outcome) {
  const struct ps_route route = like->route;
  const __u32 worker = frame->worker;
  const struct ps_alike alike = {tables,
                                 &route,
                                 ps_lookup_table_at(tables, route.service->lookup_table),
                                 ps_backend_at(tables, route.generation, 0),
                                 ps_backend_traffic_at(tables, worker, 0),
                                 ps_backend_count(tables)};
  struct ps_traffic seen = {};
  for (__u32 i = 0; i < count; i++) {
    outcome[i] = ps_walk_one_alike(&alike, frame + i, family, mode, client_hash[i], &seen);
  }
  ps_add_traffic(ps_service_traffic_at(tables, worker, route.service_id), &seen);
}
