# SPDX-License-Identifier: Apache-2.0
"""Chains of IPv6 extension headers: stepped over in every mode and direction, kept as they are; and
those that nobody follows to their end."""
import struct
from dataclasses import dataclass, replace

from builder import APPLIANCE, ROUTER, Case, Error, Piece
from cookie_cases import CookieCase, Handshake
from dnat_cases import dnat_world
from hostile_cases import patched
from icmp_cases import ROUTERS, about_answer, about_request
from scapy.layers.inet6 import (ICMPv6EchoRequest, ICMPv6MLReport2, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN,
                                RouterAlert)
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from stateless_cases import stateless_world, tunnel_world
from worlds import VIP, client, talk, world

ETHER = Ether(src=ROUTER, dst=APPLIANCE)
PROTOCOLS = ("tcp", "udp")
HOP_BY_HOP = IPv6ExtHdrHopByHop(options=[RouterAlert()])
OPTIONS = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(range(12)))])  # 16 bytes
EMPTY = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])  # 8
AT_ITS_END = IPv6ExtHdrRouting(addresses=[client(6, 7)], segleft=0)  # 24


def options_of(length):
    return IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(length - 4))])


CHAINS = {
    "hop-by-hop options": (HOP_BY_HOP,),
    "destination options": (OPTIONS,),
    "a routing header at its end": (AT_ITS_END,),
    "each kind of header": (HOP_BY_HOP, OPTIONS, AT_ITS_END, EMPTY),
    "eight headers": (EMPTY,) * 8,
    "80 bytes": (HOP_BY_HOP, options_of(72)),
}


@dataclass(frozen=True)
class ChainedPiece(Piece):
    """A fragment whose fragment header stands behind some headers of the packet's chain, and before
    the others."""

    headers_before: int = 1

    def frame(self):
        chain = self.whole.chain
        rest = replace(self.whole, chain=chain[self.headers_before:]).frame()
        before = replace(self.whole, chain=chain[:self.headers_before])
        headers = ETHER / before.ip_header() / IPv6ExtHdrFragment(
            nh=rest[20], res1=0xFF, m=int(self.end < len(rest) - 54), offset=self.start // 8,
            id=self.identification) / Raw(rest[54:][self.start:self.end])
        return replace_stations(bytes(headers), self.whole)


def replace_stations(frame, packet):
    return bytes.fromhex((packet.ethernet_destination + packet.ethernet_source)
                         .replace(":", "")) + frame[12:]


def pieces(packet, bytes_each=160, **fields):
    behind = len(replace(packet, chain=packet.chain[fields.get("headers_before", 1):]).frame()) - 54
    return [ChainedPiece(packet, start, min(start + bytes_each, behind), **fields)
            for start in range(0, behind, bytes_each)]


def name(protocol, what):
    return f"{protocol.upper()} over IPv6: {what}"


def flowless_worlds(protocol):
    yield "dsr", stateless_world("dsr", 6, protocol)
    yield "tunnel to IPv4", tunnel_world(6, protocol, 4)
    yield "tunnel to IPv6", tunnel_world(6, protocol, 6)


def conversations():
    for protocol in PROTOCOLS:
        for what, chain in CHAINS.items():
            w = world(6, protocol)
            t = talk(w, 6)
            case = Case(name(protocol, f"both ways behind {what}"), w)
            case.request(t, new=True, flags="S", sequence=100, chain=chain)
            case.answer(t, flags="SA", sequence=900, acknowledgement=101, chain=chain)
            case.request(t, acknowledgement=901, chain=chain, payload=b"odd", flows=(0, 1, 0))
            case.answer(t, chain=chain, payload=b"answer", traffic_class=0xB9, padding=b"padded")
            case.request(t, acknowledgement=901, payload=b"none")
            case.request(t, chain=chain, checksum_error=0x1234)
            yield case


def other_modes():
    for protocol in PROTOCOLS:
        for mode, w in (("dnat", dnat_world(6, protocol)), *flowless_worlds(protocol)):
            t = talk(w, 6)
            case = Case(name(protocol, f"chains of extension headers in mode {mode}"), w)
            for chain in CHAINS.values():
                case.request(t, new=protocol == "tcp", flags="S", chain=chain)
                case.request(t, payload=b"odd", chain=chain, padding=b"padded")
                if mode == "dnat":
                    case.answer(t, payload=b"answer", chain=chain)
            yield case


