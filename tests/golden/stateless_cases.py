# SPDX-License-Identifier: Apache-2.0
"""Modes that keep no flow: each packet goes where its client's address leads."""
from dataclasses import replace

from builder import Case, Service
from worlds import KINDS, SNAT, VIP, backend, client, kind, open_connection, talk, world


def stateless_world(mode, family, protocol, slots=(1,), **changes):
    service = Service(1, VIP[family], 80, protocol, slots=slots, mode=mode, has_flows=False)
    w = world(family, protocol, backends=len(slots), services=(service,), **changes)
    return replace(w, backends=tuple(replace(b, port=80) for b in w.backends))


def dsr_conversations():
    for protocol, family in KINDS:
        w = stateless_world("dsr", family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: mode dsr hands packets over as they are, and "
                    "remembers nothing", w)
        if protocol == "tcp":
            case.request(t, new=True, flags="S", flows=(0, 0, 0))
        case.request(t, payload=b"odd", flags="PA", flows=(0, 0, 0))
        case.request(t, payload=bytes(range(256)), hops=2, traffic_class=0xB9)
        case.request(t, checksum_error=0x1234)
        yield case

        case = Case(f"{kind(protocol, family)}: mode dsr spreads clients over backends by their "
                    "addresses alone", spread := stateless_world("dsr", family, protocol, (1, 2)))
        for number in range(1, 9):
            service = spread.service(1)
            by = service.backend_of(spread.hash_key, client(family, number))
            for port in (40000, 40001):
                case.request(talk(spread, family, number, port=port, backend=by), payload=b"x")
        yield case


def dsr_refusals():
    for protocol, family in KINDS:
        w = stateless_world("dsr", family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: what mode dsr cannot hand over", w)
        case.answers(t.request(hops=1), "ttl_expired", "time exceeded", service=1)
        case.configure(w.with_backend(1, resolved=False))
        case.drops(t.request(), "backend_unresolved", service=1)
        case.configure(w.with_service(1, slots=(0,)))
        case.passes(t.request(), "no_backend", service=1)
        case.configure(w)
        case.request(t)
        yield case


def changes_of_mode():
    for protocol, family in KINDS:
        nat = world(family, protocol, backends=1)
        nat = nat.with_backend(1, port=80)
        dsr = nat.with_service(1, mode="dsr")
        t = talk(nat, family)
        case = Case(f"{kind(protocol, family)}: an established flow goes on when its service "
                    "leaves mode nat", nat)
        open_connection(case, t)
        case.configure(dsr)
        case.request(t, acknowledgement=901)
        case.wait(5_000)
        case.request(t, acknowledgement=901, flows=(0, 1, 0))
        case.answer(t)
        newcomer = talk(dsr, family, port=40001)
        case.request(newcomer, new=protocol == "tcp", flags="S", flows=(0, 1, 0))
        yield case

        case = Case(f"{kind(protocol, family)}: what is opened anew in another mode leaves its "
                    "flow", nat)
        case.request(t, new=True, flags="S", flows=(1, 0, 0))
        case.configure(dsr.with_backend(1, down=True))
        anew = replace(t, appliance=dsr)
        case.request(anew, new=protocol == "tcp", flags="S", flows=(0, 0, 0))
        case.request(anew, flags="A")
        yield case

        case = Case(f"{kind(protocol, family)}: a flow that has ended is not believed in for a "
                    "moment longer", nat)
        open_connection(case, t)
        case.configure(nat.with_backend(1, down=True).with_service(1, slots=(0,)))
        case.passes(t.request(flags="S"), "no_backend", service=1)
        case.configure(dsr)
        case.request(anew, flags="A", flows=(0, 0, 0))
        yield case

        half_open = replace(t, port=40002)
        case = Case(f"{kind(protocol, family)}: a service in mode nat knows no connection of its "
                    "time in mode dsr", dsr)
        case.request(replace(half_open, appliance=dsr), payload=b"x")
        case.configure(nat)
        if protocol == "tcp":
            case.passes(half_open.request(), "no_flow", service=1)
        case.request(half_open, new=True, flags="S", flows=(1, 0, 0))
        yield case


def beside_each_other():
    """A service without flows has every packet look for its service first."""
    for protocol, family in KINDS:
        flowless = Service(2, VIP[family], 81, protocol, slots=(2,), mode="dsr", has_flows=False)
        service = Service(1, VIP[family], 80, protocol)
        w = world(family, protocol, backends=2, services=(service, flowless))
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: beside a service without flows, a flow stays where "
                    "it is, in mode nat and after it", w)
        open_connection(case, t)
        case.request(talk(w, family, service=2, backend=2), payload=b"x")
        for now in (w.with_service(1, slots=(2,)), w.with_service(1, slots=(2,), mode="dsr")):
            case.configure(now)
            case.request(t, acknowledgement=901)
            case.answer(t)
            case.wait(5_000)
            case.request(t, acknowledgement=901, flows=(0, 1, 0))
        yield case


