# SPDX-License-Identifier: Apache-2.0
"""Packets that are not forwarded: not ours, cut short, contradicting themselves, or out of luck."""
import struct
from dataclasses import replace

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (ICMPv6EchoRequest, ICMPv6ND_NS, IPv6, IPv6ExtHdrDestOpt,
                                IPv6ExtHdrFragment, IPv6ExtHdrHopByHop)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from builder import APPLIANCE, ROUTER, Case, Packet
from forwarding_cases import opening
from worlds import KINDS, SNAT, VIP, backend, client, kind, open_connection, talk, world

ETHER = Ether(src=ROUTER, dst=APPLIANCE)


def patched(frame, changes):
    """The frame with the bytes at these offsets set; checksums are left as they were."""
    changed = bytearray(frame)
    for offset, value in changes.items():
        changed[offset:offset + len(value)] = value
    return bytes(changed)


def not_ours():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        first = opening(t)
        other = "udp" if protocol == "tcp" else "tcp"
        case = Case(f"{kind(protocol, family)}: what is not for a service passes untouched", w)
        vip = VIP[family]
        for what, changes in (
                ("another port of the VIP", {"destination_port": 81}),
                ("the service's port of another address", {"destination": client(family, 99)}),
                ("the service's port in the other protocol", {"protocol": other}),
                ("the appliance's own SSH", {"destination": SNAT[family], "destination_port": 22}),
                ("the port below the pool", {"destination": SNAT[family],
                                             "destination_port": 19999}),
                ("the port above the pool", {"destination": SNAT[family],
                                             "destination_port": 20001}),
                ("a pool port of an address that has none", {"destination": vip,
                                                             "destination_port": 20000}),
                ("the last hop to another port", {"destination_port": 81, "hops": 1}),
                ("a frame to another station", {"ethernet_destination": "02:00:00:00:00:99"}),
                ("a frame to everybody", {"ethernet_destination": "ff:ff:ff:ff:ff:ff"}),
                ("a frame to a group", {"ethernet_destination": "01:00:5e:00:00:01"})):
            fields = {"protocol": protocol, "source": t.client, "source_port": 40000,
                      "destination": vip, "destination_port": 80, **first, **changes}
            case.passes(Packet(**fields), "not_ours", summary=what)
        yield case

        yield foreign_answers(protocol, family)

        case = Case(f"{kind(protocol, family)}: an interface that is not forwarded on passes all",
                    world(family, protocol, interfaces=((7, APPLIANCE),)))
        case.passes(t.request(**first), "not_ours")
        yield case

    for family in (4, 6):
        w = world(family, "tcp")
        t = talk(w, family)
        case = Case(f"{kind('tcp', family)}: without a flow only a SYN opens one", w)
        for flags in ("A", "PA", "SA", "F", "FA", "R", "RA", "", "SF", "SR"):
            case.passes(t.request(flags=flags), "no_flow", service=1)
        case.request(t, new=True, flags="SEC", flows=(1, 0, 0))
        yield case


def foreign_answers(protocol, family):
    """So many in so small a table that some meet the set of a flow that is almost theirs."""
    w = world(family, protocol, flow_table_entries=16, snat_ports=(20000, 20031))
    other = "udp" if protocol == "tcp" else "tcp"
    case = Case(f"{kind(protocol, family)}: an answer that no flow waits for passes", w)
    for number in range(1, 13):
        t = talk(w, family, number, snat=f"c{number}")
        case.request(t, new=True, **opening(t))
        answer = t.answer()
        stranger = backend(family, protocol, 100 + number)
        for what, changes in (("a stranger", {"source": stranger.address}),
                              ("the backend's wrong port", {"source_port": 3000 + number}),
                              ("the backend in the other protocol", {"protocol": other})):
            case.passes(replace(answer, **changes), "no_flow", summary=what, snat=t.snat)
    return case


