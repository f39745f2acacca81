# SPDX-License-Identifier: Apache-2.0
"""Packets that are forwarded: both directions, the life of flows, and who gets which backend."""
from dataclasses import replace

from builder import APPLIANCE, INTERFACE, Case, Service
from worlds import (KINDS, SECOND_SNAT, SNAT, VIP, backend, client, kind, open_connection, talk,
                    world)


def opening(talk, **fields):
    return {"flags": "S", **fields} if talk.to.protocol == "tcp" else fields


def conversations():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: a client's first packet goes to the backend", w)
        case.request(t, new=True, flows=(1, 0, 0), **opening(t))
        yield case

        case = Case(f"{kind(protocol, family)}: a flow is established once the client goes on "
                    "after an answer", w)
        open_connection(case, t, established=(0, 1, 0))
        case.request(t, payload=b"odd", flags="PA", acknowledgement=901)
        case.answer(t, payload=b"even", flags="PA", acknowledgement=104)
        case.answer(t, flows=(0, 1, 0), payload=bytes(range(256)), flags="PA")
        yield case


def lives_of_tcp_flows():
    for family in (4, 6):
        w = world(family, "tcp")
        t = talk(w, family)
        case = Case(f"{kind('tcp', family)}: a flow closes when both sides have said FIN", w)
        open_connection(case, t)
        case.request(t, flags="FA", flows=(0, 1, 0), acknowledgement=901)
        case.answer(t, flags="FA", flows=(0, 0, 1))
        case.request(t, flows=(0, 0, 1), acknowledgement=902)
        yield case

        case = Case(f"{kind('tcp', family)}: a reset closes a flow", w)
        open_connection(case, t)
        case.request(t, flags="R", flows=(0, 0, 1))
        yield case

        case = Case(f"{kind('tcp', family)}: a reset is undone by a backend that goes on, not by "
                    "what was in flight", w)
        open_connection(case, t)
        case.request(t, flags="R", flows=(0, 0, 1))
        case.answer(t, payload=b"in flight", flows=(0, 0, 1))
        case.wait(2_000)
        case.answer(t, flows=(0, 1, 0))
        yield case

        case = Case(f"{kind('tcp', family)}: a SYN opens a closing flow anew", w)
        open_connection(case, t)
        case.answer(t, flags="RA", flows=(0, 0, 1))
        case.request(t, new=True, flags="S", sequence=5000, flows=(1, 0, 0))
        yield case

        case = Case(f"{kind('tcp', family)}: a SYN that comes by another router moves the way back",
                    w)
        case.request(t, new=True, flags="S")
        moved = replace(t, router="02:00:00:00:00:02")
        case.request(moved, flags="S")
        case.answer(moved, flags="RA")
        case.request(t, new=True, flags="S")
        case.answer(t, flags="SA")
        yield case

        case = Case(f"{kind('tcp', family)}: a SYN on an established flow goes to its backend", w)
        open_connection(case, t)
        case.request(t, flags="S", sequence=7000, flows=(0, 1, 0))
        yield case

        case = Case(f"{kind('tcp', family)}: a wrong acknowledgement does not establish a flow", w)
        case.request(t, new=True, flags="S", sequence=100)
        case.answer(t, flags="SA", sequence=900, acknowledgement=101)
        case.request(t, sequence=101, acknowledgement=900, flows=(1, 0, 0))
        case.request(t, sequence=101, acknowledgement=901, flows=(0, 1, 0))
        yield case

        case = Case(f"{kind('tcp', family)}: an answer's sequence number may wrap", w)
        case.request(t, new=True, flags="S")
        case.answer(t, flags="SA", sequence=0xFFFFFFFF)
        case.request(t, acknowledgement=0, flows=(0, 1, 0))
        yield case

        pool = world(family, "tcp", snat_ports=(20000, 20007))
        t = talk(pool, family, snat="a")
        case = Case(f"{kind('tcp', family)}: a retransmitted SYN keeps its port", pool)
        case.request(t, new=True, flags="S", sequence=100)
        case.request(t, flags="S", sequence=100, flows=(1, 0, 0))
        case.answer(t, flags="SA", sequence=900)
        case.request(t, flags="S", sequence=100, flows=(1, 0, 0))
        yield case


