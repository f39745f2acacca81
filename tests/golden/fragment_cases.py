# SPDX-License-Identifier: Apache-2.0
"""Fragments follow their first one, in every mode."""
from dataclasses import replace

from builder import APPLIANCE, ROUTER, Case, Piece
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from worlds import KINDS, VIP, backend, client, kind, talk, world

ETHER = Ether(src=ROUTER, dst=APPLIANCE)


def pieces(packet, bytes_each=1480, **fields):
    """Fragments of a packet, in order."""
    behind = len(packet.frame()) - packet.transport_offset()
    return [Piece(packet, start, min(start + bytes_each, behind), **fields)
            for start in range(0, behind, bytes_each)]


def opening(protocol):
    return {"flags": "S"} if protocol == "tcp" else {}


def out_of_order():
    for protocol, family in KINDS:
        t = talk(world(family, protocol), family)
        case = Case(f"{kind(protocol, family)}: fragments follow the first one, in any order",
                    t.appliance)
        whole = t.request(payload=bytes(range(256)) * 16, **opening(protocol))
        first, second, third = pieces(whole)
        case.request_piece(t, first, new=True)
        case.request_piece(t, third)
        case.request_piece(t, second)
        yield case


def answers():
    for family in (4, 6):
        t = talk(world(family, "udp"), family)
        case = Case(f"UDP over IPv{family}: an answer in fragments reaches the client",
                    t.appliance)
        case.request(t, new=True, payload=b"question")
        for piece in pieces(t.answer(payload=bytes(60_000)))[:4]:
            case.answer_piece(t, piece)
        yield case


def other_modes():
    for family in (4, 6):
        for mode, outer in (("dsr", family), ("tunnel", 4), ("tunnel", 6)):
            w = flowless(family, mode, outer)
            t = talk(w, family)
            case = Case(f"UDP over IPv{family}, mode {mode} to IPv{outer}: fragments go together",
                        w)
            for piece in pieces(t.request(payload=bytes(4000)), 1000):
                case.request_piece(t, piece)
            yield case


def flowless(family, mode, outer):
    w = world(family, "udp", tunnel_sources=("198.51.100.0/24", "2001:db8:99::/64"))
    there = replace(backend(outer, "udp"), port=80)
    return replace(w.with_service(1, mode=mode, has_flows=False), backends=(there,))


def unknown():
    for family in (4, 6):
        t = talk(world(family, "udp"), family)
        case = Case(f"UDP over IPv{family}: a later fragment without its first one is dropped",
                    t.appliance)
        first, second, third = pieces(t.request(payload=bytes(4000)))
        case.drops(second.frame(), "fragment_unknown", summary="the second comes first")
        case.request_piece(t, first, new=True)
        case.request_piece(t, second)
        case.wait(35_000)
        case.drops(third.frame(), "fragment_unknown", summary="the third comes too late")
        other = pieces(t.request(payload=bytes(4000)), identification=77)
        case.drops(other[1].frame(), "fragment_unknown", summary="of another datagram")
        elsewhere = replace(t.request(payload=bytes(4000)),
                            destination=client(family, 9))
        case.passes(pieces(elsewhere)[1].frame(), "not_ours", summary="for somebody else")
        yield case


def pings():
    w = world(4, "udp")
    case = Case("IPv4: fragments of an echo request pass", w)
    echo = IP(src=client(4), dst=VIP[4], id=5) / ICMP() / Raw(bytes(3000))
    for offset, fragment in enumerate(echo.fragment()):
        case.passes(bytes(ETHER / fragment), "fragment", summary=f"number {offset}")
    yield case


def nothing_to_follow():
    t = talk(world(6, "udp"), 6)
    request = t.request(payload=b"whole")
    case = Case("IPv6: a fragment header with nothing to follow is stepped over", t.appliance)
    whole = Piece(request, 0, len(request.frame()) - request.transport_offset())
    case.request_piece(t, whole, new=True)
    case.drops(whole.frame()[:60], "truncated", summary="cut short")
    yield case


def cases():
    for group in (out_of_order, answers, other_modes, unknown, pings, nothing_to_follow):
        yield from group()
