// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// The layout of every table, once for the XDP program, the DPDK worker and the control plane.
//
// All tables are plain memory. What the configuration says (settings, services, backends) is there
// in two generations: packets read the one that `ps_control.generation` names, the control plane
// writes the other. Lookup tables come in pairs, one pair a service; behind them stand those of
// services with affinity, each with the clients that are known by it. Flow tables, known clients
// and counters are written by packets only. Explicit padding, no pointers, host byte order unless
// the type says otherwise.
#pragma once

#include "dataplane/core/reasons.h"
#include "dataplane/core/types.h"

// Raised with every change of a layout below: tables of another version are not adopted.
#define PS_LAYOUT_VERSION 13

#define PS_GENERATIONS 2
#define PS_LOOKUP_SLOTS 65537u  // prime, as Maglev wants
#define PS_MAX_INTERFACES 8
#define PS_MAX_SNAT_ADDRESSES 16  // of each family
#define PS_MAX_OWN_ADDRESSES 16   // of each family
// Places in the service index: each service stands there twice, by its address, port and protocol,
// and (once an address) by its address alone.
#define PS_SERVICE_INDEX_SLOTS(services) ((services)*8)
#define PS_SERVICE_PROBES 8  // where one may stand, from its hash on
// Places in the index of mode dnat's backends, each by its address, port and protocol.
#define PS_BACKEND_INDEX_SLOTS(backends) ((backends)*4)
#define PS_EARLIER_TABLES 6  // at most, that a service keeps beside its lookup table
// Places of lookup tables, and from which one on clients are known by them.
#define PS_LOOKUP_TABLES(services, affinity_tables) \
  (PS_FIRST_AFFINITY_TABLE(services) + (affinity_tables))
#define PS_FIRST_AFFINITY_TABLE(services) ((services)*2)

struct ps_control {
  __u32 layout_version;
  __u32 generation;  // counts up, its lowest bit is which; stored with release, read once a packet
  __u32 flow_table_entries;
  __u32 max_services;
  __u32 max_backends;
  __u32 workers;
  __u32 affinity_tables;
  __u32 affinity_entries;
  __u32 access_nodes;
  __u32 reserved[7];
};
PS_SIZE_IS(struct ps_control, 64);

// VLAN tags as a number: bits 0 to 11 the outer tag's VLAN, bit 15 whether it is 802.1ad's, 16 to
// 31 the same of the inner tag. 0: no tags.
#define PS_TAG_IS_SERVICE 0x8000u

struct ps_interface {
  __u64 mac;    // ps_load_mac
  __u32 index;  // the kernel's, for a VLAN that of the device underneath; 0: no entry
  __u32 tags;
};
PS_SIZE_IS(struct ps_interface, 16);

#define PS_OPTION_BYTES 40u  // at most, behind a TCP header

// Those of a segment that opens a connection (tcp_options.h).
struct ps_tcp_options {
  __u8 bytes[PS_OPTION_BYTES + 4];  // behind the last one: zeros
  __u16 mss;                        // 0: none is told
  __u8 mss_at;                      // where its value is
  __u8 next;                        // where the next option begins
  __u8 scale;                       // PS_NO_SCALE: none is told
  __u8 count;                       // of bytes
  __u8 reserved[14];
};
PS_SIZE_IS(struct ps_tcp_options, 64);

// What a frame becomes behind the walk (become.h).
enum ps_become {
  PS_AS_IT_IS,
  PS_ERROR,          // of ours, about it
  PS_SYN_ACK,        // of ours, with a SYN cookie
  PS_SYN,            // to the backend, of a client that has shown its cookie
  PS_SYN_BY_PROBE,   // the same, by a segment of one byte before the client's first
  PS_WINDOW_UPDATE,  // to the client, of the backend's SYN-ACK
  PS_TO_CLIENT,      // in the client's sequence numbers
  PS_TO_BACKEND,     // in the backend's
  PS_CLAMPED,        // a SYN in a tunnel, which asks for no larger segments than fit
};