def answers_to_acknowledge():
    for family in (4, 6):
        w = world(family, "tcp")
        t = talk(w, family)
        case = Case(f"{kind('tcp', family)}: only a SYN-ACK is an answer to acknowledge", w)
        case.request(t, new=True, flags="S")
        case.answer(t, flags="A", sequence=900)
        case.request(t, acknowledgement=0, flows=(1, 0, 0))
        case.answer(t, flags="SA", sequence=900)
        case.request(t, acknowledgement=901, flows=(0, 1, 0))
        case.answer(t, flags="R", flows=(0, 0, 1))
        case.request(t, new=True, flags="S", flows=(1, 0, 0))
        case.answer(t, flags="A")
        case.request(t, acknowledgement=901, flows=(1, 0, 0))
        yield case


def time_passes():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: an established flow outlives long silences", w)
        open_connection(case, t)
        case.wait(299_000)
        case.answer(t, flows=(0, 1, 0))
        case.wait(299_000)
        case.request(t, flows=(0, 1, 0), acknowledgement=901)
        yield case

    for family in (4, 6):
        w = world(family, "tcp")
        t = talk(w, family)
        case = Case(f"{kind('tcp', family)}: an expired flow is not known any more", w)
        case.request(t, new=True, flags="S", flows=(1, 0, 0))
        case.wait(9_000)
        case.answer(t, flags="SA", sequence=900)
        case.wait(11_000)
        case.passes(t.answer(flags="SA", sequence=900), "no_flow")
        case.passes(t.request(acknowledgement=901), "no_flow", service=1)
        case.request(t, new=True, flags="S", flows=(1, 0, 0))
        yield case

        case = Case(f"{kind('tcp', family)}: an established flow expires too", w)
        open_connection(case, t)
        case.wait(7_441_000)
        case.passes(t.request(acknowledgement=901), "no_flow", service=1)
        yield case

        case = Case(f"{kind('tcp', family)}: an old half-open flow gives its port to a newcomer", w)
        second = talk(w, family, 2)
        case.request(t, new=True, flags="S")
        case.wait(1_000)
        case.drops(second.request(flags="S"), "snat_ports_exhausted", service=1)
        case.wait(3_000)
        case.request(second, new=True, flags="S", flows=(1, 0, 0))
        case.passes(t.request(acknowledgement=901), "no_flow", service=1)
        yield case

        case = Case(f"{kind('tcp', family)}: an established flow never gives way", w)
        open_connection(case, t)
        case.wait(60_000)
        case.drops(second.request(flags="S"), "snat_ports_exhausted", service=1)
        case.request(t, flows=(0, 1, 0), acknowledgement=901)
        yield case

        w = world(family, "udp")
        t = talk(w, family)
        case = Case(f"{kind('udp', family)}: an expired flow's client opens another one", w)
        case.request(t, new=True)
        case.wait(31_000)
        case.passes(t.answer(), "no_flow")
        case.request(t, new=True, flows=(1, 0, 0))
        yield case


def ports_and_places():
    for protocol, family in KINDS:
        w = world(family, protocol)
        case = Case(f"{kind(protocol, family)}: an exhausted port pool refuses the newcomer", w)
        open_connection(case, talk(w, family))
        second = talk(w, family, 2)
        case.drops(second.request(**opening(second)), "snat_ports_exhausted", service=1)
        case.answer(talk(w, family), flows=(0, 1, 0))
        yield case

        w = world(family, protocol, snat_addresses=(SNAT[family], SECOND_SNAT[family]))
        first, second = (talk(w, family, n, snat=name) for n, name in ((1, "a"), (2, "b")))
        case = Case(f"{kind(protocol, family)}: the same port of two appliance addresses", w)
        case.request(first, new=True, **opening(first))
        case.request(second, new=True, flows=(2, 0, 0), **opening(second))
        case.answer(second, flags="SA")
        case.answer(first, flags="SA")
        third = talk(w, family, 3)
        case.drops(third.request(**opening(third)), "snat_ports_exhausted", service=1)
        yield case

        services = tuple(Service(n, VIP[family], port, protocol, slots=(n,))
                         for n, port in ((1, 80), (2, 443)))
        w = world(family, protocol, backends=2, services=services)
        first, second = (talk(w, family, service=n, backend=n) for n in (1, 2))
        case = Case(f"{kind(protocol, family)}: two services on one address share a client port "
                    "and a source port", w)
        open_connection(case, first)
        open_connection(case, second, established=(0, 2, 0))
        case.answer(first)
        case.answer(second)
        yield case

        services = tuple(replace(service, slots=(1,)) for service in services)
        w = world(family, protocol, services=services, snat_ports=(20000, 20007))
        first, second = (talk(w, family, service=n, snat=name) for n, name in ((1, "a"), (2, "b")))
        case = Case(f"{kind(protocol, family)}: one client port at two services of one backend", w)
        open_connection(case, first)
        open_connection(case, second, established=(0, 2, 0))
        case.answer(first)
        case.answer(second)
        yield case

    for family in (4, 6):
        services = (Service(1, VIP[family], 53, "tcp"),
                    Service(2, VIP[family], 53, "udp", slots=(2,)))
        w = replace(world(family, "tcp", services=services),
                    backends=(backend(family, "tcp"), backend(family, "udp", id=2)))
        case = Case(f"IPv{family}: TCP and UDP to one backend use the same port at once", w)
        tcp, udp = talk(w, family), talk(w, family, service=2, backend=2)
        open_connection(case, tcp)
        open_connection(case, udp, established=(0, 2, 0))
        case.answer(tcp)
        case.answer(udp)
        yield case
        yield full_table(family)


