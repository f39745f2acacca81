// SPDX-License-Identifier: Apache-2.0
// The rules are the design's, told in the terms of packet_view.h; each line of require() is one.
#include "tests/fuzz/judge.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/judge_cookies.h"
#include "tests/fuzz/packet_view.h"

namespace penstock::fuzz {
namespace {

const Passage* judged = nullptr;

void print(const char* name, const Bytes& frame) {
  std::fprintf(stderr, "%s (%zu bytes): ", name, frame.size());
  for (const uint8_t byte : frame) std::fprintf(stderr, "%02x", byte);
  std::fprintf(stderr, "\n");
}

bool is_answered(ps_reason reason) {
  return reason == PS_REASON_ttl_expired || reason == PS_REASON_packet_too_big ||
         reason == PS_REASON_syn_cookie;
}

bool is_same(const Bytes& a, size_t a_from, const Bytes& b, size_t b_from, size_t bytes) {
  if (a.size() < a_from + bytes || b.size() < b_from + bytes) return false;
  const auto from = a.begin() + static_cast<ptrdiff_t>(a_from);
  return std::equal(from, from + static_cast<ptrdiff_t>(bytes),
                    b.begin() + static_cast<ptrdiff_t>(b_from));
}

// What is refused because nobody may be told of it, or for want of room, may have been changed.
void judge_refused(const Passage& passage) {
  const bool may_change = passage.action == Action::kDrop &&
                          (is_answered(passage.reason) || passage.reason == PS_REASON_no_room);
  require(may_change || passage.in == passage.out, "a frame that stays is left as it is");
}

// Headers but for what translation and a hop change.
void judge_header(const PacketView& in, const PacketView& out) {
  require(in.ip_bytes() == out.ip_bytes() && in.transport - in.ip == out.transport - out.ip,
          "lengths stay");
  require(in.protocol == out.protocol, "the protocol stays");
  require(in.hops == out.hops + 1, "the packet spends one hop");
  const size_t until_hops = in.is_ipv4 ? 8 : 7;
  require(is_same(*in.frame, in.ip, *out.frame, out.ip, until_hops), "the header's begin stays");
  if (!in.is_ipv4) {
    require(is_same(*in.frame, in.ip + 40, *out.frame, out.ip + 40, in.transport - in.ip - 40),
            "an extension header stays");
    return;
  }
  require(header_sum(in) == header_sum(out), "an IPv4 header's checksum is updated");
  require(is_same(*in.frame, in.ip + 20, *out.frame, out.ip + 20, in.transport - in.ip - 20),
          "IPv4 options stay");
}

// Which chains of IPv6 extension headers are stepped over.
void judge_chain(const PacketView& in) {
  if (in.is_ipv4) return;
  require(in.extensions <= 8 && in.transport - in.ip <= 40 + 80, "a chain has its bounds");
  require(in.fragment_headers <= 1, "a packet is no fragment twice");
  require(!in.is_routed_on, "what is routed on is not forwarded");
}

void judge_quotation(const PacketView& in, const PacketView& out) {
  const auto before = quoted_in(in);
  const auto after = quoted_in(out);
  require(before && after, "an error quotes a packet");
  require(before->end == after->end && before->hops == after->hops, "the quotation stays as it is");
  if (in.is_ipv4) require(header_sum(*before) == header_sum(*after), "a quoted header's checksum");
  const size_t whole = before->transport + (before->protocol == 6 ? 20 : 8);
  if (whole > before->end || !has_checksum(*before)) return;
  require(payload_sum(*before) == payload_sum(*after), "a quoted checksum is updated");
}

// Transport headers lie inside what carries them, by their own word too.
void judge_transport(const PacketView& in) {
  require(in.has_ports(), "only TCP, UDP and ICMP errors are forwarded");
  const size_t payload_bytes = in.end - in.transport;
  const size_t least = in.protocol == 6 ? 20 : 8;
  require(payload_bytes >= least, "a transport header is there");
  const size_t told = in.protocol == 6 ? (in.frame->at(in.transport + 12) >> 4) * 4u
                                       : load16(*in.frame, in.transport + 4);
  const bool may_be_more = in.is_fragment && in.protocol == 17;  // its length is of all together
  require(told >= least && (told <= payload_bytes || may_be_more),
          "a transport header does not contradict IP's");
}

// From the ports or the quotation on.
void judge_payload(const PacketView& in, const PacketView& out) {
  require(has_checksum(in) == has_checksum(out), "a checksum stays, or its absence does");
  if (has_checksum(in)) require(payload_sum(in) == payload_sum(out), "a checksum is updated");
  if (in.is_later) {
    require(in.protocol == 6 || in.protocol == 17 || (!in.is_ipv4 && is_extension(in.protocol)),
            "only TCP's and UDP's fragments are forwarded");
    require(is_same(*in.frame, in.transport, *out.frame, out.transport,
                    in.frame->size() - in.transport),
            "what a later fragment carries stays");
    return;
  }
  if (in.is_icmp()) {
    require(!in.is_fragment, "an error in fragments is not forwarded");
    require(is_same(*in.frame, in.transport, *out.frame, out.transport, 2), "an error's kind");
    require(is_same(*in.frame, in.end, *out.frame, out.end, in.frame->size() - in.end),
            "what pads a frame stays");
    return judge_quotation(in, out);
  }
  const size_t checksum = in.checksum_at() - in.transport;
  require(is_same(*in.frame, in.transport + 4, *out.frame, out.transport + 4, checksum - 4),
          "what is between ports and checksum stays");
  const size_t after = in.checksum_at() + 2;
  require(is_same(*in.frame, after, *out.frame, after + out.transport - in.transport,
                  in.frame->size() - after),
          "what is after the checksum stays");
}

void judge_addresses(const PacketView& in, const PacketView& out, const Places& places) {
  if (in.source == out.source && in.destination == out.destination) {
    require(places.vips.contains(in.destination), "what is handed over is for a VIP");
    require(is_same(*in.frame, in.transport, *out.frame, out.transport,
                    in.frame->size() - in.transport),
            "what is handed over stays as it is");
  } else if (places.vips.contains(in.destination)) {
    require(places.snats.contains(out.source), "a translated packet comes from a SNAT address");
    require(places.backends.contains(out.destination), "a client's packet goes to a backend");
    if (!out.has_ports()) return;
    require(out.port(0) >= places.snat_port_first && out.port(0) <= places.snat_port_last,
            "a source port is one of the pool");
  } else {
    require(places.snats.contains(in.destination), "an answer is to a SNAT address");
    require(places.vips.contains(out.source), "an answer leaves from a VIP");
  }
}

void judge_outer(const Passage& passage, const PacketView& outer, const Places& places) {
  const auto in = view_of(passage.in);
  const size_t header_bytes = outer.transport - outer.ip;
  require(in && header_bytes == (outer.is_ipv4 ? 20 : 40), "an outer header has no options");
  require(passage.out.size() == passage.in.size() + header_bytes, "a frame grows by the header");
  require(outer.protocol == (in->is_ipv4 ? 4 : 41), "the outer header tells the inner family");
  require(outer.ip_bytes() == in->ip_bytes() + header_bytes, "the outer packet holds the inner");
  require(places.mtu == 0 || outer.ip_bytes() <= places.mtu, "what does not fit is not sent");
  require(outer.hops == 64, "an outer packet's hops begin anew");
  if (outer.is_ipv4) require(header_sum(outer) == 0, "an outer header's checksum is right");
  require(places.backends.contains(outer.destination), "an outer packet goes to a backend");
  const auto inner = view_at(passage.out, in->is_ipv4, outer.transport);
  require(inner.has_value(), "an inner packet is there");
  judge_header(*in, *inner);
  judge_addresses(*in, *inner, places);
}

void judge_forwarded(const Passage& passage, const Places& places) {
  const auto in = view_of(passage.in);
  const auto out = view_of(passage.out);
  require(in.has_value(), "only an IP packet inside its frame is forwarded");
  require(out.has_value(), "an IP packet that leaves lies inside its frame");
  require(in->hops > 1, "a packet with no hop left is not forwarded");
  judge_chain(*in);
  if (!in->is_icmp() && !in->is_later) judge_transport(*in);
  if (places.has_cookies && in->protocol == 6 && in->has_ports() && out->protocol == 6) {
    require(in->hops == out->hops + 1, "the packet spends one hop");
    if (out->is_ipv4) require(header_sum(*in) == header_sum(*out), "an IPv4 header's checksum");
    judge_addresses(*in, *out, places);
    return judge_segment(*in, *out);
  }
  if (passage.in.size() != passage.out.size()) return judge_outer(passage, *out, places);
  require(in->is_ipv4 == out->is_ipv4, "the family stays");
  judge_header(*in, *out);
  judge_payload(*in, *out);
  judge_addresses(*in, *out, places);
}

// An error of our own, about the packet that came in; or a cookie.
void judge_answer(const Passage& passage) {
  const auto in = view_of(passage.in);
  const auto out = view_of(passage.out);
  if (passage.reason == PS_REASON_syn_cookie) {
    require(in && out && passage.egress == passage.ingress, "an answer goes the way back");
    return judge_cookie(*in, *out);
  }
  require(in && out && out->end == passage.out.size(), "an error fills its frame");
  require(out->is_icmp() && in->is_ipv4 == out->is_ipv4, "an error is ICMP of the family");
  require(!in->is_icmp() && (!in->is_ipv4 || !in->is_later),
          "no error is about another one, or a later fragment");
  require(out->source == in->destination && out->destination == in->source, "it goes back");
  require(out->hops == 64 && passage.egress == passage.ingress, "by the way that it came");
  if (out->is_ipv4) require(header_sum(*out) == 0, "an error's header checksum is right");
  require((payload_sum(*out) + length_sum(*out)) % 65535 == 0, "an error's checksum is right");
  const size_t quoted = out->transport + 8;
  require(out->end - quoted <= 128 && out->end - quoted <= in->ip_bytes(), "it quotes what is");
  require(is_same(passage.out, quoted, passage.in, in->ip, out->end - quoted),
          "it quotes what came");
  require(is_same(passage.out, 0, passage.in, 6, 6) && is_same(passage.out, 6, passage.in, 0, 6),
          "it goes to the station that the packet came from");
}

void judge_ethernet(const Passage& passage) {
  const auto is_own = [&](const LocalInterface& interface) {
    return interface.index == passage.egress &&
           std::equal(interface.mac.bytes.begin(), interface.mac.bytes.end(),
                      passage.out.begin() + 6);
  };
  require(passage.out.size() > kEthernetBytes, "a frame has a header");
  require(std::any_of(kInterfaces.begin(), kInterfaces.end(), is_own),
          "a frame leaves by an interface of ours, from its address");
}

}  // namespace

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  if (judged != nullptr) {
    std::fprintf(stderr, "action %d, reason %d, interface %u to %u\n",
                 static_cast<int>(judged->action), static_cast<int>(judged->reason),
                 judged->ingress, judged->egress);
    print("in ", judged->in);
    print("out", judged->out);
  }
  std::abort();
}

void judge(const Passage& passage, const Places& places) {
  judged = &passage;
  if (passage.action != Action::kTransmit) {
    judge_refused(passage);
  } else {
    judge_ethernet(passage);
    if (passage.reason == PS_REASON_NONE) {
      judge_forwarded(passage, places);
    } else {
      judge_answer(passage);
    }
  }
  judged = nullptr;
}

}  // namespace penstock::fuzz
