// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The tables' home under XDP: mmapable array maps, and the core's accessors over them. The loader
// sets their sizes, and the constants below from which the program computes places.
#pragma once

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

// The kernel knows a program's context by the name of its type.
#define ps_handle xdp_md

#include "dataplane/core/access.h"
#include "dataplane/core/packet.h"

#define PS_TABLE(name, element)        \
  struct {                             \
    __uint(type, BPF_MAP_TYPE_ARRAY);  \
    __uint(map_flags, BPF_F_MMAPABLE); \
    __uint(max_entries, 1);            \
    __type(key, __u32);                \
    __type(value, element);            \
  } name SEC(".maps")

PS_TABLE(control, struct ps_control);
PS_TABLE(settings, struct ps_settings);
PS_TABLE(arrivals, struct ps_arrival);
PS_TABLE(service_index, __u64);  // four 16-bit ids an element: array elements are 8 bytes apart
PS_TABLE(services, struct ps_service);
PS_TABLE(access_nodes, struct ps_access_node);
PS_TABLE(backend_index, __u64);
PS_TABLE(backends, struct ps_backend);
PS_TABLE(lookup_tables, struct ps_lookup_table);
PS_TABLE(known_clients, struct ps_known_clients);
PS_TABLE(affinities, struct ps_affinity_set);
PS_TABLE(recent, struct ps_recent_set);
PS_TABLE(flow_index4, struct ps_index_set4);
PS_TABLE(flow_index6, struct ps_index_set6);
PS_TABLE(flows4, struct ps_flow_set4);
PS_TABLE(flows6, struct ps_flow_set6);
PS_TABLE(service_traffic, struct ps_traffic);
PS_TABLE(backend_traffic, struct ps_traffic);
PS_TABLE(reasons, struct ps_reason_counts);

const volatile __u32 max_services = 2;
const volatile __u32 max_backends = 2;
const volatile __u32 affinity_tables = 1;
const volatile __u32 affinity_sets = 1;
const volatile __u32 index_sets = 1;
const volatile __u32 flow_sets = 1;

// The clock is the kernel's jiffies: other clocks cost a call, 14 ns where it was measured. A test
// has one that it sets between packets; without one the kernel drops that branch at load.
const volatile __u64 jiffy_ns = 4000000;
const volatile __u32 has_test_clock = 0;
volatile __u64 test_clock_ns = 0;

static __u32 now_ticks(void) {
  return (__u32)((has_test_clock ? test_clock_ns : bpf_jiffies64() * jiffy_ns) >> PS_TICK_SHIFT);
}

PS_INLINE struct ps_frame ps_frame_of(struct xdp_md *ctx) {
  const struct ps_frame frame = {
      .data = (__u8 *)(long)ctx->data,
      .end = (__u8 *)(long)ctx->data_end,
      .handle = ctx,
      .interface_index = ctx->ingress_ifindex,
      .worker = bpf_get_smp_processor_id(),
      .now_ticks = now_ticks(),
  };
  return frame;
}

PS_INLINE __u32 ps_frame_length(const struct ps_frame *frame) {
  return (__u32)bpf_xdp_get_buff_len(frame->handle);
}

PS_INLINE void ps_frame_moved(struct ps_frame *frame) {
  const struct xdp_md *ctx = frame->handle;
  frame->data = (__u8 *)(long)ctx->data;
  frame->end = (__u8 *)(long)ctx->data_end;
}

PS_INLINE int ps_frame_extend(struct ps_frame *frame, __s32 bytes) {
  if (bpf_xdp_adjust_head(frame->handle, -bytes) != 0) return 0;
  ps_frame_moved(frame);
  return 1;
}

PS_INLINE int ps_frame_cut(struct ps_frame *frame, __u32 bytes) {
  const __s32 surplus = (__s32)(ps_frame_length(frame) - bytes);
  if (bpf_xdp_adjust_tail(frame->handle, -surplus) != 0) return 0;
  ps_frame_moved(frame);
  return 1;
}

// The maps are global: there is nothing to hold.
struct ps_tables {
  char none;
};

#define PS_ELEMENT(map, place)          \
  ({                                    \
    const __u32 key_ = (place);         \
    bpf_map_lookup_elem(&(map), &key_); \
  })

PS_INLINE struct ps_control *ps_control_at(const struct ps_tables *tables) {
  return PS_ELEMENT(control, 0);
}

PS_INLINE struct ps_settings *ps_settings_at(const struct ps_tables *tables, __u32 generation) {
  return PS_ELEMENT(settings, generation);
}