def own_errors():
    for protocol in PROTOCOLS:
        w = world(6, protocol)
        t = talk(w, 6)
        case = Case(name(protocol, "an error about a packet with a chain quotes it"), w)
        case.request(t, new=True, flags="S")
        for chain in CHAINS.values():
            for packet in (t.request(hops=1, chain=chain, payload=bytes(100)),
                           t.answer(hops=1, chain=chain, payload=bytes(100))):
                case.answers(packet, "ttl_expired", "time exceeded", service=1)
        yield case

        w = tunnel_world(6, protocol, 4).with_backend(1, mtu=400)
        t = talk(w, 6)
        case = Case(name(protocol, "a chain counts where a tunnel is too narrow"), w)
        for chain in CHAINS.values():
            room = 380 - t.request(chain=chain).ip_bytes()
            case.request(t, payload=bytes(room), chain=chain)
            case.answers(t.request(payload=bytes(room + 1), chain=chain), "packet_too_big",
                         "too big", service=1, mtu=380)
        yield case


def errors():
    for protocol in PROTOCOLS:
        w = world(6, protocol)
        t = talk(w, 6)
        case = Case(name(protocol, "errors behind a chain, and about packets with one"), w)
        case.request(t, new=True, flags="S")
        for chain in CHAINS.values():
            for theirs, quoted in ((chain, ()), ((), chain), (chain, chain)):
                answer = t.answer(payload=b"answer", chain=quoted)
                request = t.request(payload=b"question", chain=quoted)
                case.error(t, "backend", *about_answer(t, answer, chain=theirs))
                case.error(t, "client", *about_request(t, request, chain=theirs))
        arriving = about_answer(t, t.answer(), chain=CHAINS["hop-by-hop options"])[0]
        case.drops(replace(arriving, hops=1), "ttl_expired", service=1)
        yield case

        case = Case(name(protocol, "a quoted chain that cannot be followed"), w)
        case.request(t, new=True, flags="S")
        answer = t.answer(payload=b"answer", chain=(OPTIONS,))
        for length in (0, 7, -1, -9, -16):
            cut = about_answer(t, answer, quoted_bytes=length)[0]
            case.passes(cut, "not_ours", summary=f"cut at {length}")
            case.passes(replace(cut, padding=bytes(30)), "not_ours", summary="and padded")
        for chain in ((EMPTY,) * 9, (options_of(88),)):
            about = about_answer(t, t.answer(chain=chain))[0]
            case.passes(about, "not_ours", summary="too long")
        ports = struct.pack("!HH", t.to.port, t.port)
        later = pieces(t.returned(t.answer(payload=ports * 100, chain=(OPTIONS,))))[1]
        case.passes(Error(later, ROUTERS[6], VIP[6]).frame(), "not_ours", summary="later fragment")
        yield case


def errors_in_other_modes():
    for protocol in PROTOCOLS:
        for mode, w in flowless_worlds(protocol):
            t = talk(w, 6)
            case = Case(name(protocol, f"in mode {mode}, errors behind and about chains"), w)
            for chain in CHAINS.values():
                answer = replace(t.request(chain=chain), source=t.to.address, source_port=80,
                                 destination=t.client, destination_port=t.port)
                arriving = Error(answer, ROUTERS[6], VIP[6], chain=chain)
                case.error(t, "backend", arriving, t.forwarded_error(arriving))
            yield case


def fragments():
    for protocol in PROTOCOLS:
        for headers_before in (0, 1, 2, 3):
            w = world(6, protocol)
            t = talk(w, 6)
            case = Case(name(protocol, f"fragments, {headers_before} headers before the fragment "
                             "header"), w)
            chain = (HOP_BY_HOP, AT_ITS_END, OPTIONS)
            flags = {"flags": "S"} if protocol == "tcp" else {}
            # Whoever took what later ones carry for a header would find no next one (59) there.
            whole = t.request(payload=b"\x3b\0" * 256, chain=chain, **flags)
            first, second, third, *_ = pieces(whole, headers_before=headers_before)
            case.drops(second.frame(), "fragment_unknown", summary="the second comes first")
            case.request_piece(t, first, new=True)
            case.request_piece(t, third)
            case.request_piece(t, second)
            other = pieces(whole, headers_before=headers_before, identification=77)[1]
            case.drops(other.frame(), "fragment_unknown", summary="of another datagram")
            for piece in pieces(t.answer(payload=bytes(400), chain=chain),
                                headers_before=headers_before):
                case.answer_piece(t, piece)
            yield case

        for mode, w in (("dnat", dnat_world(6, protocol)), *flowless_worlds(protocol)):
            t = talk(w, 6)
            case = Case(name(protocol, f"in mode {mode}, fragments with chains"), w)
            whole = t.request(payload=bytes(400), chain=(HOP_BY_HOP, OPTIONS))
            for piece in pieces(whole):
                case.request_piece(t, piece)
            yield case


