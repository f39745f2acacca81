# SPDX-License-Identifier: Apache-2.0
"""ICMP errors about balanced connections, to the end that sent what they are about."""
from dataclasses import replace

from builder import Case, Error
from stateless_cases import stateless_world, tunnel_world
from worlds import KINDS, VIP, kind, open_connection, talk, world

ROUTERS = {4: "192.0.2.1", 6: "2001:db8:ffff::1"}  # who sends the errors
LENGTHS = (8, 12, 18, 20, 1000)  # of what is quoted behind the IP header


def about_answer(t, answer, **fields):
    """From a router on the way to the client, as it arrives, and as the backend gets it."""
    family = answer.family
    arriving = Error(t.returned(answer), ROUTERS[family], t.to.address, **fields)
    leaving = replace(arriving, about=replace(answer, hops=answer.hops - 1),
                      source=t.appliance.snat(family), destination=t.by.address,
                      hops=arriving.hops - 1, ethernet_source=t.by.own_mac,
                      ethernet_destination=t.by.mac)
    return arriving, leaving


def about_request(t, request, **fields):
    """From a router on the way to the backend, or the backend; and as the client gets it."""
    family = request.family
    arriving = Error(t.forwarded(request), ROUTERS[family], t.appliance.snat(family),
                     ethernet_source=t.by.mac, **fields)
    leaving = replace(arriving, about=replace(request, hops=request.hops - 1),
                      source=t.to.address, destination=t.client, hops=arriving.hops - 1,
                      ethernet_source=arriving.ethernet_destination,
                      ethernet_destination=t.router)
    return arriving, leaving


def errors_in_nat():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        answer = t.answer(payload=b"answer, of an odd length", flags="PA", acknowledgement=104)
        request = t.request(payload=b"question", flags="PA", acknowledgement=901)

        case = Case(f"{kind(protocol, family)}: an error about an answer goes to its backend", w)
        open_connection(case, t)
        for what in ("too big", "unreachable", "time exceeded"):
            for length in LENGTHS:
                case.error(t, "backend", *about_answer(t, answer, kind=what, quoted_bytes=length))
        case.error(t, "backend", *about_answer(t, answer, padding=b"padded"), flows=(0, 1, 0))
        yield case

        case = Case(f"{kind(protocol, family)}: an error about a request goes to its client", w)
        open_connection(case, t)
        for what in ("too big", "unreachable", "time exceeded"):
            for length in LENGTHS:
                case.error(t, "client", *about_request(t, request, kind=what,
                                                       quoted_bytes=length))
        case.error(t, "client", *about_request(t, request, traffic_class=0xC0), flows=(0, 1, 0))
        yield case

        case = Case(f"{kind(protocol, family)}: an error changes nothing in a flow", w)
        case.request(t, new=True, flags="S", sequence=100)
        case.answer(t, flags="SA", sequence=900, acknowledgement=101)
        case.error(t, "backend", *about_answer(t, answer), flows=(1, 0, 0))
        case.wait(31_000)
        case.passes(about_answer(t, answer)[0], "no_flow", service=1)
        case.passes(about_request(t, request)[0], "no_flow")
        yield case

        if protocol == "udp" and family == 4:
            case = Case(f"{kind(protocol, family)}: a quoted checksum that is absent stays so", w)
            open_connection(case, t)
            bare = t.answer(payload=b"pong", without_checksum=True)
            case.error(t, "backend", *about_answer(t, bare))
            case.error(t, "client", *about_request(t, t.request(without_checksum=True)))
            yield case


def errors_nobody_gets():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        answer, request = t.answer(), t.request()
        case = Case(f"{kind(protocol, family)}: errors that nobody gets", w)
        open_connection(case, t)
        case.drops(about_answer(t, answer, hops=1)[0], "ttl_expired", service=1)
        case.drops(about_request(t, request, hops=1)[0], "ttl_expired", service=1)
        for length in (0, 7):
            case.passes(about_answer(t, answer, quoted_bytes=length)[0], "not_ours")
            case.passes(about_answer(t, answer, quoted_bytes=length, padding=bytes(30))[0],
                        "not_ours")
        foreign = replace(about_answer(t, answer)[0], destination=w.snat(family))
        case.passes(foreign, "not_ours")  # it quotes what somebody else has sent
        other = replace(t.returned(answer), destination_port=t.port + 1)
        case.passes(replace(foreign, about=other, destination=t.to.address), "no_flow", service=1)
        other = replace(t.returned(answer), source_port=81)
        case.passes(replace(foreign, about=other, destination=t.to.address), "not_ours")
        other = replace(t.forwarded(request), destination_port=3001)
        case.passes(replace(foreign, about=other), "no_flow")
        yield case


def errors_in_other_modes():
    for protocol, family in KINDS:
        for mode in ("dsr", "tunnel"):
            w = (stateless_world(mode, family, protocol) if mode == "dsr"
                 else tunnel_world(family, protocol, family))
            t = talk(w, family)
            answer = replace(t.request(), source=t.to.address, source_port=80,
                             destination=t.client, destination_port=t.port)
            case = Case(f"{kind(protocol, family)}: in mode {mode} an error about an answer is "
                        "handed to its backend", w)
            arriving = Error(answer, ROUTERS[family], VIP[family])
            case.error(t, "backend", arriving, t.forwarded_error(arriving))
            yield case


def cases():
    for group in (errors_in_nat, errors_nobody_gets, errors_in_other_modes):
        yield from group()
