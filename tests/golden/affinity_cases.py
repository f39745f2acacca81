# SPDX-License-Identifier: Apache-2.0
"""Affinity: who was here keeps its backend when the lookup table changes."""
from dataclasses import replace

from builder import Affinity, Case
from worlds import KINDS, kind, open_connection, talk, world

IDLE_S = 64
IDLE_MS = IDLE_S * 1000


def affinity_world(mode, family, protocol, backends=2):
    """Everybody is led to backend 1."""
    w = world(family, protocol, backends, snat_ports=(20000, 20007))
    return w.with_service(1, mode=mode, affinity=Affinity(IDLE_S, begun=True))


def led_to(w, backend):
    """The next lookup table leads everybody there."""
    service = w.service(1)
    was = service.affinity
    earlier = (*was.earlier, (was.place, service.slots))
    return w.with_service(1, slots=(backend,), affinity=Affinity(
        IDLE_S, was.place + 1, earlier, contested=(0,), begun=True))


def stays():
    for protocol, family in KINDS:
        for mode in ("dsr", "dnat"):
            w = affinity_world(mode, family, protocol)
            after = led_to(w, 2)
            case = Case(f"{kind(protocol, family)}: in mode {mode} a client that was here stays "
                        "when its table changes", w)
            known, idle = talk(w, family, 1), talk(w, family, 2)
            case.request(known)
            case.request(idle)
            case.configure(after)
            case.request(talk(after, family, 3, backend=2))
            for _ in range(5):
                case.wait(IDLE_MS - 1000)
                case.request(known)
            case.request(replace(idle, appliance=after, backend=2))
            yield case


def newcomers():
    for family in (4, 6):
        w = affinity_world("dsr", family, "tcp")
        case = Case(f"TCP over IPv{family}: a SYN shows nobody to be here", w)
        case.request(talk(w, family), new=True, flags="S")
        case.configure(after := led_to(w, 2))
        case.request(talk(after, family, backend=2))
        yield case


def connections():
    for protocol, family in KINDS:
        w = affinity_world("nat", family, protocol)
        case = Case(f"{kind(protocol, family)}: a client of an established flow opens others to "
                    "the same backend", w)
        open_connection(case, talk(w, family, snat="a"))
        case.configure(after := led_to(w, 2))
        case.request(talk(after, family, port=40001, snat="b"), new=True, flags="S")
        case.request(talk(after, family, 2, backend=2, snat="c"), new=True, flags="S")
        case.wait(4 * IDLE_MS + 1000)
        case.request(talk(after, family, port=40002, backend=2, snat="d"), new=True, flags="S")
        yield case


def failures():
    for protocol, family in KINDS:
        w = affinity_world("dsr", family, protocol, backends=3)
        case = Case(f"{kind(protocol, family)}: a client moves when its backend fails, and stays "
                    "where it went", w)
        case.request(talk(w, family))
        second = led_to(w.with_backend(1, down=True), 2)
        case.configure(second)
        case.request(talk(second, family, backend=2))
        third = led_to(second.with_backend(1, down=False), 3)
        case.configure(third)
        case.request(talk(third, family, backend=2))
        case.request(talk(third, family, 2, backend=3))
        case.configure(third.with_backend(2, resolved=False))
        case.request(talk(third, family, backend=1))
        yield case


def cases():
    for group in (stays, newcomers, connections, failures):
        yield from group()