def full_table(family):
    """Sixteen nominal entries are twenty places: more newcomers than that, then one too many."""
    w = world(family, "tcp", snat_ports=(20000, 29999), flow_table_entries=16)
    case = Case(f"{kind('tcp', family)}: a full flow table refuses newcomers and keeps the rest", w)
    known = talk(w, family, 1, snat="known")
    open_connection(case, known)
    newcomers = [talk(w, family, 2, port=1000 + n).request(flags="S") for n in range(100)]
    case.fill(known, newcomers, places=19, reason="flow_table_full")
    case.drops(talk(w, family, 3).request(flags="S"), "flow_table_full", service=1)
    case.request(known, acknowledgement=901)
    case.answer(known)
    return case


def selection():
    for family, bits, near in ((4, 24, (1, 77, 200)), (6, 64, (1, 0x7777, 0xFFFF))):
        w = world(family, "udp", backends=3, snat_ports=(20000, 20999),
                  services=(Service(1, VIP[family], 80, "udp", slots=(1, 2, 3)),))
        case = Case(f"IPv{family}: the keyed hash of the client's address chooses the backend", w)
        for number in range(1, 17):
            chosen = w.service(1).backend_of(w.hash_key, client(family, number))
            case.request(talk(w, family, number, backend=chosen, snat=f"c{number}"), new=True)
        yield case

        other = replace(w, hash_key=(1, 2))
        case = Case(f"IPv{family}: another hash key chooses other backends", other)
        for number in range(1, 17):
            chosen = other.service(1).backend_of(other.hash_key, client(family, number))
            case.request(talk(other, family, number, backend=chosen, snat=f"c{number}"), new=True)
        yield case

        near_by = w.with_service(1, prefix_bits=bits)
        case = Case(f"IPv{family}: clients of one /{bits} meet the same backend", near_by)
        pattern = "198.18.{}.{}" if family == 4 else "2001:db8:18:{:x}::{:x}"
        for network in range(4):
            for host in near:
                address = pattern.format(network, host)
                chosen = near_by.service(1).backend_of(near_by.hash_key, address)
                t = replace(talk(near_by, family), client=address, backend=chosen,
                            snat=f"c{network}-{host}")
                case.request(t, new=True)
        yield case