// What was taken out of the frame that a worker has in hand, and what is to be done with it behind
// the walk. Two cache lines, of which the second is for handshakes.
struct ps_arrival {
  __u32 tags;     // 0: nothing
  __u32 wire[2];  // the tags as they stood in the frame; the second may be 0
  // Of a connection begun by a SYN cookie (handshake.h):
  __u8 become;           // enum ps_become; 0 between frames
  __u8 window_scale;     // the backend's
  __u16 header_bytes;    // of IP, in a tunnel of both
  __u32 sequence_shift;  // what the client's numbers are more than the backend's
  // The verdict, while the frame becomes that:
  __u32 egress_index;
  __u32 egress_tags;
  __u16 limit_bytes;  // the MTU of the way to the backend (0: not known), or the largest segment
  __u16 reason;       // enum ps_reason
  __u32 reserved[8];
  struct ps_tcp_options options;
};
PS_SIZE_IS(struct ps_arrival, 128);

// States of a flow. A claimed entry is being written and matches nothing yet.
enum ps_flow_state {
  PS_FLOW_FREE,
  PS_FLOW_CLAIMED,
  PS_FLOW_HALF_OPEN,
  PS_FLOW_ESTABLISHED,
  PS_FLOW_CLOSING,
  PS_FLOW_STATES
};

// Time in the tables: ticks of 2^28 ns (268 ms) of the driver's steady clock, 36 years until they
// wrap.
#define PS_TICK_SHIFT 28

struct ps_settings {
  __u64 flow_factors[8];      // odd and secret: the flow tables' hashing
  __u64 hash_key[2];          // SipHash key of client hashes
  __u32 timeout_ticks[2][8];  // idle timeout by [0: TCP, 1: UDP][enum ps_flow_state]
  __u16 snat_port_first;
  __u16 snat_port_count;
  __u8 snat_count[2];      // [0: IPv4, 1: IPv6]
  __u8 index_epoch_shift;  // an epoch of the flow index (flow_index.h) is 2^this ticks
  __u8 has_flowless;       // there is a service without flows: packets look for theirs first
  __u8 has_dnat;           // there is a service in mode dnat
  __u8 own_count[2];       // [0: IPv4, 1: IPv6]
  __u8 reserved[5];
  struct ps_interface interfaces[PS_MAX_INTERFACES];
  struct ps_address snat[2][PS_MAX_SNAT_ADDRESSES];  // [0: IPv4, 1: IPv6]
  // Where tunnel packets come from: this, and for the mask's bits what the flow's hash gives.
  struct ps_address tunnel_source[2];  // zero: none of the family
  struct ps_address tunnel_spread[2];
  __u64 gateway[2];  // the default route's next hop, as ps_flow.client_hop; 0: none
  struct ps_address own[2][PS_MAX_OWN_ADDRESSES];  // the appliance's: what is for them is not ours
};
PS_SIZE_IS(struct ps_settings, 64 + 16 + 64 + 16 + 128 + 512 + 64 + 16 + 512);

// How packets reach a service's backends.
enum ps_mode {
  PS_NAT,     // translated in both directions, by a flow
  PS_DSR,     // as they are, in a frame to the backend, which has the VIP too and answers directly
  PS_TUNNEL,  // the same, in an IP packet to the backend
  PS_DNAT,    // its destination is translated, and the source of its answers
};

struct ps_service {
  struct ps_address vip;
  struct ps_address client_mask;     // the part of a client's address that is hashed
  struct ps_be16 port;               // with family and protocol, one word: ps_port_key
  __u8 family;                       // enum ps_family; 0: no entry
  __u8 protocol;                     // enum ps_protocol
  __u16 lookup_table;                // its place
  __u8 mode;                         // enum ps_mode
  __u8 has_flows;                    // its mode has, or one that it was in before
  __u8 hashes_port;                  // the client's, beside its address
  __u8 epoch_shift;                  // an epoch of its known clients is 2^this ticks
  __u16 earlier[PS_EARLIER_TABLES];  // lookup tables before, oldest first; 0: no more
  __u8 is_guarded;                   // it has access lists, a limit of new flows, or only_from
  __u8 by_address;                   // packets go by their client's address, whatever came before
  __u32 affinity_ticks;  // for how long a client keeps its backend without a packet; 0: no affinity
  __u8 syn_cookies;      // mode nat, TCP: SYNs are answered by us
  __u8 clamps_mss;       // mode tunnel, TCP: SYNs ask for segments that fit
  __u16 clients_of;      // whose lookup tables and known clients it goes by; 0: its own

