// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// For drivers that have a burst of frames in hand: their walk in parts, each for all of them.
//
//   ps_begin_burst -> ps_look_ahead -> ps_walk_burst
//
// The first part finds which frames are alike (likeness.h), reads what decides where their flows
// stand, which the processor then fetches, and has clients choose their backends. The second goes
// on from there, frame by frame in their order. Whole packets without tags only: the walk of others
// begins in the second part.
//
// From begin to end no reader's pass ends, so the tables' generation that the burst met stays.
#pragma once

#include "dataplane/core/by_address.h"
#include "dataplane/core/outcome.h"
#include "dataplane/core/steady.h"

// What was read of a frame ahead.
struct ps_ahead {
  const struct ps_like *like;  // nothing: nothing was read
  __u32 alike;                 // how many frames from here on are like that
  int family;
};

// Large: its owner keeps one, with nothing known in it (all zero) at first.
struct ps_burst {
  const struct ps_tables *tables;
  const struct ps_interface *in;  // where frames come in; nothing: nothing is read ahead
  __u32 interface_index;
  __u32 generation;       // its number, for which this and the following is known
  struct ps_route begun;  // what every frame's begins with
  struct ps_basis basis;
  struct ps_likes likes;
  struct ps_choices choices[2];         // [0: IPv4, 1: IPv6]
  struct ps_frame frame[PS_MAX_BURST];  // their handles, data and ends are the driver's to fill
  struct ps_ahead ahead[PS_MAX_BURST];
  struct ps_sought sought[PS_MAX_BURST];  // of frames that may have flows
  __u32 leaves_by[PS_MAX_BURST];          // how each one's walk ended (outcome.h)
};

// What the burst's frames have in common.
struct ps_origin {
  __u32 interface_index;  // where they come in
  __u32 worker;
  __u32 now_ticks;
};

PS_INLINE void ps_begin_frames(const struct ps_origin *origin, struct ps_burst *burst) {
  const struct ps_frame *known = &burst->frame[0];
  if (known->interface_index == origin->interface_index && known->worker == origin->worker &&
      known->now_ticks == origin->now_ticks) {
    return;
  }
  for (__u32 i = 0; i < PS_MAX_BURST; i++) {
    burst->frame[i].interface_index = origin->interface_index;
    burst->frame[i].worker = origin->worker;
    burst->frame[i].now_ticks = origin->now_ticks;
  }
}

// What is known of the frames of the burst before stays so while the tables do.
PS_INLINE void ps_begin_burst(const struct ps_tables *tables, const struct ps_origin *origin,
                              struct ps_burst *burst) {
  ps_begin_frames(origin, burst);
  const struct ps_control *control = ps_control_at(tables);
  const __u32 generation = control ? *(const volatile __u32 *)&control->generation : 0;
  burst->likes.in_use = 0;
  if (burst->in && burst->tables == tables && burst->interface_index == origin->interface_index &&
      burst->generation == generation) {
    return;
  }
  const struct ps_route nothing = {};
  burst->tables = tables;
  burst->interface_index = origin->interface_index;
  burst->generation = generation;
  burst->begun = nothing;
  burst->likes.known = 0;
  const int is_readable =
      !ps_begin(tables, origin->worker, &burst->begun) &&
      ps_find_basis(tables, burst->begun.generation, origin->worker, &burst->basis);
  burst->in = is_readable && !burst->begun.tags
                  ? ps_find_interface(origin->interface_index, &burst->begun)
                  : 0;
}

// Has the processor fetch where the packet's flow is looked for.
PS_INLINE void ps_read_flow(struct ps_burst *burst, __u32 place, int family, enum ps_way way,
                            const struct ps_route *begun) {
  struct ps_packet packet = {};
  struct ps_route route = *begun;
  ps_point_into(&burst->frame[place], family, &packet);
  ps_hash_packet(family, &packet, &route);
  struct ps_sought *sought = &burst->sought[place];
  sought->hash = route.hash;
  if (way == PS_WAY_BACK) {
    ps_seek_flow(burst->tables, family, sought);
  } else if (route.service && route.service->has_flows) {
    ps_seek_entry(burst->tables, family, &packet, route.service_id, sought);
  }
}

// Where tunnels' outer headers end that are to be written: in the line before the frame.
PS_INLINE void ps_fetch_outer(const struct ps_burst *burst, __u32 first, __u32 end) {
  for (__u32 i = first; i < end; i++) __builtin_prefetch(burst->frame[i].data - 1, 1);
}

