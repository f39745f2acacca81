// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/live_flows.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "dataplane/dpdk/segment.h"
#include "dataplane/tables/convert.h"
#include "dataplane/tables/writer.h"
#include "tests/bench/services.h"
#include "tests/walk.h"

namespace penstock::bench {
namespace {

constexpr uint32_t kRoom = 64;  // before a frame

TableSizes sizes_for(uint32_t flows) {
  return {.flow_table_entries = flows > 1'000 ? 1'048'576u : 4'096u,
          .max_services = 64,
          .max_backends = 4096};
}

void use_large_pages(const ps_tables& tables) {
  const auto advise = [](void* memory, size_t bytes) { madvise(memory, bytes, MADV_HUGEPAGE); };
  advise(tables.flows4, tables.flow_sets * sizeof *tables.flows4);
  advise(tables.flows6, tables.flow_sets * sizeof *tables.flows6);
  advise(tables.flow_index4, tables.index_sets * sizeof *tables.flow_index4);
  advise(tables.flow_index6, tables.index_sets * sizeof *tables.flow_index6);
}

template <typename Header>
Header* header_at(Frame& frame, size_t at) {
  return reinterpret_cast<Header*>(frame.bytes.data() + at);
}

ps_tcp* tcp_of(Frame& frame, Family family) {
  return header_at<ps_tcp>(frame,
                           14 + (family == Family::kIpv4 ? sizeof(ps_ipv4) : sizeof(ps_ipv6)));
}

}  // namespace

LiveFlows::LiveFlows(const Traffic& traffic, bool large_pages)
    : traffic_(traffic), tables_(sizes_for(traffic.flows), 1) {
  if (large_pages) use_large_pages(tables());
  configure(false);
  for (uint32_t client = 0; client < traffic.flows; client++) {
    if (establish(client)) clients_.push_back(client);
  }
}

void LiveFlows::configure(bool with_flowless) {
  TableWriter writer(tables(), [] { return Result<void>{}; });
  const auto written =
      writer.apply(configuration(traffic_.family, with_flowless), {LocalInterface{1, kOurMac}});
  if (!written) throw std::runtime_error(written.error().message);
}

bool LiveFlows::walk_once(Frame& frame) const {
  std::array<uint8_t, kRoom + sizeof frame.bytes> room{};
  std::memcpy(room.data() + kRoom, frame.bytes.data(), frame.size);
  ps_handle handle{room.data(), room.data() + kRoom, room.data() + kRoom + frame.size};
  ps_frame walked{.handle = &handle, .interface_index = 1, .now_ticks = dpdk::now_ticks()};
  ps_frame_moved(&walked);
  const bool is_sent = walk(tables(), walked).action == PS_TRANSMIT;
  std::memcpy(frame.bytes.data(), room.data() + kRoom, frame.size);
  return is_sent;
}

// As TCP does it: SYN, SYN-ACK, acknowledgement.
bool LiveFlows::establish(uint32_t client) const {
  Frame opening = request(client, Mode::kNat, PS_TCP_SYN);
  if (!walk_once(opening)) return false;
  turn_round(opening, PS_TCP_SYN | PS_TCP_ACK);
  Frame confirming = request(client, Mode::kNat, PS_TCP_ACK);
  return walk_once(opening) && walk_once(confirming);
}

// Distinct for each client; many ports of many addresses, as behind carrier-grade NAT.
Frame LiveFlows::request(uint32_t client, Mode mode, uint8_t tcp_flags) const {
  const bool v4 = traffic_.family == Family::kIpv4;
  Frame frame{.size = static_cast<uint16_t>(v4 ? 64 : 74)};
  auto* ethernet = header_at<ps_ethernet>(frame, 0);
  std::memcpy(ethernet->destination, kOurMac.bytes.data(), 6);
  std::memcpy(ethernet->source, kPeerMac.bytes.data(), 6);
  ethernet->type = ps_ethertype(static_cast<int>(traffic_.family));
  if (v4) {
    *header_at<ps_ipv4>(frame, 14) = {.version_and_words = 0x45,
                                      .total_length = ps_wire16(40),
                                      .ttl = 64,
                                      .protocol = PS_TCP,
                                      .source = ps_wire32(0x0b000000 + client / 16),
                                      .destination = to_wire(vip(traffic_.family)).word[0]};
  } else {
    auto* ip = header_at<ps_ipv6>(frame, 14);
    ip->version_class_flow = ps_wire32(6u << 28);
    ip->payload_length = ps_wire16(20);
    ip->next_header = PS_TCP;
    ip->hop_limit = 64;
    ip->source.word[0] = ps_wire32(0x20010db8);
    ip->source.word[3] = ps_wire32(client / 16);
    ip->destination = to_wire(vip(traffic_.family));
  }
  *tcp_of(frame, traffic_.family) = {
      .source_port = ps_wire16(static_cast<uint16_t>(10000 + client % 16)),
      .destination_port = ps_wire16(port_of(mode)),
      .acknowledgement = ps_wire32(1),  // of a SYN-ACK with the sequence number 0
      .header_words = 5 << 4,
      .flags = tcp_flags};
  return frame;
}

// What a backend has received becomes its answer.
void LiveFlows::turn_round(Frame& frame, uint8_t tcp_flags) const {
  auto* ethernet = header_at<ps_ethernet>(frame, 0);
  std::memcpy(ethernet->destination, kOurMac.bytes.data(), 6);
  std::memcpy(ethernet->source, kPeerMac.bytes.data(), 6);
  if (traffic_.family == Family::kIpv4) {
    auto* ip = header_at<ps_ipv4>(frame, 14);
    ip->ttl = 64;
    std::swap(ip->source, ip->destination);
  } else {
    auto* ip = header_at<ps_ipv6>(frame, 14);
    ip->hop_limit = 64;
    std::swap(ip->source, ip->destination);
  }
  ps_tcp* tcp = tcp_of(frame, traffic_.family);
  std::swap(tcp->source_port, tcp->destination_port);
  tcp->flags = tcp_flags;
}

std::vector<Frame> LiveFlows::frames(uint32_t count) {
  std::shuffle(clients_.begin(), clients_.end(), std::mt19937(1));
  std::vector<Frame> made;
  for (uint32_t i = 0; i < count && i < clients_.size(); i++) {
    made.push_back(request(clients_[i], traffic_.mode, PS_TCP_ACK));
    if (!traffic_.to_client) continue;
    walk_once(made.back());
    turn_round(made.back(), PS_TCP_ACK);
  }
  if (traffic_.mode != Mode::kNat) configure(true);
  return made;
}

}  // namespace penstock::bench