def changes_of_configuration():
    for protocol, family in KINDS:
        before = world(family, protocol, backends=2, snat_ports=(20000, 20007))
        after = before.with_service(1, slots=(2,))
        known = talk(before, family, snat="a")
        case = Case(f"{kind(protocol, family)}: a known client keeps its backend when another one "
                    "takes newcomers", before)
        open_connection(case, known)
        case.configure(after)
        case.request(known, acknowledgement=901)
        case.answer(known)
        newcomer = talk(after, family, 2, backend=2, snat="b")
        case.request(newcomer, new=True, flows=(1, 1, 0), **opening(newcomer))
        yield case

        gone = world(family, protocol, backends=0)
        w = world(family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: a flow whose backend was removed is dropped", w)
        open_connection(case, t)
        case.configure(gone)
        case.drops(t.request(), "backend_gone", service=1)
        yield case

        lost = w.with_backend(1, resolved=False)
        case = Case(f"{kind(protocol, family)}: a flow whose backend is unresolved waits for it", w)
        open_connection(case, t)
        case.configure(lost)
        case.drops(t.request(), "backend_unresolved", service=1)
        case.configure(w.with_backend(1, mac="02:00:00:00:00:cc"))
        moved = replace(t, appliance=w.with_backend(1, mac="02:00:00:00:00:cc"))
        case.request(moved, acknowledgement=901)
        yield case

    for family in (4, 6):
        before = world(family, "tcp", backends=2)
        t = talk(before, family)
        case = Case(f"{kind('tcp', family)}: a half-open flow moves with its SYN", before)
        case.request(t, new=True, flags="S")
        case.configure(before.with_service(1, slots=(2,)))
        case.request(replace(t, backend=2), new=True, flags="S", flows=(1, 0, 0))
        yield case

        before = world(family, "udp", backends=2)
        t = talk(before, family)
        case = Case(f"{kind('udp', family)}: a flow leaves a backend that is down", before)
        open_connection(case, t)
        case.configure(before.with_service(1, slots=(2,)).with_backend(1, down=True))
        case.request(replace(t, backend=2), new=True, flows=(1, 0, 0))
        yield case

        case = Case(f"{kind('udp', family)}: a flow stays at a backend that is down but chosen",
                    before)
        open_connection(case, t)
        case.configure(before.with_backend(1, down=True))
        case.request(t, flows=(0, 1, 0))
        yield case


def rewrites():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: trailing padding is kept and not counted", w)
        open_connection(case, t)
        case.request(t, padding=bytes(6), acknowledgement=901)
        case.answer(t, padding=b"\xde\xad\xbe\xef\x01")
        yield case

        case = Case(f"{kind(protocol, family)}: the last hop is spent", w)
        case.request(t, new=True, hops=2, **opening(t))
        case.answer(t, hops=2, flags="SA")
        case.answer(t, hops=255)
        yield case

        case = Case(f"{kind(protocol, family)}: a wrong checksum stays wrong by as much", w)
        case.request(t, new=True, checksum_error=0x1234, **opening(t))
        case.answer(t, checksum_error=0x0100, flags="SA", payload=b"x")
        yield case

        case = Case(f"{kind(protocol, family)}: marks, labels and options are left alone", w)
        case.request(t, new=True, traffic_class=0xB9, dont_fragment=False, label=0xABCD,
                     tcp_options=(("MSS", 1460), ("NOP", None), ("WScale", 7)), **opening(t))
        yield case

        case = Case(f"{kind(protocol, family)}: the way back follows the client's router", w)
        open_connection(case, t)
        case.wait(2000)  # an established flow is looked at every two seconds
        moved = replace(t, router="02:00:00:00:00:02")
        case.request(moved, acknowledgement=901)
        case.answer(moved)
        yield case

        own_mac = "02:00:00:00:00:07"
        w = world(family, protocol, interfaces=((INTERFACE, APPLIANCE), (7, own_mac)))
        w = w.with_backend(1, interface=7, own_mac=own_mac)
        case = Case(f"{kind(protocol, family)}: a backend behind another interface", w)
        case.request(talk(w, family), new=True, **opening(talk(w, family)))
        yield case

    yield from ipv4_rewrites()
    for family in (4, 6):
        yield zero_udp_checksum(family)
        w = world(family, "udp")
        t = talk(w, family)
        case = Case(f"{kind('udp', family)}: a frame in several buffers", w)
        case.request(t, new=True, payload=bytes(range(256)) * 20)
        case.answer(t, payload=b"penstock" * 700)
        yield case


def ipv4_rewrites():
    w = world(4, "udp")
    t = talk(w, 4)
    case = Case("UDP over IPv4: no checksum stays no checksum", w)
    case.request(t, new=True, without_checksum=True, payload=b"x")
    case.answer(t, without_checksum=True, payload=b"y")
    yield case
    for protocol in ("tcp", "udp"):
        w = world(4, protocol)
        t = talk(w, 4)
        case = Case(f"{kind(protocol, 4)}: IPv4 options are stepped over and kept", w)
        case.request(t, new=True, ip_options=bytes.fromhex("94040000"), **opening(t))
        case.answer(t, ip_options=bytes([1] * 40), flags="SA", payload=b"abc")
        yield case
        case = Case(f"{kind(protocol, 4)}: a wrong header checksum stays wrong by as much", w)
        case.request(t, new=True, ip_checksum_error=0x0777, **opening(t))
        yield case


def zero_udp_checksum(family):
    """A payload for which the translated packet's checksum computes to zero: sent as all ones."""
    w = world(family, "udp")
    t = talk(w, family)
    case = Case(f"{kind('udp', family)}: a checksum that becomes zero is sent as all ones", w)

    def payload_for(make, translate):
        frame = translate(make(payload=bytes(2))).frame()
        at = make().checksum_offset()
        payload = frame[at:at + 2]
        out = translate(make(payload=payload))
        assert out.frame()[at:at + 2] == b"\xff\xff"
        return payload

    case.request(t, new=True, payload=payload_for(t.request, t.forwarded))
    case.answer(t, payload=payload_for(t.answer, t.returned))
    return case


def cases():
    for group in (conversations, lives_of_tcp_flows, answers_to_acknowledge, time_passes,
                  ports_and_places, selection, changes_of_configuration, rewrites):
        yield from group()
