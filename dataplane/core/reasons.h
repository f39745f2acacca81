// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Every reason for which a packet is not forwarded, once: the enum, the counters' index, the name
// in metrics and the text for people come from this list.
//
// "pass" hands the packet to the kernel untouched, "drop" ends it, "answer" sends an ICMP error of
// our own to where it came from (icmp_error.h). Appending keeps running counters' meaning.
#pragma once

// X(name, verdict, text)
#define PS_REASONS(X)                                                                     \
  X(not_ours, pass, "no service and no flow of ours")                                     \
  X(truncated, drop, "the frame ends before its headers do")                              \
  X(malformed, drop, "a header contradicts itself")                                       \
  X(ttl_expired, answer, "TTL or hop limit used up")                                      \
  X(fragment, pass, "a fragment of neither TCP nor UDP; the kernel takes it")             \
  X(no_backend, pass, "no backend takes clients; the kernel refuses it")                  \
  X(no_flow, pass, "a packet amid a connection that is not known; the kernel resets it")  \
  X(backend_unresolved, drop, "the backend's MAC address is not known")                   \
  X(backend_gone, drop, "the flow's backend is not in the tables any more")               \
  X(flow_table_full, drop, "no place in the flow table that a newcomer may take")         \
  X(snat_ports_exhausted, drop, "every source port tried towards the backend is in use")  \
  X(no_snat_address, drop, "no appliance address of the packet's family")                 \
  X(tables_unreadable, drop, "a table refers to an entry outside its size")               \
  X(packet_too_big, answer, "does not fit the way to the backend, with a tunnel header")  \
  X(no_tunnel_source, drop, "no address that tunnel packets of the family come from")     \
  X(no_room, drop, "the driver left no room before the frame")                            \
  X(loop, drop, "comes from an address of our own tunnel packets")                        \
  X(fragment_unknown, drop, "a later fragment whose first one is not known (any more)")   \
  X(extension_headers, drop, "an IPv6 extension header that is not stepped over")         \
  X(no_way_back, drop, "an answer to a client that is not known, without default route")  \
  X(tuple_in_use, drop, "the backend has this client's port by another service already")  \
  X(syn_cookie, answer, "a SYN to a service with SYN cookies: answered with one")         \
  X(handshake_unfinished, drop, "the client has a cookie, its backend no connection yet") \
  X(access_denied, drop, "the service's access lists do not let the client in")           \
  X(new_flow_limit, drop, "the client's prefix has opened too many flows lately")

enum ps_reason {
  PS_REASON_NONE,  // forwarded
#define PS_REASON_ENUM(name, verdict, text) PS_REASON_##name,
  PS_REASONS(PS_REASON_ENUM)
#undef PS_REASON_ENUM
      PS_REASON_COUNT
};

// Room for reasons in the counters' layout.
#define PS_REASON_SLOTS 32