PS_INLINE struct ps_arrival *ps_arrival_at(const struct ps_tables *tables, __u32 worker) {
  return PS_ELEMENT(arrivals, worker);
}

PS_INLINE __u32 ps_service_index_size(const struct ps_tables *tables) {
  return PS_SERVICE_INDEX_SLOTS(max_services);
}

PS_INLINE __u16 *ps_service_index_at(const struct ps_tables *tables, __u32 generation, __u32 slot) {
  __u16 *four =
      PS_ELEMENT(service_index, generation * (PS_SERVICE_INDEX_SLOTS(max_services) / 4) + slot / 4);
  return four ? four + slot % 4 : 0;
}

PS_INLINE struct ps_service *ps_service_at(const struct ps_tables *tables, __u32 generation,
                                           __u32 id) {
  return id < max_services ? PS_ELEMENT(services, generation * max_services + id) : 0;
}

PS_INLINE struct ps_access_node *ps_access_node_at(const struct ps_tables *tables, __u32 place) {
  return PS_ELEMENT(access_nodes, place);
}

PS_INLINE __u32 ps_backend_index_size(const struct ps_tables *tables) {
  return PS_BACKEND_INDEX_SLOTS(max_backends);
}

PS_INLINE __u16 *ps_backend_index_at(const struct ps_tables *tables, __u32 generation, __u32 slot) {
  __u16 *four =
      PS_ELEMENT(backend_index, generation * (PS_BACKEND_INDEX_SLOTS(max_backends) / 4) + slot / 4);
  return four ? four + slot % 4 : 0;
}

PS_INLINE struct ps_backend *ps_backend_at(const struct ps_tables *tables, __u32 generation,
                                           __u32 id) {
  return id < max_backends ? PS_ELEMENT(backends, generation * max_backends + id) : 0;
}

PS_INLINE struct ps_lookup_table *ps_lookup_table_at(const struct ps_tables *tables, __u32 place) {
  return PS_ELEMENT(lookup_tables, place);
}

PS_INLINE struct ps_known_clients *ps_known_clients_at(const struct ps_tables *tables, __u32 place,
                                                       __u32 slot) {
  const __u32 table = place - PS_FIRST_AFFINITY_TABLE(max_services);
  if (table >= affinity_tables || slot >= PS_LOOKUP_SLOTS) return 0;
  return PS_ELEMENT(known_clients, table * PS_LOOKUP_SLOTS + slot);
}

PS_INLINE __u32 ps_affinity_sets(const struct ps_tables *tables) {
  return affinity_sets;
}

PS_INLINE struct ps_affinity_set *ps_affinity_set_at(const struct ps_tables *tables, __u32 set) {
  return PS_ELEMENT(affinities, set);
}

PS_INLINE struct ps_recent_set *ps_recent_set_at(const struct ps_tables *tables, __u32 set) {
  return PS_ELEMENT(recent, set);
}

PS_INLINE __u32 ps_flow_sets(const struct ps_tables *tables) {
  return flow_sets;
}

PS_INLINE struct ps_flow_set4 *ps_flow_set4_at(const struct ps_tables *tables, __u32 set) {
  return PS_ELEMENT(flows4, set);
}

PS_INLINE struct ps_flow_set6 *ps_flow_set6_at(const struct ps_tables *tables, __u32 set) {
  return PS_ELEMENT(flows6, set);
}

PS_INLINE __u32 ps_index_sets(const struct ps_tables *tables) {
  return index_sets;
}

PS_INLINE struct ps_index_set4 *ps_index_set4_at(const struct ps_tables *tables, __u32 set) {
  return PS_ELEMENT(flow_index4, set);
}

PS_INLINE struct ps_index_set6 *ps_index_set6_at(const struct ps_tables *tables, __u32 set) {
  return PS_ELEMENT(flow_index6, set);
}

PS_INLINE struct ps_traffic *ps_service_traffic_at(const struct ps_tables *tables, __u32 worker,
                                                   __u32 id) {
  return id < max_services ? PS_ELEMENT(service_traffic, worker * max_services + id) : 0;
}

PS_INLINE struct ps_traffic *ps_backend_traffic_at(const struct ps_tables *tables, __u32 worker,
                                                   __u32 id) {
  return id < max_backends ? PS_ELEMENT(backend_traffic, worker * max_backends + id) : 0;
}

PS_INLINE struct ps_reason_counts *ps_reasons_at(const struct ps_tables *tables, __u32 worker,
                                                 __u32 service) {
  return service < max_services ? PS_ELEMENT(reasons, worker * max_services + service) : 0;
}
