// SPDX-License-Identifier: Apache-2.0
// The one interface that the control plane sees of a dataplane, whatever its driver.
//
// The control plane computes a whole ForwardingState (a value) and hands over the Delta that leads
// to it; the driver writes it into the tables that packets are forwarded by and swaps generations,
// so that a packet sees the old state or the new one. Calls come from one thread. Nothing here is
// on the packet path.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/access_rules.h"
#include "dataplane/address.h"
#include "dataplane/mode.h"
#include "dataplane/result.h"
#include "dataplane/vlan.h"

namespace penstock {

// Ids are places in the tables: 1 .. max - 1; 0 is none. A flow refers to its service and backend
// by id, so an id keeps its meaning as long as a flow may refer to it.
using ServiceId = uint16_t;
using BackendId = uint16_t;

constexpr uint32_t kLookupTableSlots =
    65537;  // prime, as Maglev wants; PS_LOOKUP_SLOTS in the core

// Slot to backend id, kLookupTableSlots long; 0 where no backend may take a client. With kContested
// there may be clients in the slot that keep another backend by affinity.
using LookupTable = std::vector<BackendId>;
constexpr uint16_t kContested = 0x8000;  // PS_CONTESTED in the core
constexpr BackendId holder_of(uint16_t slot) {
  return static_cast<BackendId>(slot & ~kContested);
}
constexpr uint32_t kMaxBackends = 0x7fff;

// The place of a lookup table. Each service has two of its own; behind those of all services stand
// the affinity tables, which belong to whichever service they are given to: by them clients are
// known.
using LookupTableId = uint16_t;
constexpr LookupTableId own_lookup_table(ServiceId service, uint32_t which) {
  return static_cast<LookupTableId>(service * 2 + which);
}
constexpr uint32_t kMaxEarlierTables = 6;  // PS_EARLIER_TABLES in the core
constexpr uint32_t kMaxOwnAddresses = 16;  // of a family; PS_MAX_OWN_ADDRESSES, _SNAT_ in the core

// How a frame reaches a backend: out of which interface, with which MAC addresses.
struct NextHop {
  uint32_t interface_index = 0;  // for a VLAN that of the device underneath
  MacAddress source;
  MacAddress destination;
  uint16_t mtu = 0;  // in bytes of an IP packet; 0: not known
  VlanTags tags;
  bool operator==(const NextHop&) const = default;
};

// Where a default route leads.
struct Gateway {
  uint32_t interface_index = 0;  // and tags: as in NextHop
  MacAddress mac;
  VlanTags tags;
  bool operator==(const Gateway&) const = default;
};

struct BackendEntry {
  Protocol protocol = Protocol::kTcp;
  Endpoint endpoint;
  std::optional<NextHop> next_hop;  // nullopt: unresolved, its packets are dropped and counted
  bool down = false;                // healthy in no service: UDP flows leave it, TCP flows run out
  ServiceId answers_for = 0;        // the first service in mode dnat that it is of; 0: none
  bool is_shared = false;           // it is of more of them
  bool operator==(const BackendEntry&) const = default;
};

struct ServiceEntry {
  Protocol protocol = Protocol::kTcp;
  Endpoint vip;
  uint8_t client_prefix_bits = 32;  // of the VIP's family
  LookupTableId lookup_table = 0;
  Mode mode = Mode::kNat;
  bool has_flows = true;                 // its mode has, or one that it was in before
  bool hashes_port = false;              // the client's, beside its address
  bool syn_cookies = false;              // mode nat, TCP: the dataplane answers SYNs
  bool clamps_mss = false;               // mode tunnel, TCP: SYNs ask for segments that fit
  std::chrono::seconds affinity_idle{};  // 0: a client goes where the lookup table leads
  std::vector<LookupTableId> earlier;    // affinity tables that were in use before, oldest first
  AccessRules access;
  NewFlowLimit new_flows;
  ServiceId clients_of = 0;  // the service whose lookup tables and known clients it has; 0: its own
  uint32_t only_from = 0;    // the interface that flows are opened from; 0: any
  bool operator==(const ServiceEntry&) const = default;
};

// What is the same for every packet.
struct ForwardingSettings {
  std::array<uint64_t, 2> hash_key{};     // SipHash key of client hashes (plan/hash_key.h)
  std::vector<IpAddress> snat_addresses;  // at most 16 of each family
  std::vector<IpPrefix> tunnel_sources;   // where tunnel packets come from; one of each family
  // For mode dnat: addresses of the appliance, for which no backend's answer is (16 of each
  // family), and where the default routes lead.
  std::vector<IpAddress> own_addresses;
  std::map<Family, Gateway> gateways;
  uint16_t snat_port_first = 0;
  uint16_t snat_port_last = 0;  // inclusive
  std::chrono::milliseconds tcp_half_open_timeout{};
  std::chrono::milliseconds tcp_established_timeout{};
  std::chrono::milliseconds tcp_closing_timeout{};
  std::chrono::milliseconds udp_half_open_timeout{};
  std::chrono::milliseconds udp_established_timeout{};
  bool operator==(const ForwardingSettings&) const = default;
};

struct ForwardingState {
  ForwardingSettings settings;
  std::map<ServiceId, ServiceEntry> services;
  std::map<BackendId, BackendEntry> backends;
  bool operator==(const ForwardingState&) const = default;
};

struct Delta {
  ForwardingState next;
  // New contents. Of a table that the state before uses, only these may change: whether a slot is
  // contested, and in one of the earlier tables who is not to keep clients any more (to 0).
  std::map<LookupTableId, LookupTable> lookup_tables;
  std::set<LookupTableId> begun;  // affinity tables of those, by which nobody is known yet
  // Clients that have an entry there are let go.
  std::set<std::pair<ServiceId, BackendId>> released;
};

// Who keeps a backend by affinity, from one pass over its entries and the earlier tables (some
// milliseconds).
struct AffinitySnapshot {
  // Clients whose lookup table leads elsewhere now: those that were seen since it changed, by their
  // entries, and those that an earlier table knows and that were not seen since. Clients that share
  // a bit count once.
  std::map<ServiceId, std::map<BackendId, uint64_t>> kept;
  std::map<ServiceId, std::map<BackendId, uint64_t>> unseen;
  std::map<ServiceId, std::set<uint32_t>> kept_slots;  // where the entries' clients are
  // Earlier tables that know somebody: how many that were not seen since.
  std::map<LookupTableId, uint64_t> remembering;
  uint64_t entries = 0;  // in use
  uint64_t capacity = 0;
};

struct TrafficCounters {
  uint64_t packets_to_backend = 0;
  uint64_t bytes_to_backend = 0;  // IP bytes
  uint64_t packets_to_client = 0;
  uint64_t bytes_to_client = 0;
  uint64_t new_flows = 0;
};

// Since the tables were made; they outlive the control plane.
struct CounterSnapshot {
  std::map<ServiceId, TrafficCounters> services;
  std::map<BackendId, TrafficCounters> backends;
  // Reason name (core/reasons.h) to count, only those that are not 0. Service 0: no service could
  // be told.
  std::map<ServiceId, std::map<std::string, uint64_t>> dropped;
  std::map<ServiceId, std::map<std::string, uint64_t>> passed;    // punted to the kernel
  std::map<ServiceId, std::map<std::string, uint64_t>> answered;  // with an error of our own
};

struct FlowCounts {
  uint64_t half_open = 0;
  uint64_t established = 0;
  uint64_t closing = 0;
};

// Live flows, from one pass over the flow tables (tens of milliseconds at a million entries).
struct FlowSnapshot {
  std::map<ServiceId, FlowCounts> services;
  std::map<BackendId, FlowCounts> backends;
  uint64_t capacity = 0;  // of both families together
};

// The dataplane's own way from a client to a backend, for `explain`: it reads the tables that
// packets read.
struct Explanation {
  uint64_t client_hash = 0;
  uint32_t slot = 0;
  BackendId backend = 0;   // 0: none may take a client
  BackendId selected = 0;  // by the lookup table alone: another one when affinity keeps the client
  bool is_denied = false;  // by the service's access rules
};

struct InterfaceStatus {
  std::string name;
  std::string attach_mode;  // "native", "generic"; of a forwarder's port: its driver
  std::string degraded;     // why it is not native; empty: it is
  std::string device;       // that the program is attached to: itself, or what a VLAN is on
};

// One of the processors of a forwarder that is a process of its own. Since it was made; counters
// outlive the process.
struct WorkerStatus {
  uint32_t cpu = 0;
  uint64_t packets = 0;      // taken in
  uint64_t passes = 0;       // over its queues that found packets
  uint64_t empty_polls = 0;  // and that found none
  double cycles_per_packet = 0;
  double ns_per_packet = 0;
  uint64_t handed_over = 0;    // to a worker that sends by the port in question
  uint64_t lost_in_rings = 0;  // of those, and of what is the kernel's
  uint64_t unsent = 0;         // a port did not take them
};

struct ForwarderStatus {
  uint32_t pid = 0;             // 0: it does not run
  uint32_t restarts = 0;        // by this control plane, since it died
  uint64_t lost_to_kernel = 0;  // frames that it did not take
  std::vector<WorkerStatus> workers;
};

struct DataplaneStatus {
  std::string driver;
  std::vector<InterfaceStatus> interfaces;
  bool adopted = false;                      // the tables were found and taken over, not made anew
  std::optional<ForwarderStatus> forwarder;  // of a driver that has one
};

struct TableSizes {
  uint32_t flow_table_entries = 0;  // for each family
  uint32_t max_services = 0;
  uint32_t max_backends = 0;
  uint32_t affinity_tables = 0;
  uint32_t affinity_entries = 0;
  uint32_t access_nodes = 0;  // of access lists; the first two are none
};

class Dataplane {
 public:
  virtual ~Dataplane() = default;

  // What the tables hold now; empty in tables made anew. Read once, after a start, to plan from.
  // Access rules are not read back: services that have any are written once more by the next plan.
  virtual ForwardingState current() const = 0;
  // Packets that come in from now on are forwarded by the new state; those already in are let
  // finish by the one before. On failure that one stays.
  virtual Result<void> apply(const Delta& delta) = 0;

  virtual CounterSnapshot counters() const = 0;
  virtual FlowSnapshot flows() const = 0;
  virtual AffinitySnapshot affinity() const = 0;
  // As it is in the tables now: read after a start, to plan from.
  virtual LookupTable lookup_table(LookupTableId id) const = 0;
  // The client's port counts where the service hashes it.
  virtual Explanation explain(ServiceId service, const Endpoint& client) const = 0;
  virtual DataplaneStatus status() const = 0;
  // Sees to what the driver runs beside us; to be called several times a second. An error says what
  // happened to it.
  virtual Result<void> look_after() { return {}; }

  // Ends forwarding for good: detaches and removes everything that outlives the process.
  virtual Result<void> remove() = 0;
};

}  // namespace penstock
