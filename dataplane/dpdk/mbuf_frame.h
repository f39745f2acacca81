// SPDX-License-Identifier: Apache-2.0
// A frame in an rte_mbuf: what ps_frame.handle points to under DPDK. Include this, then
// core/walk.h.
#pragma once

#include <rte_mbuf.h>

#define ps_handle rte_mbuf

#include "dataplane/core/packet.h"

PS_INLINE __u32 ps_frame_length(const struct ps_frame* frame) {
  return rte_pktmbuf_pkt_len(frame->handle);
}

PS_INLINE void ps_frame_moved(struct ps_frame* frame) {
  frame->data = rte_pktmbuf_mtod(frame->handle, __u8*);
  frame->end = frame->data + rte_pktmbuf_data_len(frame->handle);
}

PS_INLINE int ps_frame_extend(struct ps_frame* frame, __s32 bytes) {
  const auto by = (__u16)(bytes > 0 ? bytes : -bytes);
  const char* moved =
      bytes > 0 ? rte_pktmbuf_prepend(frame->handle, by) : rte_pktmbuf_adj(frame->handle, by);
  if (!moved) return 0;
  ps_frame_moved(frame);
  return 1;
}

// Its last buffers go, when it has several.
PS_INLINE int ps_frame_cut(struct ps_frame* frame, __u32 bytes) {
  struct rte_mbuf* mbuf = frame->handle;
  struct rte_mbuf* last = mbuf;
  __u32 left = bytes;
  for (; last && left > last->data_len; last = last->next) left -= last->data_len;
  if (!last) return 0;
  struct rte_mbuf* surplus = last->next;
  for (last->next = NULL; surplus;) {
    struct rte_mbuf* next = surplus->next;
    rte_pktmbuf_free_seg(surplus);
    mbuf->nb_segs--;
    surplus = next;
  }
  last->data_len = (__u16)left;
  mbuf->pkt_len = bytes;
  ps_frame_moved(frame);
  return 1;
}
