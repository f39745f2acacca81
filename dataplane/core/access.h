// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// How the core reaches its tables: accessors that each driver defines once, for its home of the
// tables (BPF array maps, mapped memory). Each answers a pointer or, outside the table's size,
// nothing.
//
// A driver defines struct ps_tables and these functions, then includes core/walk.h.
#pragma once

#include "dataplane/core/tables.h"

struct ps_tables;

PS_INLINE struct ps_control *ps_control_at(const struct ps_tables *tables);
PS_INLINE struct ps_settings *ps_settings_at(const struct ps_tables *tables, __u32 generation);
PS_INLINE struct ps_arrival *ps_arrival_at(const struct ps_tables *tables, __u32 worker);

// Ids count from 1; `slot` is a place in the index (PS_SERVICE_INDEX_SLOTS of them,
// PS_BACKEND_INDEX_SLOTS).
PS_INLINE __u16 *ps_service_index_at(const struct ps_tables *tables, __u32 generation, __u32 slot);
PS_INLINE __u32 ps_service_index_size(const struct ps_tables *tables);
PS_INLINE struct ps_service *ps_service_at(const struct ps_tables *tables, __u32 generation,
                                           __u32 id);
PS_INLINE __u32 ps_service_count(const struct ps_tables *tables);
PS_INLINE struct ps_access_node *ps_access_node_at(const struct ps_tables *tables, __u32 place);
PS_INLINE __u16 *ps_backend_index_at(const struct ps_tables *tables, __u32 generation, __u32 slot);
PS_INLINE __u32 ps_backend_index_size(const struct ps_tables *tables);
PS_INLINE struct ps_backend *ps_backend_at(const struct ps_tables *tables, __u32 generation,
                                           __u32 id);
PS_INLINE __u32 ps_backend_count(const struct ps_tables *tables);
PS_INLINE struct ps_lookup_table *ps_lookup_table_at(const struct ps_tables *tables, __u32 place);
// By the lookup table at that place; nothing: it is not one of affinity.
PS_INLINE struct ps_known_clients *ps_known_clients_at(const struct ps_tables *tables, __u32 place,
                                                       __u32 slot);
PS_INLINE __u32 ps_affinity_sets(const struct ps_tables *tables);
PS_INLINE struct ps_affinity_set *ps_affinity_set_at(const struct ps_tables *tables, __u32 set);

PS_INLINE struct ps_recent_set *ps_recent_set_at(const struct ps_tables *tables, __u32 set);

PS_INLINE __u32 ps_flow_sets(const struct ps_tables *tables);
PS_INLINE struct ps_flow_set4 *ps_flow_set4_at(const struct ps_tables *tables, __u32 set);
PS_INLINE struct ps_flow_set6 *ps_flow_set6_at(const struct ps_tables *tables, __u32 set);
PS_INLINE __u32 ps_index_sets(const struct ps_tables *tables);
PS_INLINE struct ps_index_set4 *ps_index_set4_at(const struct ps_tables *tables, __u32 set);
PS_INLINE struct ps_index_set6 *ps_index_set6_at(const struct ps_tables *tables, __u32 set);

PS_INLINE struct ps_traffic *ps_service_traffic_at(const struct ps_tables *tables, __u32 worker,
                                                   __u32 id);
PS_INLINE struct ps_traffic *ps_backend_traffic_at(const struct ps_tables *tables, __u32 worker,
                                                   __u32 id);
PS_INLINE struct ps_reason_counts *ps_reasons_at(const struct ps_tables *tables, __u32 worker,
                                                 __u32 service);