def hashes_of_flows():
    for protocol, family in KINDS:
        for mode in ("nat", "dsr"):
            w = stateless_world(mode, family, protocol, (1, 2, 3))
            w = w.with_service(1, hash="flow", has_flows=mode == "nat")
            w = replace(w, snat_ports=(20000, 20063))
            case = Case(f"{kind(protocol, family)}: in mode {mode} a hash of the flow spreads one "
                        "client's connections", w)
            for port in range(40000, 40008):
                by = w.service(1).backend_of(w.hash_key, client(family), port)
                t = talk(w, family, port=port, backend=by,
                         snat=f"of {port}" if mode == "nat" else None)
                case.request(t, new=mode == "nat" or protocol == "tcp", flags="S")
                case.request(t, flags="A")
            yield case


def options():
    for mode in ("dsr", "tunnel"):
        w = tunnel_world(4, "tcp", 4) if mode == "tunnel" else stateless_world(mode, 4, "tcp")
        case = Case(f"TCP over IPv4: mode {mode} leaves IPv4 options alone", w)
        case.request(talk(w, 4), ip_options=bytes([7, 7, 4, 0, 0, 0, 0, 0]))
        yield case


def tunnel_world(family, protocol, outer, slots=(1,), **changes):
    """Backends of the outer family; tunnel packets come from one address of each."""
    backends = tuple(backend(outer, protocol, n + 1, port=80) for n in range(len(slots)))
    changes = {"tunnel_sources": (f"{SNAT[4]}/32", f"{SNAT[6]}/128"), **changes}
    w = stateless_world("tunnel", family, protocol, slots, **changes)
    return replace(w, backends=backends)


def tunnel_clamping():
    """A SYN asks for segments that fit; what asks for less, and what is no SYN, stays."""
    for family in (4, 6):
        for outer in (4, 6):
            w = tunnel_world(family, "tcp", outer).with_service(1, clamps_mss=True)
            w = w.with_backend(1, mtu=1400)
            most = 1400 - {4: 20, 6: 40}[outer] - {4: 40, 6: 60}[family]
            case = Case(f"TCP over IPv{family} in IPv{outer}: segments that fit the tunnel", w)
            t = talk(w, family)
            for flags in ("S", "SEC"):
                for before in ((), (("NOP", None),), (("SAckOK", b""), ("NOP", None))):
                    for mss in (1460, most + 1, most, 536):
                        options = {"tcp_options": (*before, ("MSS", mss), ("WScale", 7))}
                        packet = t.request(flags=flags, **options)
                        clamped = (*before, ("MSS", min(mss, most)), ("WScale", 7))
                        out = t.forwarded(replace(packet, tcp_options=clamped))
                        case.sends(t, "backend", packet, out, new=True)
            case.request(t, new=True, flags="S")
            case.request(t, tcp_options=(("MSS", 1460),), payload=b"no SYN")
            yield case


def tunnel_conversations():
    for protocol, family in KINDS:
        for outer in (4, 6):
            what = f"{kind(protocol, family)} in IPv{outer}"
            w = tunnel_world(family, protocol, outer, (1, 2))
            case = Case(f"{what}: a client's packets go to its backend inside others", w)
            for number in range(1, 5):
                by = w.service(1).backend_of(w.hash_key, client(family, number))
                t = talk(w, family, number, backend=by)
                if protocol == "tcp":
                    case.request(t, new=True, flags="S", flows=(0, 0, 0))
                case.request(t, payload=b"odd", traffic_class=0xB9, flows=(0, 0, 0))
                case.request(t, payload=bytes(range(256)), hops=2, label=0x77)
                case.request(t, checksum_error=0x1234)
            case.request(t, padding=b"padded")
            yield case

            spread = tunnel_world(family, protocol, outer,
                                  tunnel_sources=("198.51.100.0/22", "2001:db8:99::/60"))
            case = Case(f"{what}: the outer source varies with the flow, not within it", spread)
            for port in range(40000, 40008):
                case.request(talk(spread, family, port=port))
                case.request(talk(spread, family, port=port), payload=b"again")
            yield case


def tunnel_refusals():
    for protocol, family in KINDS:
        for outer in (4, 6):
            what = f"{kind(protocol, family)} in IPv{outer}"
            header = 20 if outer == 4 else 40
            w = tunnel_world(family, protocol, outer).with_backend(1, mtu=1400)
            t = talk(w, family)
            case = Case(f"{what}: what does not fit is answered with the size that does", w)
            room = 1400 - header - t.request().ip_bytes()
            case.request(t, payload=bytes(room))
            case.answers(t.request(payload=bytes(room + 1)), "packet_too_big", "too big",
                         service=1, mtu=1400 - header)
            yield case

            case = Case(f"{what}: what a tunnel cannot take", w)
            case.answers(t.request(hops=1), "ttl_expired", "time exceeded", service=1)
            case.drops(replace(t, client=w.snat(family)).request(), "loop", service=1)
            case.configure(replace(w, tunnel_sources=w.tunnel_sources[1:] if outer == 4
                                   else w.tunnel_sources[:1]))
            case.drops(t.request(), "no_tunnel_source", service=1)
            case.configure(replace(w, backends=()))
            case.drops(t.request(), "backend_gone", service=1)
            yield case


def cases():
    for group in (dsr_conversations, dsr_refusals, changes_of_mode, beside_each_other,
                  hashes_of_flows, options, tunnel_conversations, tunnel_clamping,
                  tunnel_refusals):
        yield from group()
