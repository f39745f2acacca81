// SPDX-License-Identifier: Apache-2.0
// Frames byte by byte, and the world's tables.
#include "core_world.h"

#include <fmt/format.h>

#include <cstring>

#include "dataplane/tables/convert.h"
#include "tests/walk.h"

namespace penstock {
namespace {

constexpr size_t kEthernetBytes = 14;
constexpr MacAddress kRouter{{2, 0, 0, 0, 0, 1}};
constexpr const char* kPayload = "penstock";

using Bytes = std::vector<uint8_t>;

void put(Bytes& bytes, uint64_t value, int width) {
  for (int i = width - 1; i >= 0; i--) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint32_t get(const Bytes& bytes, size_t at, int width) {
  uint32_t value = 0;
  for (int i = 0; i < width; i++) value = value << 8 | bytes[at + static_cast<size_t>(i)];
  return value;
}

void put_address(Bytes& bytes, const IpAddress& address) {
  bytes.insert(bytes.end(), address.bytes.begin(),
               address.bytes.begin() + (address.is_ipv4() ? 4 : 16));
}

uint16_t sum_of(uint32_t start, const Bytes& bytes, size_t from, size_t to) {
  uint64_t sum = start;
  for (size_t i = from; i < to; i++) sum += i % 2 == from % 2 ? bytes[i] * 256u : bytes[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

bool is_ipv4_frame(const Bytes& frame) {
  return get(frame, 12, 2) == PS_ETHERTYPE_IPV4;
}

size_t transport_at(const Bytes& frame) {
  return kEthernetBytes + (is_ipv4_frame(frame) ? 20 : 40);
}

uint8_t protocol_of(const Bytes& frame) {
  return frame[kEthernetBytes + (is_ipv4_frame(frame) ? 9 : 6)];
}

// Of the transport header, its payload and the pseudo header.
uint16_t transport_sum(const Bytes& frame) {
  const size_t at = transport_at(frame);
  const size_t addresses = is_ipv4_frame(frame) ? 8 : 32;
  const auto pseudo = static_cast<uint32_t>(protocol_of(frame) + frame.size() - at);
  return sum_of(sum_of(pseudo, frame, at - addresses, at), frame, at, frame.size());
}

void set_checksum(Bytes& frame, size_t at, uint16_t sum) {
  frame[at] = static_cast<uint8_t>(~sum >> 8);
  frame[at + 1] = static_cast<uint8_t>(~sum);
}

Bytes transport_of(const Packet& packet) {
  const size_t payload = std::strlen(kPayload);
  Bytes bytes;
  put(bytes, packet.source.port, 2);
  put(bytes, packet.destination.port, 2);
  if (packet.protocol == Protocol::kTcp) {
    put(bytes, packet.sequence, 4);
    put(bytes, packet.acknowledgement, 4);
    put(bytes, 0x50, 1);
    put(bytes, packet.tcp_flags, 1);
    put(bytes, 0xffff, 2);
    put(bytes, 0, 4);
  } else {
    put(bytes, 8 + payload, 2);
    put(bytes, 0, 2);
  }
  bytes.insert(bytes.end(), kPayload, kPayload + payload);
  return bytes;
}

Bytes ip_header_of(const Packet& packet, size_t payload_bytes) {
  Bytes bytes;
  if (packet.source.address.is_ipv4()) {
    put(bytes, 0x4500, 2);
    put(bytes, 20 + payload_bytes, 2);
    put(bytes, 0x12340000, 4);
    put(bytes, packet.hops, 1);
    put(bytes, static_cast<uint8_t>(packet.protocol), 1);
    put(bytes, 0, 2);
  } else {
    put(bytes, 0x60000000, 4);
    put(bytes, payload_bytes, 2);
    put(bytes, static_cast<uint8_t>(packet.protocol), 1);
    put(bytes, packet.hops, 1);
  }
  put_address(bytes, packet.source.address);
  put_address(bytes, packet.destination.address);
  return bytes;
}

IpAddress address_at(const Bytes& frame, size_t at) {
  IpAddress address;
  address.family = is_ipv4_frame(frame) ? Family::kIpv4 : Family::kIpv6;
  std::memcpy(address.bytes.data(), frame.data() + at, address.is_ipv4() ? 4 : 16);
  return address;
}

Endpoint endpoint(const std::string& text) {
  return Endpoint::parse(text).value();
}

std::string bracketed(Family family, const std::string& address, uint32_t port) {
  return family == Family::kIpv4 ? fmt::format("{}:{}", address, port)
                                 : fmt::format("[{}]:{}", address, port);
}

void add_service(ForwardingState& state, Family family, Protocol protocol, uint32_t backends) {
  const ServiceId id = CoreWorld::service_id(family, protocol);
  const uint8_t bits = family == Family::kIpv4 ? 32 : 128;
  state.services[id] = {protocol, CoreWorld::vip(family, protocol), bits, own_lookup_table(id, 0)};
  for (uint32_t n = 0; n < backends; n++) {
    BackendEntry entry;
    entry.protocol = protocol;
    const std::string prefix = family == Family::kIpv4 ? "10.0.0." : "2001:db8:10::";
    entry.endpoint = endpoint(bracketed(family, prefix + std::to_string(n + 1), 3000 + n));
    entry.next_hop = NextHop{
        CoreWorld::kInterface, kInterfaces[0].mac, {{2, 0, 0, 0, 1, static_cast<uint8_t>(n + 1)}}};
    state.backends[backend_id(id, n)] = entry;
  }
}

}  // namespace

Bytes frame_of(const Packet& packet) {
  const Bytes transport = transport_of(packet);
  Bytes frame(packet.to.bytes.begin(), packet.to.bytes.end());
  frame.insert(frame.end(), packet.from.bytes.begin(), packet.from.bytes.end());
  put(frame, packet.source.address.is_ipv4() ? PS_ETHERTYPE_IPV4 : PS_ETHERTYPE_IPV6, 2);
  const Bytes ip = ip_header_of(packet, transport.size());
  frame.insert(frame.end(), ip.begin(), ip.end());
  const size_t at = frame.size();
  frame.insert(frame.end(), transport.begin(), transport.end());
  if (is_ipv4_frame(frame)) {
    set_checksum(frame, kEthernetBytes + 10, sum_of(0, frame, kEthernetBytes, at));
  }
  const size_t checksum = at + (packet.protocol == Protocol::kTcp ? 16 : 6);
  set_checksum(frame, checksum, transport_sum(frame));
  return frame;
}

Packet packet_of(const Bytes& frame) {
  const bool ipv4 = is_ipv4_frame(frame);
  const size_t at = transport_at(frame);
  const size_t source = at - (ipv4 ? 8 : 32);
  Packet packet;
  packet.protocol = static_cast<Protocol>(protocol_of(frame));
  packet.source = {address_at(frame, source), static_cast<uint16_t>(get(frame, at, 2))};
  packet.destination = {address_at(frame, source + (ipv4 ? 4 : 16)),
                        static_cast<uint16_t>(get(frame, at + 2, 2))};
  if (packet.protocol == Protocol::kTcp) {
    packet.sequence = get(frame, at + 4, 4);
    packet.acknowledgement = get(frame, at + 8, 4);
    packet.tcp_flags = frame[at + 13];
  }
  std::memcpy(packet.to.bytes.data(), frame.data(), 6);
  std::memcpy(packet.from.bytes.data(), frame.data() + 6, 6);
  packet.hops = frame[kEthernetBytes + (ipv4 ? 8 : 7)];
  return packet;
}

bool checksums_hold(const Bytes& frame) {
  if (is_ipv4_frame(frame) && sum_of(0, frame, kEthernetBytes, kEthernetBytes + 20) != 0xffff) {
    return false;
  }
  return transport_sum(frame) == 0xffff;
}

BackendId backend_id(ServiceId service, uint32_t number) {
  return static_cast<BackendId>(1 + service * 16 + number);
}

LookupTable dealt_over(const std::vector<BackendId>& takers) {
  LookupTable table(kLookupTableSlots, 0);
  for (size_t i = 0; i < table.size() && !takers.empty(); i++) table[i] = takers[i % takers.size()];
  return table;
}

CoreWorld::CoreWorld(const WorldOptions& options)
    : interfaces(kInterfaces),
      memory_({options.flow_table_entries, options.services, 128, 0, 0, 128}, options.workers),
      writer_(memory_.tables(), [] { return Result<void>{}; }) {
  header.from = kRouter;
  header.to = interfaces[0].mac;
  state.settings.hash_key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  state.settings.snat_addresses = {*IpAddress::parse("10.0.0.254"),
                                   *IpAddress::parse("2001:db8:10::fe")};
  state.settings.snat_port_first = options.port_first;
  state.settings.snat_port_last = options.port_last;
  state.settings.tcp_half_open_timeout = std::chrono::seconds(10);
  state.settings.tcp_established_timeout = std::chrono::hours(2);
  state.settings.tcp_closing_timeout = std::chrono::seconds(30);
  state.settings.udp_half_open_timeout = std::chrono::seconds(10);
  state.settings.udp_established_timeout = std::chrono::minutes(3);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    for (const Protocol protocol : {Protocol::kTcp, Protocol::kUdp}) {
      add_service(state, family, protocol, options.backends);
      std::vector<BackendId> takers;
      const ServiceId id = service_id(family, protocol);
      for (uint32_t n = 0; n < options.backends; n++) takers.push_back(backend_id(id, n));
      publish(id, takers);
    }
  }
}

ServiceId CoreWorld::service_id(Family family, Protocol protocol) {
  return static_cast<ServiceId>((family == Family::kIpv4 ? 1 : 3) + (protocol == Protocol::kUdp));
}

Endpoint CoreWorld::vip(Family family, Protocol protocol) {
  return endpoint(bracketed(family, family == Family::kIpv4 ? "203.0.113.10" : "2001:db8:113::10",
                            protocol == Protocol::kTcp ? 80 : 53));
}

Endpoint CoreWorld::client(Family family, uint32_t number) {
  Endpoint client;
  client.address.family = family;
  auto& bytes = client.address.bytes;
  if (family == Family::kIpv4) {
    bytes = {198, static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 8),
             static_cast<uint8_t>(number)};
  } else {
    bytes = {0x20, 1, 0xd, 0xb8, 0, 0x18};
    for (size_t i = 0; i < 4; i++) bytes[15 - i] = static_cast<uint8_t>(number >> (8 * i));
  }
  client.port = static_cast<uint16_t>(40000 + number % 20000);
  return client;
}

Sent CoreWorld::send(const Packet& packet, uint32_t worker, uint32_t ticks_ahead) const {
  Bytes bytes = frame_of(packet);
  ps_handle buffer{bytes.data(), bytes.data(), bytes.data() + bytes.size()};
  const ps_frame frame{buffer.data, buffer.end, &buffer,
                       kInterface,  worker,     now_ticks + ticks_ahead};
  Sent sent;
  sent.verdict = walk(tables(), frame);
  sent.packet = packet_of(bytes);
  sent.checksums_hold = checksums_hold(bytes);
  return sent;
}

Sent CoreWorld::from_client(const Endpoint& client, uint8_t flags, uint32_t acknowledgement) const {
  Packet packet = header;
  packet.source = client;
  packet.destination = vip(client.address.family);
  packet.tcp_flags = flags;
  packet.acknowledgement = acknowledgement;
  return send(packet);
}

Sent CoreWorld::datagram(const Endpoint& client) const {
  Packet packet = header;
  packet.protocol = Protocol::kUdp;
  packet.source = client;
  packet.destination = vip(client.address.family, Protocol::kUdp);
  return send(packet);
}

Sent CoreWorld::answer(const Packet& received, uint8_t flags, uint32_t sequence) const {
  Packet packet = received;
  std::swap(packet.source, packet.destination);
  std::swap(packet.from, packet.to);
  packet.tcp_flags = flags;
  packet.sequence = sequence;
  packet.hops = 64;
  return send(packet);
}

Sent CoreWorld::establish(const Endpoint& client) const {
  const Sent syn = from_client(client, kSyn);
  if (!syn.forwarded()) return syn;
  answer(syn.packet, kSyn | kAck, kHandshakeIsn);
  from_client(client, kAck, kHandshakeIsn + 1);
  return syn;
}

uint32_t CoreWorld::state_of(const Endpoint& client, Protocol protocol) const {
  const int family = family_number(client.address);
  const ps_address remote = to_wire(client.address);
  const Endpoint service = vip(client.address.family, protocol);
  const ps_address local = to_wire(service.address);
  const ps_tuple tuple{&remote, &local, ps_wire16(client.port), ps_wire16(service.port),
                       static_cast<uint8_t>(protocol)};
  const uint32_t generation = tables().control->generation & 1;
  const ps_settings* settings = ps_settings_at(&tables(), generation);
  ps_known_flow known{};
  known.hash = ps_tuple_hash(settings, family, &tuple);
  known.now = now_ticks;
  ps_find_client(&tables(), settings, generation, family, &tuple, &known);
  __u64 word = 0;
  const bool alive = known.entry && ps_flow_of_entry(&tables(), settings, generation, family,
                                                     known.entry, known.onward, now_ticks, &word);
  return alive ? ps_flow_state(word) : static_cast<uint32_t>(PS_FLOW_FREE);
}

void CoreWorld::publish(ServiceId dealt, const std::vector<BackendId>& takers) {
  Delta delta;
  if (dealt) {
    ServiceEntry& service = state.services[dealt];
    service.lookup_table ^= 1;
    delta.lookup_tables[service.lookup_table] = dealt_over(takers);
  }
  delta.next = state;
  if (auto applied = writer_.apply(delta, interfaces); !applied) {
    throw std::runtime_error(applied.error().message);
  }
}

}  // namespace penstock