// A frame that is like that, and those behind it that are too; answers how many.
PS_INLINE __u32 ps_read_alike(struct ps_burst *burst, __u32 place, __u32 count, int family,
                              enum ps_way way, int with_port, const struct ps_like *like) {
  // Copies, so that the compiler knows of no store that changes them.
  const struct ps_like known = *like;
  struct ps_service service = {};
  if (way == PS_BY_ADDRESS) service = *known.route.service;
  struct ps_choices *choices = &burst->choices[family == PS_IPV6];
  const struct ps_frame *frame = &burst->frame[place];
  const __u32 first = place;
  do {
    if (way == PS_BY_ADDRESS) {
      ps_ask_alike(frame, family, &service, with_port, choices, place);
    } else {
      ps_read_flow(burst, place, family, way, &known.route);
    }
    place++;
    frame++;
  } while (place < count && ps_is_like(&known, frame, family, way));
  if (way != PS_BY_ADDRESS) return place - first;
  ps_note_choices(choices, first, place);
  if (service.mode == PS_TUNNEL) ps_fetch_outer(burst, first, place);
  return place - first;
}

// Each a function of its own, as some below, so that the compiler has the registers for it.
#define PS_READ_ALIKE(name, family, way, with_port)                          \
  PS_CALL __u32 name(struct ps_burst *burst, __u32 place, __u32 count,       \
                     const struct ps_like *like) {                           \
    return ps_read_alike(burst, place, count, family, way, with_port, like); \
  }
PS_READ_ALIKE(ps_read_alike4_by_address, PS_IPV4, PS_BY_ADDRESS, 0)
PS_READ_ALIKE(ps_read_alike6_by_address, PS_IPV6, PS_BY_ADDRESS, 0)
PS_READ_ALIKE(ps_read_alike4_by_port, PS_IPV4, PS_BY_ADDRESS, 1)
PS_READ_ALIKE(ps_read_alike6_by_port, PS_IPV6, PS_BY_ADDRESS, 1)
PS_READ_ALIKE(ps_read_alike4_by_flow, PS_IPV4, PS_BY_FLOW, 0)
PS_READ_ALIKE(ps_read_alike6_by_flow, PS_IPV6, PS_BY_FLOW, 0)
PS_READ_ALIKE(ps_read_alike4_back, PS_IPV4, PS_WAY_BACK, 0)
PS_READ_ALIKE(ps_read_alike6_back, PS_IPV6, PS_WAY_BACK, 0)

PS_INLINE __u32 ps_read_way(struct ps_burst *burst, __u32 place, __u32 count, int family,
                            const struct ps_like *like) {
  const int v4 = family == PS_IPV4;
  switch (like->way) {
    case PS_BY_ADDRESS:
      if (like->route.service->hashes_port) {
        return v4 ? ps_read_alike4_by_port(burst, place, count, like)
                  : ps_read_alike6_by_port(burst, place, count, like);
      }
      return v4 ? ps_read_alike4_by_address(burst, place, count, like)
                : ps_read_alike6_by_address(burst, place, count, like);
    case PS_WAY_BACK:
      return v4 ? ps_read_alike4_back(burst, place, count, like)
                : ps_read_alike6_back(burst, place, count, like);
    default:
      return v4 ? ps_read_alike4_by_flow(burst, place, count, like)
                : ps_read_alike6_by_flow(burst, place, count, like);
  }
}

// A packet that is like none before it. Answers what others may be like; nothing: it is walked
// alone.
PS_INLINE const struct ps_like *ps_read_first(struct ps_burst *burst, const struct ps_frame *frame,
                                              int family) {
  struct ps_packet packet = {};
  struct ps_route route = burst->begun;
  if (ps_frame_kind(frame, family) != PS_WHOLE || ps_load_mac(frame->data) != burst->in->mac ||
      ps_parse(frame, family, PS_WHOLE, &packet) || !ps_is_simple(family, &packet)) {
    return 0;
  }
  enum ps_way way = PS_WAY_BACK;
  if (!ps_is_snat_port(family, packet.destination, packet.destination_port, &route)) {
    if (ps_find_vip(burst->tables, family, &packet, &route)) route.service_id = 0;
    way = ps_is_by_address(&route) ? PS_BY_ADDRESS : PS_BY_FLOW;
  }
  if (way == PS_BY_ADDRESS && !ps_lookup_table_at(burst->tables, route.service->lookup_table)) {
    return 0;
  }
  return ps_note_like(&burst->likes, frame, family, way, packet.protocol, &route);
}

// The frame in that place, and those behind it that are like it; answers how many.
PS_INLINE __u32 ps_read_some(struct ps_burst *burst, __u32 place, __u32 count, int family) {
  const struct ps_frame *frame = &burst->frame[place];
  struct ps_ahead *ahead = &burst->ahead[place];
  ahead->family = family;
  ahead->like = ps_like_of(&burst->likes, frame, family);
  if (!ahead->like) ahead->like = ps_read_first(burst, frame, family);
  ahead->alike = ahead->like ? ps_read_way(burst, place, count, family, ahead->like) : 1;
  return ahead->alike;
}