def syn_cookies():
    case = CookieCase("behind a chain of extension headers", 6)
    pair = Handshake(case)
    chain = (HOP_BY_HOP, OPTIONS)
    case.drops(replace(pair.syn, chain=chain), "syn_cookie", 1)
    pair.answered()
    case.passes(pair.ours(chain=chain), "no_flow", 1)
    pair.shows()
    pair.syn_ack()
    for what in CHAINS.values():
        pair.request(chain=what, payload=b"question")
        pair.answer(chain=what, payload=b"answer", flows=(0, 1, 0))
    yield case


def not_followed():
    for protocol in PROTOCOLS:
        w = world(6, protocol)
        t = talk(w, 6)
        elsewhere = replace(t.request(), destination=client(6, 9))
        refused = {
            "nine headers": (EMPTY,) * 9,
            "88 bytes": (HOP_BY_HOP, options_of(80)),
            "2048 bytes": (IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(255))] * 7 + [
                PadN(optdata=bytes(2048 - 4 - 7 * 257))]),),
            "a segment left": (IPv6ExtHdrRouting(addresses=[client(6, 7)], segleft=1),),
            "255 segments left": (IPv6ExtHdrRouting(addresses=[client(6, 7)], segleft=255),),
            "two fragment headers": (IPv6ExtHdrFragment(id=1), IPv6ExtHdrFragment(id=1)),
        }
        case = Case(name(protocol, "a chain that is not followed to its end is dropped for a "
                         "service"), w)
        for what, chain in refused.items():
            case.drops(t.request(flags="S", chain=chain), "extension_headers", summary=what)
            case.drops(t.request(flags="S", chain=(HOP_BY_HOP, *chain)), "extension_headers",
                       summary=f"hop-by-hop options and {what}")
            case.passes(replace(elsewhere, chain=chain), "not_ours", summary="somebody else's")
        case.passes(replace(elsewhere, chain=(HOP_BY_HOP,)), "not_ours")
        yield case


def malformed():
    for protocol in PROTOCOLS:
        w = world(6, protocol)
        t = talk(w, 6)
        frame = t.request(flags="S", chain=(HOP_BY_HOP, OPTIONS)).frame()
        case = Case(name(protocol, "chains that end somewhere else than their packet"), w)
        for payload_bytes in (0, 4, 7, 8, 12, 23):
            says = patched(frame, {18: payload_bytes.to_bytes(2, "big")})
            summary = f"the packet ends behind {payload_bytes} bytes of 24"
            case.drops(says, "malformed", summary=summary)
            case.drops(says[:54 + payload_bytes], "malformed", summary="the frame, too")
        says = patched(frame, {18: (24).to_bytes(2, "big")})
        case.drops(says[:78], "truncated", summary="with no transport header")
        short = 24 + (19 if protocol == "tcp" else 7)
        says = patched(frame, {18: short.to_bytes(2, "big")})
        case.drops(says, "truncated", summary="with a part of one")
        for length in (54, 60, 62, 70, 78, 85):
            case.drops(frame[:length], "truncated", summary=f"cut to {length} bytes")
        case.drops(patched(frame, {63: b"\x08"}), "malformed", summary="a header beyond the end")
        yield case


def not_ours():
    for what in ("hop-by-hop options", "destination options", "a routing header at its end"):
        first, = CHAINS[what]
        case = Case(f"IPv6: not ours behind {what}", world(6, "tcp"))
        for number in (59, 50, 51, 132, 135):
            header = first.copy()
            header.nh = number
            packet = IPv6(src=client(6), dst=VIP[6]) / header / Raw(bytes(40))
            case.passes(bytes(ETHER / packet), "not_ours", summary=f"next header {number}")
        echo = IPv6(src=client(6), dst=VIP[6]) / first / ICMPv6EchoRequest(data=b"ping")
        case.passes(bytes(ETHER / echo), "not_ours", summary="an echo request")
        report = IPv6(src="fe80::1", dst="ff02::16", hlim=1) / first / ICMPv6MLReport2()
        case.passes(bytes(ETHER / report), "not_ours", summary="a multicast listener's report")
        to_group = Ether(src=ROUTER, dst="33:33:00:00:00:16") / report
        case.passes(bytes(to_group), "not_ours", summary="to the group's MAC address")
        yield case


def cases():
    for group in (conversations, other_modes, own_errors, errors, errors_in_other_modes, fragments,
                  syn_cookies, not_followed, malformed, not_ours):
        yield from group()
