// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Whether a service lets a packet in: where it came from, its sender (access_list.h), and the flow
// that it opens (new_flow_limit.h).
//
// Asked of every packet to a backend that does not go on by a steady index entry: a client that is
// denied from now on is cut off within two seconds, and an established flow pays nothing a packet.
// Not asked of answers, nor of ICMP errors. TCP counts with each SYN but those that come again
// while their flow is half-open; what nobody but a flow can tell counts where one is made
// (flow_create.h): a datagram, and who shows a SYN cookie.
#pragma once

#include "dataplane/core/access_list.h"
#include "dataplane/core/new_flow_limit.h"

// The frame's source address; zero where there is none. Read anew: a function of its own is given
// no packet.
PS_INLINE struct ps_address ps_sender(struct ps_handle *handle, int family) {
  const struct ps_frame frame = ps_frame_again(handle);
  struct ps_cursor cursor = {frame.data, frame.end};
  struct ps_address source = {};
  if (!ps_take(&cursor, sizeof(struct ps_ethernet))) return source;
  if (family == PS_IPV4) {
    const struct ps_ipv4 *ip = (struct ps_ipv4 *)ps_take(&cursor, sizeof *ip);
    if (ip) source.word[0] = ip->source;
  } else {
    const struct ps_ipv6 *ip = (struct ps_ipv6 *)ps_take(&cursor, sizeof *ip);
    if (ip) source = ip->source;
  }
  return source;
}

// What a packet asks for, in one number: the tick in its lower half, then the flags of TCP, the
// state of the flow that it belongs to, and the place of the interface that it came in by. `word`:
// that flow's life; 0: it has none.
PS_INLINE __u64 ps_asks_for(const struct ps_packet *packet, __u64 word, __u32 now,
                            __u32 interface) {
  return now | (__u64)packet->tcp_flags << 32 | (__u64)ps_flow_state(word) << 40 |
         (__u64)interface << 48;
}

// Whether it opens a connection: not with a SYN that comes again while the flow is half-open.
PS_INLINE int ps_asks_for_flow(__u64 asks_for) {
  const __u8 mask = PS_TCP_SYN | PS_TCP_ACK | PS_TCP_RST | PS_TCP_FIN;
  return (asks_for >> 32 & mask) == PS_TCP_SYN && (asks_for >> 40 & 0xff) != PS_FLOW_HALF_OPEN;
}

// Whether flows are opened from where the packet came in.
PS_INLINE int ps_may_come_in(const struct ps_settings *settings, const struct ps_service *service,
                             __u64 asks_for) {
  const __u32 place = asks_for >> 48 & (PS_MAX_INTERFACES - 1);
  return !service->only_from || settings->interfaces[place].index == service->only_from;
}

// Whether that packet of the service's client goes on (enum ps_reason).
PS_CALL int ps_admit(struct ps_handle *handle, const struct ps_tables *tables,
                     const struct ps_settings *settings, const struct ps_service *service,
                     __u64 asks_for) {
  if (!tables || !settings || !service) return PS_REASON_tables_unreadable;
  if (!service->is_guarded) return PS_REASON_NONE;
  if (!ps_may_come_in(settings, service, asks_for)) return PS_REASON_access_denied;
  const struct ps_address client = ps_sender(handle, service->family);
  const enum ps_reason reason = ps_ask_access(tables, service, &client);
  if (reason || service->syn_cookies || !ps_asks_for_flow(asks_for)) return reason;
  return ps_take_token(tables, settings, service, &client, (__u32)asks_for);
}