PS_INLINE void ps_look_ahead(struct ps_burst *burst, __u32 count) {
  for (__u32 place = 0; place < count;) {
    switch (burst->in ? ps_frame_family(&burst->frame[place]) : 0) {
      case PS_IPV4: place += ps_read_some(burst, place, count, PS_IPV4); break;
      case PS_IPV6: place += ps_read_some(burst, place, count, PS_IPV6); break;
      default: burst->ahead[place++].like = 0;
    }
  }
  const struct ps_settings *settings = burst->begun.settings;
  if (burst->choices[0].end) ps_make_choices(settings, PS_IPV4, &burst->choices[0]);
  if (burst->choices[1].end) ps_make_choices(settings, PS_IPV6, &burst->choices[1]);
}

// A frame that may have a flow.
PS_INLINE __u32 ps_walk_flow(const struct ps_burst *burst, __u32 place, int family, enum ps_way way,
                             const struct ps_like *like) {
  const struct ps_frame *frame = &burst->frame[place];
  struct ps_packet packet = {};
  struct ps_route route = like->route;
  struct ps_exit out = {};
  route.hash = burst->sought[place].hash;
  if (!PS_LIKELY(ps_parse_simple(frame, family, like->protocol, &packet))) {
    return ps_walk_whole(burst->tables, frame);
  }
  const enum ps_reason reason =
      way == PS_WAY_BACK ? ps_forward(burst->tables, frame, family, 0, &packet, &route, &out)
                         : ps_forward_other(burst->tables, frame, family, &packet, &route, &out);
  if (PS_LIKELY(ps_goes_on(&route, &out, 1, reason))) return out.interface_index;
  const struct ps_route route_in_memory = route;  // only here, not for every packet
  return ps_conclude(burst->tables, frame, family, &route_in_memory, &out, reason);
}

#define PS_WALK_FLOW(name, family, way)                                                       \
  PS_CALL __u32 name(const struct ps_burst *burst, __u32 place, const struct ps_like *like) { \
    return ps_walk_flow(burst, place, family, way, like);                                     \
  }
PS_WALK_FLOW(ps_walk_flow4_forth, PS_IPV4, PS_BY_FLOW)
PS_WALK_FLOW(ps_walk_flow6_forth, PS_IPV6, PS_BY_FLOW)
PS_WALK_FLOW(ps_walk_flow4_back, PS_IPV4, PS_WAY_BACK)
PS_WALK_FLOW(ps_walk_flow6_back, PS_IPV6, PS_WAY_BACK)

// Clients' frames that are alike and may have flows, most of them steady.
PS_INLINE void ps_walk_forth(struct ps_burst *burst, __u32 place, int family, __u8 protocol) {
  const struct ps_ahead *ahead = &burst->ahead[place];
  const struct ps_like *like = ahead->like;
  const struct ps_frame *first = &burst->frame[place];
  const __u32 end = place + ahead->alike;
  const struct ps_basis basis = burst->basis;
  const struct ps_settings *settings = like->route.settings;
  const int may_be_steady = like->route.service && like->route.service->has_flows;
  struct ps_traffic seen = {};
  if (may_be_steady) {
    ps_find_entries(burst->tables, settings, family, first->now_ticks, &burst->sought[place],
                    ahead->alike);
  }
  for (; place < end; place++) {
    __u32 leaves_by = 0;
    if (PS_LIKELY(may_be_steady)) {
      leaves_by = ps_walk_one_forth(&basis, settings, &burst->frame[place], family, protocol,
                                    &burst->sought[place], &seen);
    }
    if (!PS_LIKELY(leaves_by)) {
      leaves_by = family == PS_IPV4 ? ps_walk_flow4_forth(burst, place, like)
                                    : ps_walk_flow6_forth(burst, place, like);
    }
    burst->leaves_by[place] = leaves_by;
  }
  ps_add_traffic(&basis, like->route.service_id, &seen);
}

// Backends' frames that are alike, most of them of steady flows.
PS_INLINE void ps_walk_back(struct ps_burst *burst, __u32 place, int family, __u8 protocol) {
  const struct ps_like *like = burst->ahead[place].like;
  const struct ps_route begun = like->route;
  const struct ps_basis basis = burst->basis;
  for (const __u32 end = place + burst->ahead[place].alike; place < end; place++) {
    __u32 leaves_by = ps_walk_one_back(&basis, &begun, &burst->frame[place], family, protocol,
                                       burst->sought[place].flow);
    if (!PS_LIKELY(leaves_by)) {
      leaves_by = family == PS_IPV4 ? ps_walk_flow4_back(burst, place, like)
                                    : ps_walk_flow6_back(burst, place, like);
    }
    burst->leaves_by[place] = leaves_by;
  }
}