  // From here on a cache line that is read only where is_guarded.
  struct ps_address limit_mask;  // the part of a client's address that has a limit of its own
  __u64 limit_burst;             // how much time may be taken in advance (new_flow_limit.h)
  __u32 limit_step;              // how much of it a new flow takes; 0: no limit
  __u32 limit_per_second;        // what that was made of, for the control plane
  __u32 access;                  // who is let in: as an entry of ps_access_node
  __u32 only_from;               // the interface that flows are opened from; 0: any
  __u8 reserved_of_guard[24];
};
PS_SIZE_IS(struct ps_service, 128);

// Access lists as tries of four bits a node, a cache line each (access_list.h). An entry is
// PS_ACCESS_LET_IN, PS_ACCESS_DENIED or the place of the node that the next four bits are looked up
// in. Places 0 and 1 have none; each generation has its half of the places.
#define PS_ACCESS_LET_IN 0u
#define PS_ACCESS_DENIED 1u
#define PS_ACCESS_FIRST_NODE 2u

struct ps_access_node {
  __u32 entry[16];
};
PS_SIZE_IS(struct ps_access_node, 64);

struct ps_backend {
  struct ps_address address;
  struct ps_be16 port;    // with family and protocol, one word: ps_port_key
  __u8 family;            // enum ps_family; 0: no entry
  __u8 protocol;          // enum ps_protocol
  __u8 resolved;          // 0: the next hop below is not known
  __u8 down;              // no service holds it healthy: UDP flows leave it
  __u16 mtu;              // of the way to it, in bytes of an IP packet; 0: not known
  __u32 interface_index;  // where its frames leave
  __u32 ethernet[3];      // prepared: destination and source MAC, as they stand in memory
  __u32 tags;             // of its frames there
  __u16 answers_for;      // the first service in mode dnat that it is of; 0: none
  __u8 is_shared;         // it is of several: a flow's entry says which (dnat.h)
  __u8 reserved[17];
};
PS_SIZE_IS(struct ps_backend, 64);

// Slot to backend id; 0: nobody. With PS_CONTESTED there may be clients of the slot who keep
// another backend (affinity.h).
#define PS_CONTESTED 0x8000u

struct ps_lookup_table {
  __u16 slots[PS_LOOKUP_SLOTS];
  __u16 reserved[3];
};
PS_SIZE_IS(struct ps_lookup_table, 131080);

// Of one lookup table's slot: the clients that were seen while it was in use, a bit each, in the
// last two epochs. A cache line.
#define PS_KNOWN_WORDS 7
#define PS_KNOWN_BITS (PS_KNOWN_WORDS * 32)

struct ps_known_epoch {
  __u32 epoch;  // which one; bits of an older one are of nobody
  __u32 bits[PS_KNOWN_WORDS];
};

struct ps_known_clients {
  struct ps_known_epoch epoch[2];  // [its number's lowest bit]
};
PS_SIZE_IS(struct ps_known_clients, 64);

// A client that keeps its backend although its slot leads to another one. `word` changes by
// compare-and-swap only: bits 0 to 31 the tick until which it is valid, 32 to 47 the backend (0:
// being written), 48 to 63 the service. Or a flow to a backend of several services in mode dnat,
// whose answers are this service's (dnat.h).
struct ps_affinity {
  __u64 client;  // ps_affinity_key, ps_dnat_key
  __u64 word;
};

#define PS_AFFINITY_WAYS 4

struct ps_affinity_set {
  struct ps_affinity way[PS_AFFINITY_WAYS];
};
PS_SIZE_IS(struct ps_affinity_set, 64);

// A quarter stays free, so that each of `entries` clients finds a place in one of two sets.
#define PS_AFFINITY_SETS(entries) ((entries) / 12 * 4 + 4)

// What was seen lately (recent.h). `word` changes by compare-and-swap only: bits 0 to 50 the value,
// 51 to 63 when it was; 0: free, or being written.
struct ps_recent {
  __u64 key;
  __u64 word;
};

#define PS_RECENT_WAYS 4

struct ps_recent_set {
  struct ps_recent way[PS_RECENT_WAYS];
};
PS_SIZE_IS(struct ps_recent_set, 64);

// Each has its own PS_RECENT_SETS: 16,384 entries in 256 KB.
enum ps_recent_table {
  PS_FRAGMENTS,    // ports of datagrams that come in fragments (fragment.h)
  PS_CLIENT_HOPS,  // where clients' frames come from, in mode dnat (dnat.h)
  PS_NEW_FLOWS,    // how many new flows clients may open (new_flow_limit.h)
  PS_RECENT_TABLES
};
#define PS_RECENT_SETS 4096

