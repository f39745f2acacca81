# SPDX-License-Identifier: Apache-2.0
"""Who is let in, and how many flows clients may open."""
from dataclasses import replace

from builder import INTERFACE, Case
from stateless_cases import stateless_world
from worlds import KINDS, client, kind, open_connection, talk, world

LOOKED_AT = 2_500  # ms: an established flow is looked at within two seconds
AROUND = {4: "198.18.0.0/24", 6: "2001:db8:18::/48"}  # every client's


def whole(family, number):
    return f"{client(family, number)}/{32 if family == 4 else 128}"


def access_lists():
    for protocol, family in KINDS:
        everybody = {4: "0.0.0.0/0", 6: "::/0"}[family]
        open_to_all = stateless_world("dsr", family, protocol)
        case = Case(f"{kind(protocol, family)}: the longest prefix decides who is let in",
                    open_to_all.with_service(1, deny=(whole(family, 2),)))
        rules = (
            ({}, {1, 2, 3}),
            ({"deny": (AROUND[family],)}, set()),
            ({"allow": (whole(family, 2),)}, {2}),
            ({"allow": (whole(family, 1),), "deny": (AROUND[family],)}, {1}),
            ({"allow": (AROUND[family],), "deny": (whole(family, 1),)}, {2, 3}),
            ({"allow": (AROUND[family],), "deny": (everybody,)}, {1, 2, 3}),
        )
        case.request(talk(open_to_all, family, 1))
        case.drops(talk(open_to_all, family, 2).request(), "access_denied", service=1)
        for fields, let_in in rules:
            case.configure(open_to_all.with_service(1, **fields))
            for number in (1, 2, 3):
                t = talk(open_to_all, family, number)
                if number in let_in:
                    case.request(t)
                else:
                    case.drops(t.request(), "access_denied", service=1)
        yield case


def open_connections():
    for protocol, family in KINDS:
        w = world(family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: a client that is denied is cut off within two "
                    "seconds, and goes on when it is let in again", w)
        open_connection(case, t)
        case.request(t, acknowledgement=901)
        case.configure(w.with_service(1, deny=(AROUND[family],)))
        case.request(t, acknowledgement=901, flows=(0, 1, 0))
        if protocol == "tcp":
            case.drops(t.request(flags="R"), "access_denied", service=1)
        case.wait(LOOKED_AT)
        case.drops(t.request(acknowledgement=901), "access_denied", service=1)
        case.drops(replace(t, port=40001).request(flags="S"), "access_denied", service=1)
        case.answer(t, flows=(0, 1, 0))
        case.configure(w)
        case.request(t, acknowledgement=901, flows=(0, 1, 0))
        yield case


def new_flows():
    for protocol, family in KINDS:
        bits = 32 if family == 4 else 128
        w = world(family, protocol, snat_ports=(20000, 20063))
        w = w.with_service(1, new_flows=(4, 6, bits))
        case = Case(f"{kind(protocol, family)}: new flows are limited to a burst, then to a rate",
                    w)
        opening = {"new": True, "flags": "S"}

        def flow(number, who=1, world_=w, of=family):
            return talk(world_, of, who, port=40000 + number, snat=f"{who}.{number}")

        for number in range(6):
            case.request(flow(number), **opening)
        case.request(flow(0), flags="S")  # it comes again
        case.drops(flow(6).request(flags="S"), "new_flow_limit", service=1)
        case.request(flow(0, who=2), **opening)
        case.wait(800)  # two ticks at least: 2.1 flows
        for number in (6, 7):
            case.request(flow(number), **opening)
        case.wait(60_000)
        for number in range(8, 14):
            case.request(flow(number), **opening)
        case.drops(flow(14).request(flags="S"), "new_flow_limit", service=1)
        case.configure(w.with_service(1, new_flows=None))
        case.request(flow(14), **opening)
        yield case


def new_flows_of_a_prefix():
    for protocol, family in KINDS:
        w = world(family, protocol, snat_ports=(20000, 20063))
        w = w.with_service(1, new_flows=(1, 2, 24 if family == 4 else 64))
        case = Case(f"{kind(protocol, family)}: the clients of a prefix have one limit", w)
        for number in (1, 2):
            case.request(talk(w, family, number, snat=f"{number}"), new=True, flags="S")
        case.drops(talk(w, family, 3).request(flags="S"), "new_flow_limit", service=1)
        yield case


def new_flows_without_flows():
    for family in (4, 6):
        w = stateless_world("dsr", family, "tcp")
        w = w.with_service(1, new_flows=(1, 2, 32 if family == 4 else 128))
        t = talk(w, family)
        case = Case(f"{kind('tcp', family)}: without flows each SYN counts as a new one", w)
        for _ in range(2):
            case.request(t, new=True, flags="S")
        case.drops(t.request(flags="S"), "new_flow_limit", service=1)
        case.request(t, flags="A")
        yield case


def flows_from_one_interface():
    for protocol, family in KINDS:
        w = world(family, protocol)
        elsewhere = w.with_service(1, only_from=INTERFACE + 1)
        case = Case(f"{kind(protocol, family)}: flows are opened from one interface only, where "
                    "one is named", elsewhere)
        t = talk(w, family)
        case.drops(t.request(flags="S"), "access_denied", service=1)
        case.configure(w.with_service(1, only_from=INTERFACE))
        open_connection(case, t)
        case.request(t, acknowledgement=901)
        case.configure(elsewhere)
        case.request(t, acknowledgement=901)
        case.answer(t)
        case.drops(talk(w, family, 2).request(flags="S"), "access_denied", service=1)
        yield case


def cases():
    yield from access_lists()
    yield from open_connections()
    yield from new_flows()
    yield from new_flows_of_a_prefix()
    yield from new_flows_without_flows()
    yield from flows_from_one_interface()
