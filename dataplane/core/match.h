// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Whether a frame is for us, and whose it is: a client's or a backend's.
#pragma once

#include "dataplane/core/access.h"
#include "dataplane/core/packet.h"
#include "dataplane/core/select.h"

// What the walk learns of a packet on its way to the rewrite.
struct ps_route {
  const struct ps_settings *settings;
  struct ps_arrival *arrival;
  const struct ps_service *service;
  const struct ps_backend *backend;
  struct ps_flow *flow;  // to the client, in mode nat
  __u64 onward;          // to the backend: ps_index_entry.onward; its backend in any mode
  __u64 hash;            // of the packet's tuple
  __u64 client_hop;      // as ps_flow.client_hop; to the client
  __u32 generation;
  __u32 snat;        // to the client: place in settings->snat
  __u32 interface;   // place in settings->interfaces where the packet came in
  __u32 tags;        // that were taken out of its frame
  __u16 service_id;  // 0: not known
  __u16 backend_id;
  __u8 is_new;
  __u8 mode;  // enum ps_mode: how this packet goes, which for a flow's is PS_NAT
};

// Whether it is known by now that packets go by their client's address.
PS_INLINE int ps_is_by_address(const struct ps_route *route) {
  return route->service && route->service->by_address;
}

PS_INLINE __u64 ps_client_hop(const struct ps_packet *packet, __u32 interface) {
  return ps_load_mac(packet->ethernet->source) | ((__u64)interface << 48);
}

// Where frames come in by that interface with the tags that were taken out; nothing: not by one of
// ours.
PS_INLINE const struct ps_interface *ps_find_interface(__u32 interface_index,
                                                       struct ps_route *route) {
  for (__u32 i = 0; i < PS_MAX_INTERFACES; i++) {
    const struct ps_interface *interface = &route->settings->interfaces[i];
    if (interface->index == 0) return 0;
    if (interface->index != interface_index || interface->tags != route->tags) continue;
    route->interface = i;
    return interface;
  }
  return 0;
}

// Of the generation that packets go by.
PS_INLINE const struct ps_settings *ps_settings_now(const struct ps_tables *tables,
                                                    __u32 *generation) {
  const struct ps_control *control = ps_control_at(tables);
  if (!control) return 0;
  *generation = *(const volatile __u32 *)&control->generation & 1;
  return ps_settings_at(tables, *generation);
}

// Which generation of the tables packets go by, and what is known of the frame that the worker has
// in hand.
PS_MUST_USE PS_INLINE enum ps_reason ps_begin(const struct ps_tables *tables, __u32 worker,
                                              struct ps_route *route) {
  route->arrival = ps_arrival_at(tables, worker);
  route->settings = ps_settings_now(tables, &route->generation);
  if (!route->settings || !route->arrival) return PS_REASON_tables_unreadable;
  route->tags = route->arrival->tags;
  return PS_REASON_NONE;
}

// And where the frame came in. One sent to another station (flooded by a switch, or met by a
// promiscuous interface) or to a group of stations is not ours to forward.
PS_MUST_USE PS_INLINE enum ps_reason ps_arrive(const struct ps_tables *tables,
                                               const struct ps_frame *frame,
                                               struct ps_route *route) {
  const enum ps_reason reason = ps_begin(tables, frame->worker, route);
  if (reason) return reason;
  struct ps_cursor cursor = {frame->data, frame->end};
  const struct ps_ethernet *ethernet = (struct ps_ethernet *)ps_take(&cursor, sizeof *ethernet);
  if (!ethernet) return PS_REASON_not_ours;
  const struct ps_interface *in = ps_find_interface(frame->interface_index, route);
  return in && in->mac == ps_load_mac(ethernet->destination) ? PS_REASON_NONE : PS_REASON_not_ours;
}

PS_INLINE int ps_is_of_snat_ports(const struct ps_settings *settings, struct ps_be16 port) {
  return (__u16)(ps_host16(port) - settings->snat_port_first) < settings->snat_port_count;
}

// A source port of ours: what is for it is a backend's. Anything else may be a client's.
PS_INLINE int ps_is_snat_port(int family, const struct ps_address *address, struct ps_be16 port,
                              struct ps_route *route) {
  const struct ps_settings *settings = route->settings;
  if (!ps_is_of_snat_ports(settings, port)) return 0;
  const int v6 = family == PS_IPV6;
  for (__u32 i = 0; i < PS_MAX_SNAT_ADDRESSES && i < settings->snat_count[v6]; i++) {
    if (ps_same_address(family, &settings->snat[v6][i], address)) {
      route->snat = i;
      return 1;
    }
  }
  return 0;
}

PS_INLINE int ps_has_hops(int family, const struct ps_packet *packet) {
  return (family == PS_IPV4 ? packet->ipv4->ttl : packet->ipv6->hop_limit) > 1;
}