// One flow, both directions. `word` is the entry's life and changes by compare-and-swap only:
// bits 0 to 31 the tick it was last seen at, 32 to 34 its state, 35 to 38 a window scale
// (cookie_flow.h), 40 to 47 flags, 48 to 55 the place of its source address, 56 to 63 a count of
// the entry's uses. The other fields are written between claim and publication and stay, but for
// the last.
struct ps_flow {
  __u64 word;
  __u64 client_hop;  // bits 0 to 47 the MAC that the client's frames come from, 48 to 63 the
                     // interface's place
  struct ps_be32 client_word0;  // IPv4: the client's address
  struct ps_be16 client_port;
  struct ps_be16 snat_port;
  __u16 service;
  __u16 backend;
  // TCP, half-open: what the client's handshake must acknowledge. Begun by a SYN cookie, once its
  // backend has answered: what is added to the backend's sequence numbers on the way to the client.
  struct ps_be32 sequence;
};
PS_SIZE_IS(struct ps_flow, 32);

struct ps_flow6 {
  struct ps_flow flow;  // client_word0 holds the first word of `client` too
  struct ps_address client;
  __u8 reserved[16];
};
PS_SIZE_IS(struct ps_flow6, 64);

// A flow stands in the set that its return tuple (backend, appliance address and port) hashes to.
// IPv4: one cache line, IPv6: two.
#define PS_FLOW_WAYS 2

struct ps_flow_set4 {
  struct ps_flow way[PS_FLOW_WAYS];
};
PS_SIZE_IS(struct ps_flow_set4, 64);

struct ps_flow_set6 {
  struct ps_flow6 way[PS_FLOW_WAYS];
};
PS_SIZE_IS(struct ps_flow_set6, 128);

// From the client's tuple to its flow, and what a packet of an established flow needs on its way to
// the backend, so that it does not look at the flow. A hint: the flow is the truth, an entry whose
// flow has ended is free. `onward` changes by compare-and-swap only: bits 0 to 15 the source port,
// 16 to 31 the backend, 32 to 35 the place of the source address, 36 to 39 flags (flow_index.h), 40
// to 63 the tick at which the flow was last looked at. Without a backend the entry is free.
// `client`: bits 0 to 15 the service, 16 to 31 the client's port, 32 to 63 its address (IPv6: bits
// of its tuple's hash), both as wire words.
struct ps_index_entry {
  __u64 onward;
  __u64 client;
};
PS_SIZE_IS(struct ps_index_entry, 16);

struct ps_index_entry6 {
  struct ps_index_entry entry;
  struct ps_address client;
};
PS_SIZE_IS(struct ps_index_entry6, 32);

// IPv4: one cache line, IPv6: two.
#define PS_INDEX_WAYS 4

struct ps_index_set4 {
  struct ps_index_entry way[PS_INDEX_WAYS];
};
PS_SIZE_IS(struct ps_index_set4, 64);

struct ps_index_set6 {
  struct ps_index_entry6 way[PS_INDEX_WAYS];
};
PS_SIZE_IS(struct ps_index_set6, 128);

// For a flow table of `entries` (nominal) flows: a fifth of the flow places and a third of the
// index stay free, so that a table with `entries` live flows still finds a place for nearly every
// newcomer. Bytes for each flow: IPv4 1.25 x 32 + 1.5 x 16 = 64, IPv6 1.25 x 64 + 1.5 x 32 = 128.
#define PS_FLOW_SETS(entries) ((entries) / 8 * 5)
#define PS_INDEX_SETS(entries) ((entries) / 8 * 3)

// Written by one worker each, read by the control plane.
struct ps_traffic {
  __u64 packets_to_backend;
  __u64 bytes_to_backend;
  __u64 packets_to_client;
  __u64 bytes_to_client;
  __u64 new_flows;
  __u64 reserved[3];
};
PS_SIZE_IS(struct ps_traffic, 64);

struct ps_reason_counts {
  __u64 count[PS_REASON_SLOTS];
};
PS_SIZE_IS(struct ps_reason_counts, 256);

#ifdef __cplusplus
static_assert(PS_REASON_COUNT <= PS_REASON_SLOTS, "reasons outgrew their counters");
#else
_Static_assert(PS_REASON_COUNT <= PS_REASON_SLOTS, "reasons outgrew their counters");
#endif