def other_protocols():
    w = world(4, "tcp")
    udp = bytes(talk(world(4, "udp"), 4).request(payload=b"x").frame()[14:])
    case = Case("ARP, VLAN, LLC and unknown EtherTypes pass uncounted", w)
    everybody = Ether(src=ROUTER, dst="ff:ff:ff:ff:ff:ff")
    tagged = talk(w, 4).request(flags="S").frame()[14:]
    for what, frame in (
            ("an ARP request", everybody / ARP(pdst=VIP[4])),
            ("an ARP reply", ETHER / ARP(op=2, psrc=client(4), pdst=SNAT[4])),
            ("one VLAN tag", ETHER / Dot1Q(vlan=5, type=0x0800) / Raw(tagged)),
            ("two VLAN tags", Ether(src=ROUTER, dst=APPLIANCE, type=0x88A8) /
             Dot1Q(vlan=5, type=0x8100) / Dot1Q(vlan=6, type=0x0800) / Raw(tagged)),
            ("a spanning tree's LLC frame", Raw(bytes.fromhex("0180c20000000200000000010026424203")
                                                + bytes(35))),
            ("LLDP", Ether(src=ROUTER, dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(bytes(46))),
            ("nothing behind the Ethernet header", Ether(src=ROUTER, dst=APPLIANCE, type=0x1234))):
        case.passes(bytes(frame), None, summary=what)
    yield case

    case = Case("ICMP and other IPv4 protocols pass", w)
    to_vip = IP(src=client(4), dst=VIP[4])
    for what, frame in (
            ("an echo request", ETHER / to_vip / ICMP() / Raw(b"ping")),
            ("an unreachable", ETHER / to_vip / ICMP(type=3, code=4) / Raw(udp[:28])),
            ("GRE", ETHER / IP(src=client(4), dst=VIP[4], proto=47) / Raw(bytes(20))),
            ("SCTP", ETHER / IP(src=client(4), dst=VIP[4], proto=132) / Raw(bytes(20)))):
        case.passes(bytes(frame), "not_ours", summary=what)
    yield case

    case = Case("ICMPv6 and no header at all pass", world(6, "udp"))
    to_vip = IPv6(src=client(6), dst=VIP[6])
    for what, frame in (
            ("an echo request", ETHER / to_vip / ICMPv6EchoRequest()),
            ("a neighbour solicitation", Ether(src=ROUTER, dst="33:33:ff:00:00:10") /
             IPv6(src=client(6), dst="ff02::1:ff00:10", hlim=255) / ICMPv6ND_NS(tgt=VIP[6])),
            ("no next header", ETHER / IPv6(src=client(6), dst=VIP[6], nh=59))):
        case.passes(bytes(frame), "not_ours", summary=what)
    yield case


def truncation():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        packet = t.request(payload=b"body", **opening(t))
        frame = packet.frame()
        case = Case(f"{kind(protocol, family)}: a frame cut at any byte is never forwarded", w)
        for length in range(len(frame)):
            summary = f"{length} of {len(frame)} bytes"
            if length < 14:
                case.passes(frame[:length], None, summary=summary)
            else:
                case.drops(frame[:length], "truncated", summary=summary)
        case.request(t, new=True, payload=b"body", flows=(1, 0, 0), **opening(t))
        yield case

        # The whole frame is there, but the IP header says that less of it is the packet.
        ip_header = 40 if family == 6 else 20
        transport_header = 20 if protocol == "tcp" else 8
        case = Case(f"{kind(protocol, family)}: a packet that ends in its transport header is "
                    "dropped", w)
        for length in range(transport_header):
            field = {18: struct.pack("!H", length)} if family == 6 else {
                16: struct.pack("!H", ip_header + length)}
            case.drops(patched(frame, field), "truncated",
                       summary=f"{length} of {transport_header} bytes of header")
        yield case


def malformed():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        packet = t.request(payload=bytes(8), **opening(t))
        frame, transport = packet.frame(), packet.transport_offset()
        case = Case(f"{kind(protocol, family)}: a header that contradicts itself is dropped", w)

        def bad(what, offset, value, reason="malformed"):
            case.drops(patched(frame, {offset: value}), reason, summary=what)

        for version in (0, 4 if family == 6 else 6, 15):
            bad(f"version {version}", 14, bytes([version << 4 | frame[14] & 15]))
        if family == 4:
            for words in range(5):
                bad(f"{words} words of header", 14, bytes([0x40 | words]))
            bad("a header longer than the packet", 14, b"\x4f")
            for length in (0, 19):
                bad(f"total length {length}", 16, struct.pack("!H", length))
            for length in (len(frame) - 13, 0xFFFF):
                bad(f"total length {length}", 16, struct.pack("!H", length), "truncated")
        else:
            for length in (len(frame) - 53, 0xFFFF):
                bad(f"payload length {length}", 18, struct.pack("!H", length), "truncated")
        if protocol == "tcp":
            for words in (0, 4, 8, 15):
                bad(f"TCP header of {words} words", transport + 12, bytes([words << 4]))
        else:
            for length in (0, 7, 17, 0xFFFF):
                bad(f"UDP length {length}", transport + 4, struct.pack("!H", length))
        yield case

        case = Case(f"{kind(protocol, family)}: what contradicts itself but is for no service "
                    "passes", w)
        for what, destination in (("another host", client(family, 99)),
                                  ("the appliance", SNAT[family])):
            stray = replace(packet, destination=destination).frame()
            length = transport + (12 if protocol == "tcp" else 4)
            broken = b"\0" if protocol == "tcp" else struct.pack("!H", 7)
            case.passes(patched(stray, {length: broken}), "not_ours", summary=f"{what}: a length")
            case.passes(stray[:transport + 2], "not_ours", summary=f"{what}: cut short")
        case.drops(frame[:33], "truncated", summary="cut short before anyone can tell")
        elsewhere = replace(packet, ethernet_destination="02:00:00:00:00:99").frame()
        case.passes(elsewhere[:transport + 2], "not_ours", summary="a frame to another station")
        yield case

    w = world(4, "tcp")
    t = talk(w, 4)
    frame = t.request(ip_options=bytes([1] * 40), **opening(t)).frame()
    case = Case("TCP over IPv4: a frame cut in its options is dropped", w)
    for length in range(34, 74):
        case.drops(patched(frame[:length], {16: struct.pack("!H", 60)}), "truncated",
                   summary=f"{length - 34} of 40 bytes of options")
    yield case


def out_of_luck():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: a used-up TTL or hop limit is answered", w)
        for hops in (0, 1):
            case.answers(t.request(hops=hops, **opening(t)), "ttl_expired", "time exceeded",
                         service=1)
        open_connection(case, t)
        for hops in (0, 1):
            for packet in (t.request(hops=hops, acknowledgement=901), t.answer(hops=hops),
                           t.request(hops=hops, payload=b"odd"), t.answer(hops=hops, padding=b"?"),
                           t.answer(hops=hops, payload=bytes(range(256)))):
                case.answers(packet, "ttl_expired", "time exceeded", service=1)
        yield case

        nobodies = (("0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255") if family == 4
                    else ("::", "ff02::1"))
        case = Case(f"{kind(protocol, family)}: no error goes to an address that is no host's", w)
        for nobody in nobodies:
            case.drops(replace(t, client=nobody).request(hops=1), "ttl_expired", service=1)
        yield case

        case = Case(f"{kind(protocol, family)}: a client that no backend takes passes",
                    w.with_service(1, slots=(0,)))
        case.passes(t.request(**opening(t)), "no_backend", service=1)
        yield case

        case = Case(f"{kind(protocol, family)}: a client whose backend is unresolved is dropped",
                    w.with_backend(1, resolved=False))
        case.drops(t.request(**opening(t)), "backend_unresolved", service=1)
        yield case

        case = Case(f"{kind(protocol, family)}: without a source address of its family a client "
                    "is dropped", world(family, protocol, snat_addresses=(SNAT[10 - family],)))
        case.drops(t.request(**opening(t)), "no_snat_address", service=1)
        yield case

        case = Case(f"{kind(protocol, family)}: a flow whose source address is gone is dropped", w)
        open_connection(case, t)
        case.configure(replace(w, snat_addresses=(SNAT[10 - family],)))
        case.drops(t.request(payload=b"late"), "no_snat_address", service=1)
        case.passes(t.answer(payload=b"late"), "not_ours")
        case.configure(w)
        case.request(t, payload=b"later")
        yield case

        case = Case(f"{kind(protocol, family)}: without a service everything passes",
                    world(family, protocol, services=()))
        case.passes(t.request(**opening(t)), "not_ours")
        yield case


def cases():
    for group in (not_ours, other_protocols, truncation, malformed, out_of_luck):
        yield from group()
