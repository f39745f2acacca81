// SPDX-License-Identifier: Apache-2.0
// A world for tests of the core: tables in memory with four services over a few backends, packets
// as values, and a clock that the test turns.
//
// Service 1 is TCP and 2 UDP on IPv4, 3 and 4 the same on IPv6; backend ids are 1 + service * 16 +
// n.
#pragma once

#include <string>
#include <vector>

#include "dataplane/tables/frame_buffer.h"
#include "dataplane/tables/layout.h"
#include "dataplane/tables/writer.h"

#include "dataplane/core/walk.h"

namespace penstock {

struct Packet {
  Protocol protocol = Protocol::kTcp;
  Endpoint source;
  Endpoint destination;
  uint8_t tcp_flags = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgement = 0;
  MacAddress from;
  MacAddress to;
  uint8_t hops = 64;
};

// An Ethernet frame with right checksums, and back.
std::vector<uint8_t> frame_of(const Packet& packet);
Packet packet_of(const std::vector<uint8_t>& frame);
// By full computation over the whole frame (RFC 1071), not by the core's updates.
bool checksums_hold(const std::vector<uint8_t>& frame);

struct Sent {
  ps_verdict verdict{};
  Packet packet;  // as it left, or as it was
  bool checksums_hold = false;

  bool forwarded() const { return verdict.action == PS_TRANSMIT; }
};

struct WorldOptions {
  uint32_t flow_table_entries = 16384;
  uint32_t backends = 4;  // of each service
  uint16_t port_first = 20000;
  uint16_t port_last = 32767;
  uint32_t workers = 1;
  uint32_t services = 8;  // that there is room for, with one that is none
};

class CoreWorld {
 public:
  explicit CoreWorld(const WorldOptions& options = {});

  static constexpr uint32_t kInterface = 2;
  static constexpr uint32_t kHandshakeIsn = 7000;  // of every backend

  static ServiceId service_id(Family family, Protocol protocol = Protocol::kTcp);
  static Endpoint vip(Family family, Protocol protocol = Protocol::kTcp);
  static Endpoint client(Family family, uint32_t number);  // distinct addresses and ports

  // One packet through the walk at the world's time, or by a clock that is ahead of it.
  Sent send(const Packet& packet, uint32_t worker = 0, uint32_t ticks_ahead = 0) const;
  Sent from_client(const Endpoint& client, uint8_t flags, uint32_t acknowledgement = 0) const;
  Sent datagram(const Endpoint& client) const;
  // The backend's answer to what it was sent.
  Sent answer(const Packet& received, uint8_t flags = 0, uint32_t sequence = 0) const;

  // A whole handshake; answers what became of the SYN.
  Sent establish(const Endpoint& client) const;
  // The state of the client's flow; PS_FLOW_FREE: none that a packet would find.
  uint32_t state_of(const Endpoint& client, Protocol protocol = Protocol::kTcp) const;

  void wait_ticks(uint32_t ticks) { now_ticks += ticks; }
  // Publishes `state` and `interfaces` as they were changed; services named in `dealt` get their
  // lookup tables dealt anew over `takers`.
  void publish(ServiceId dealt = 0, const std::vector<BackendId>& takers = {});
  const ps_tables& tables() const { return memory_.tables(); }

  ForwardingState state;
  std::vector<LocalInterface> interfaces;  // kInterfaces at first
  uint32_t now_ticks = 1000;
  Packet header;  // what every client packet has: its MACs and hops

 private:
  AnonymousTables memory_;
  TableWriter writer_;
};

// The first backend's id of a service, and its last.
BackendId backend_id(ServiceId service, uint32_t number);

// Takers in turn over all slots.
LookupTable dealt_over(const std::vector<BackendId>& takers);

inline const std::vector<LocalInterface> kInterfaces{
    {CoreWorld::kInterface, {{2, 0, 0, 0, 0, 0xfe}}}};

constexpr uint8_t kSyn = PS_TCP_SYN;
constexpr uint8_t kAck = PS_TCP_ACK;
constexpr uint8_t kFin = PS_TCP_FIN;
constexpr uint8_t kRst = PS_TCP_RST;

}  // namespace penstock