#define PS_WALK_FLOWS(name, walk, family)                  \
  PS_CALL void name(struct ps_burst *burst, __u32 place) { \
    if (burst->ahead[place].like->protocol == PS_TCP) {    \
      walk(burst, place, family, PS_TCP);                  \
    } else {                                               \
      walk(burst, place, family, PS_UDP);                  \
    }                                                      \
  }
PS_WALK_FLOWS(ps_walk_forth4, ps_walk_forth, PS_IPV4)
PS_WALK_FLOWS(ps_walk_forth6, ps_walk_forth, PS_IPV6)
PS_WALK_FLOWS(ps_walk_back4, ps_walk_back, PS_IPV4)
PS_WALK_FLOWS(ps_walk_back6, ps_walk_back, PS_IPV6)

// Those that go by their clients' addresses.
PS_INLINE void ps_walk_alike(struct ps_burst *burst, __u32 place, int family, int mode,
                             __u8 protocol) {
  const struct ps_ahead *ahead = &burst->ahead[place];
  const struct ps_route *route = &ahead->like->route;
  const __u32 end = place + ahead->alike;
  const __u64 *slot = burst->choices[family == PS_IPV6].slot;
  const struct ps_basis basis = burst->basis;
  const struct ps_lookup_table *table =
      ps_lookup_table_at(burst->tables, route->service->lookup_table);
  struct ps_traffic seen = {.packets_to_backend = ahead->alike};
  for (; place < end; place++) {
    burst->leaves_by[place] = ps_walk_one_alike(&basis, route, &burst->frame[place], family, mode,
                                                protocol, table->slots[slot[place]], &seen);
  }
  ps_add_traffic(&basis, route->service_id, &seen);
}

#define PS_WALK_ALIKE(name, family, mode)                  \
  PS_CALL void name(struct ps_burst *burst, __u32 place) { \
    if (burst->ahead[place].like->protocol == PS_TCP) {    \
      ps_walk_alike(burst, place, family, mode, PS_TCP);   \
    } else {                                               \
      ps_walk_alike(burst, place, family, mode, PS_UDP);   \
    }                                                      \
  }
PS_WALK_ALIKE(ps_walk_alike4_dsr, PS_IPV4, PS_DSR)
PS_WALK_ALIKE(ps_walk_alike6_dsr, PS_IPV6, PS_DSR)
PS_WALK_ALIKE(ps_walk_alike4_tunnel, PS_IPV4, PS_TUNNEL)
PS_WALK_ALIKE(ps_walk_alike6_tunnel, PS_IPV6, PS_TUNNEL)
PS_WALK_ALIKE(ps_walk_alike4_dnat, PS_IPV4, PS_DNAT)
PS_WALK_ALIKE(ps_walk_alike6_dnat, PS_IPV6, PS_DNAT)

PS_INLINE void ps_walk_mode(struct ps_burst *burst, __u32 place, int v4) {
  switch (burst->ahead[place].like->route.service->mode) {
    case PS_DSR: return v4 ? ps_walk_alike4_dsr(burst, place) : ps_walk_alike6_dsr(burst, place);
    case PS_TUNNEL:
      return v4 ? ps_walk_alike4_tunnel(burst, place) : ps_walk_alike6_tunnel(burst, place);
    default: return v4 ? ps_walk_alike4_dnat(burst, place) : ps_walk_alike6_dnat(burst, place);
  }
}

PS_INLINE void ps_walk_way(struct ps_burst *burst, __u32 place) {
  const int v4 = burst->ahead[place].family == PS_IPV4;
  switch (burst->ahead[place].like->way) {
    case PS_BY_ADDRESS: return ps_walk_mode(burst, place, v4);
    case PS_WAY_BACK: return v4 ? ps_walk_back4(burst, place) : ps_walk_back6(burst, place);
    default: return v4 ? ps_walk_forth4(burst, place) : ps_walk_forth6(burst, place);
  }
}

// As ps_walk of each, in order, from where ps_look_ahead has come.
PS_INLINE void ps_walk_burst(struct ps_burst *burst, __u32 count) {
  for (__u32 place = 0; place < count;) {
    if (burst->ahead[place].like) {
      ps_walk_way(burst, place);
      place += burst->ahead[place].alike;
    } else {
      burst->leaves_by[place] = ps_walk_whole(burst->tables, &burst->frame[place]);
      place++;
    }
  }
}
