// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// What the walk of a burst's frames reads for each of them, found once while the tables stay.
#pragma once

#include "dataplane/core/walk.h"

struct ps_basis {
  const struct ps_tables *tables;
  const struct ps_service *services;  // of the generation, by their ids
  const struct ps_backend *backends;
  struct ps_traffic *service_traffic;  // of the worker, likewise
  struct ps_traffic *backend_traffic;
  __u32 service_count;
  __u32 backend_count;
};

// 0: something is missing in the tables.
PS_INLINE int ps_find_basis(const struct ps_tables *tables, __u32 generation, __u32 worker,
                            struct ps_basis *basis) {
  basis->tables = tables;
  basis->services = ps_service_at(tables, generation, 0);
  basis->backends = ps_backend_at(tables, generation, 0);
  basis->service_traffic = ps_service_traffic_at(tables, worker, 0);
  basis->backend_traffic = ps_backend_traffic_at(tables, worker, 0);
  basis->service_count = ps_service_count(tables);
  basis->backend_count = ps_backend_count(tables);
  return basis->services && basis->backends && basis->service_traffic && basis->backend_traffic;
}

// Nothing: there is no place for that id. Nobody's is that of an entry without a family.
PS_INLINE const struct ps_service *ps_service_of(const struct ps_basis *basis, __u16 id) {
  return id < basis->service_count ? basis->services + id : 0;
}
PS_INLINE const struct ps_backend *ps_backend_of(const struct ps_basis *basis, __u16 id) {
  return id < basis->backend_count ? basis->backends + id : 0;
}

// What was seen of a service's clients, who are many.
PS_INLINE void ps_add_traffic(const struct ps_basis *basis, __u16 service_id,
                              const struct ps_traffic *seen) {
  struct ps_traffic *traffic = basis->service_traffic + service_id;
  traffic->packets_to_backend += seen->packets_to_backend;
  traffic->bytes_to_backend += seen->bytes_to_backend;
  traffic->new_flows += seen->new_flows;
}
