// SPDX-License-Identifier: Apache-2.0
// The tables as plain memory, and the core's accessors over it: for tests, for tools and for
// forwarders that live in user space. Include this and a frame's handle (tables/frame_buffer.h, or
// the driver's own), then core/walk.h.
#pragma once

#include "dataplane/core/access.h"

// Where each table begins. Owned by whoever mapped or allocated it (AnonymousTables in
// tables/layout.h).
struct ps_tables {
  struct ps_control* control;
  struct ps_settings* settings;            // [generation]
  struct ps_arrival* arrivals;             // [worker]
  __u64* service_index;                    // [generation][slot / 4], four 16-bit ids each
  struct ps_service* services;             // [generation][max_services]
  struct ps_access_node* access_nodes;     // [generation][max_access_nodes]
  __u64* backend_index;                    // [generation][slot / 4], as above
  struct ps_backend* backends;             // [generation][max_backends]
  struct ps_lookup_table* lookup_tables;   // [PS_LOOKUP_TABLES]
  struct ps_known_clients* known_clients;  // [affinity_tables][PS_LOOKUP_SLOTS]
  struct ps_affinity_set* affinities;
  struct ps_recent_set* recent;  // [PS_RECENT_TABLES][PS_RECENT_SETS]
  struct ps_index_set4* flow_index4;
  struct ps_index_set6* flow_index6;
  struct ps_flow_set4* flows4;
  struct ps_flow_set6* flows6;
  struct ps_traffic* service_traffic;  // [worker][max_services]
  struct ps_traffic* backend_traffic;  // [worker][max_backends]
  struct ps_reason_counts* reasons;    // [worker][max_services]
  // Copies of what control says: read for every packet.
  __u32 max_services;
  __u32 max_backends;
  __u32 max_access_nodes;
  __u32 affinity_tables;
  __u32 affinity_sets;
  __u32 index_sets;
  __u32 flow_sets;
  __u32 workers;
};

PS_INLINE struct ps_control* ps_control_at(const struct ps_tables* tables) {
  return tables->control;
}

PS_INLINE struct ps_settings* ps_settings_at(const struct ps_tables* tables, __u32 generation) {
  return generation < PS_GENERATIONS ? tables->settings + generation : nullptr;
}

PS_INLINE struct ps_arrival* ps_arrival_at(const struct ps_tables* tables, __u32 worker) {
  return worker < tables->workers ? tables->arrivals + worker : nullptr;
}

PS_INLINE __u32 ps_service_index_size(const struct ps_tables* tables) {
  return PS_SERVICE_INDEX_SLOTS(tables->max_services);
}

PS_INLINE __u16* ps_service_index_at(const struct ps_tables* tables, __u32 generation, __u32 slot) {
  if (slot >= ps_service_index_size(tables)) return nullptr;
  auto* ids = reinterpret_cast<__u16*>(tables->service_index);
  return ids + generation * ps_service_index_size(tables) + slot;
}

PS_INLINE struct ps_service* ps_service_at(const struct ps_tables* tables, __u32 generation,
                                           __u32 id) {
  if (id >= tables->max_services) return nullptr;
  return tables->services + generation * tables->max_services + id;
}

PS_INLINE __u32 ps_service_count(const struct ps_tables* tables) {
  return tables->max_services;
}

PS_INLINE struct ps_access_node* ps_access_node_at(const struct ps_tables* tables, __u32 place) {
  return place < PS_GENERATIONS * tables->max_access_nodes ? tables->access_nodes + place : nullptr;
}

PS_INLINE __u32 ps_backend_index_size(const struct ps_tables* tables) {
  return PS_BACKEND_INDEX_SLOTS(tables->max_backends);
}

PS_INLINE __u16* ps_backend_index_at(const struct ps_tables* tables, __u32 generation, __u32 slot) {
  if (slot >= ps_backend_index_size(tables)) return nullptr;
  auto* ids = reinterpret_cast<__u16*>(tables->backend_index);
  return ids + generation * ps_backend_index_size(tables) + slot;
}

PS_INLINE struct ps_backend* ps_backend_at(const struct ps_tables* tables, __u32 generation,
                                           __u32 id) {
  if (id >= tables->max_backends) return nullptr;
  return tables->backends + generation * tables->max_backends + id;
}

PS_INLINE __u32 ps_backend_count(const struct ps_tables* tables) {
  return tables->max_backends;
}

PS_INLINE struct ps_lookup_table* ps_lookup_table_at(const struct ps_tables* tables, __u32 place) {
  if (place >= PS_LOOKUP_TABLES(tables->max_services, tables->affinity_tables)) return nullptr;
  return tables->lookup_tables + place;
}

PS_INLINE struct ps_known_clients* ps_known_clients_at(const struct ps_tables* tables, __u32 place,
                                                       __u32 slot) {
  const __u32 table = place - PS_FIRST_AFFINITY_TABLE(tables->max_services);
  if (table >= tables->affinity_tables || slot >= PS_LOOKUP_SLOTS) return nullptr;
  return tables->known_clients + static_cast<__u64>(table) * PS_LOOKUP_SLOTS + slot;
}

PS_INLINE __u32 ps_affinity_sets(const struct ps_tables* tables) {
  return tables->affinity_sets;
}

PS_INLINE struct ps_affinity_set* ps_affinity_set_at(const struct ps_tables* tables, __u32 set) {
  return set < tables->affinity_sets ? tables->affinities + set : nullptr;
}

PS_INLINE struct ps_recent_set* ps_recent_set_at(const struct ps_tables* tables, __u32 set) {
  return set < PS_RECENT_TABLES * PS_RECENT_SETS ? tables->recent + set : nullptr;
}

PS_INLINE __u32 ps_flow_sets(const struct ps_tables* tables) {
  return tables->flow_sets;
}

PS_INLINE struct ps_flow_set4* ps_flow_set4_at(const struct ps_tables* tables, __u32 set) {
  return set < tables->flow_sets ? tables->flows4 + set : nullptr;
}

PS_INLINE struct ps_flow_set6* ps_flow_set6_at(const struct ps_tables* tables, __u32 set) {
  return set < tables->flow_sets ? tables->flows6 + set : nullptr;
}

PS_INLINE __u32 ps_index_sets(const struct ps_tables* tables) {
  return tables->index_sets;
}

PS_INLINE struct ps_index_set4* ps_index_set4_at(const struct ps_tables* tables, __u32 set) {
  return set < tables->index_sets ? tables->flow_index4 + set : nullptr;
}

PS_INLINE struct ps_index_set6* ps_index_set6_at(const struct ps_tables* tables, __u32 set) {
  return set < tables->index_sets ? tables->flow_index6 + set : nullptr;
}

PS_INLINE struct ps_traffic* ps_service_traffic_at(const struct ps_tables* tables, __u32 worker,
                                                   __u32 id) {
  if (worker >= tables->workers || id >= tables->max_services) return nullptr;
  return tables->service_traffic + worker * tables->max_services + id;
}

PS_INLINE struct ps_traffic* ps_backend_traffic_at(const struct ps_tables* tables, __u32 worker,
                                                   __u32 id) {
  if (worker >= tables->workers || id >= tables->max_backends) return nullptr;
  return tables->backend_traffic + worker * tables->max_backends + id;
}

PS_INLINE struct ps_reason_counts* ps_reasons_at(const struct ps_tables* tables, __u32 worker,
                                                 __u32 service) {
  if (worker >= tables->workers || service >= tables->max_services) return nullptr;
  return tables->reasons + worker * tables->max_services + service;
}
