# SPDX-License-Identifier: Apache-2.0
"""Frames with one VLAN tag or two: in by some, out by others, and as they were where they are not
ours."""
import struct
from dataclasses import replace

from builder import APPLIANCE, INTERFACE, ROUTER, Case, Error
from forwarding_cases import opening
from fragment_cases import pieces
from icmp_cases import ROUTERS, about_answer, about_request
from scapy.layers.l2 import ARP, Ether
from stateless_cases import stateless_world, tunnel_world
from worlds import KINDS, SNAT, client, kind, open_connection, talk, world

ETHERTYPES = {"802.1Q": 0x8100, "802.1ad": 0x88A8}
NONE = ()
ONE = ((100, "802.1Q"),)
SERVICE = ((100, "802.1ad"),)
TWO = ((100, "802.1ad"), (200, "802.1Q"))
DOUBLE = ((100, "802.1Q"), (4094, "802.1Q"))
OURS = (NONE, ONE, SERVICE, TWO, DOUBLE)
# Where clients are, and where backends are.
WAYS = ((ONE, ONE), (ONE, NONE), (NONE, ONE), (ONE, TWO), (TWO, ONE), (TWO, NONE), (NONE, DOUBLE),
        (DOUBLE, SERVICE))
PRIORITY = 0b1011  # of all that arrives: code point 5, drop eligible


def tagged(frame, tags, priority=0):
    words = b"".join(struct.pack("!HH", ETHERTYPES[which], priority << 12 | vlan)
                     for vlan, which in tags)
    return frame[:12] + words + frame[12:]


def text(tags):
    return " in ".join(f"{which} {vlan}" for vlan, which in reversed(tags)) or "no VLAN"


class VlanCase(Case):
    """A case whose clients are behind some tags and its backends behind others."""

    def __init__(self, name, appliance, clients=NONE, backends=NONE):
        self.clients, self.backends = clients, backends
        self.way = (clients, clients)  # of the next step
        interfaces = tuple((INTERFACE, APPLIANCE, tags) if tags else (INTERFACE, APPLIANCE)
                           for tags in OURS)
        super().__init__(name, replace(appliance, interfaces=interfaces, backends=tuple(
            replace(backend, tags=backends) for backend in appliance.backends)))

    def _step(self, summary, frame, **fields):  # all steps come by here
        came, goes = self.way
        if "out" in fields:
            fields["out"] = tagged(bytes.fromhex(fields["out"]), goes).hex()
        super()._step(summary, tagged(frame, came, PRIORITY), **fields)
        self.way = (self.clients, self.clients)

    def _transmit(self, talk, direction, *more):
        self.way = ((self.clients, self.backends) if direction == "backend"
                    else (self.backends, self.clients))
        super()._transmit(talk, direction, *more)


def conversations():
    for protocol, family in KINDS:
        for clients, backends in WAYS:
            case = VlanCase(f"{kind(protocol, family)}: from {text(clients)} to {text(backends)} "
                            "and back", world(family, protocol), clients, backends)
            t = talk(case.appliance, family)
            open_connection(case, t)
            case.request(t, payload=b"question", acknowledgement=901, traffic_class=0xB9)
            case.answer(t, payload=bytes(1400), flags="PA")
            case.wait(3_000)
            case.request(t, acknowledgement=901, flows=(0, 1, 0))
            yield case


def other_modes():
    for protocol, family in KINDS:
        for outer in (0, 4, 6):
            for clients, backends in ((ONE, TWO), (TWO, NONE), (NONE, ONE)):
                mode = "tunnel" if outer else "dsr"
                w = (tunnel_world(family, protocol, outer) if outer
                     else stateless_world(mode, family, protocol))
                case = VlanCase(f"{kind(protocol, family)}: mode {mode}" +
                                (f" in IPv{outer}" if outer else "") +
                                f" from {text(clients)} to {text(backends)}",
                                w, clients, backends)
                t = talk(case.appliance, family)
                case.request(t, payload=b"odd")
                case.request(t, padding=b"padded")
                yield case


def two_arms():
    """Backends by another interface, and its tags."""
    for clients, backends in WAYS:
        w = world(4, "udp").with_backend(1, interface=2)
        case = VlanCase(f"UDP over IPv4: from {text(clients)} to {text(backends)} of another "
                        "interface", w, clients, backends)
        case.request(talk(case.appliance, 4), new=True)
        yield case


def clients_of_several_vlans():
    """Each is answered where it asks from, also once that has changed."""
    for family in (4, 6):
        case = VlanCase(f"UDP over IPv{family}: a client is answered by the VLAN that it came by",
                        world(family, "udp"))
        t = talk(case.appliance, family)
        for number, tags in enumerate((ONE, TWO, NONE, DOUBLE)):
            case.clients = tags
            case.wait(3_000)
            case.request(t, new=number == 0)
            case.answer(t)
            case.request(t)
        yield case


def fragments():
    for family in (4, 6):
        case = VlanCase(f"UDP over IPv{family}: fragments from {text(TWO)} to {text(ONE)} and back",
                        world(family, "udp"), TWO, ONE)
        t = talk(case.appliance, family)
        for number, piece in enumerate(pieces(t.request(payload=bytes(4000)))):
            case.request_piece(t, piece, new=number == 0)
        for piece in pieces(t.answer(payload=bytes(4000))):
            case.answer_piece(t, piece)
        yield case


def errors():
    for protocol, family in KINDS:
        case = VlanCase(f"{kind(protocol, family)}: errors from {text(ONE)} to {text(TWO)} and "
                        "back", world(family, protocol), ONE, TWO)
        t = talk(case.appliance, family)
        open_connection(case, t)
        case.error(t, "backend", *about_answer(t, t.answer(payload=b"answer")))
        case.error(t, "client", *about_request(t, t.request(payload=b"question")))
        yield case

        case = VlanCase(f"{kind(protocol, family)}: own errors go back to {text(TWO)}",
                        tunnel_world(family, protocol, 4).with_backend(1, mtu=1400), TWO, ONE)
        t = talk(case.appliance, family)
        case.answers(t.request(hops=1), "ttl_expired", "time exceeded", service=1)
        case.answers(t.request(payload=bytes(1400)), "packet_too_big", "too big", service=1,
                     mtu=1380)
        arriving = Error(replace(t.request(), source=t.to.address, source_port=80,
                                 destination=t.client, destination_port=t.port),
                         ROUTERS[family], t.to.address)
        case.error(t, "backend", arriving, t.forwarded_error(arriving))
        yield case


def passed():
    for protocol, family in KINDS:
        for tags in (ONE, TWO):
            case = VlanCase(f"{kind(protocol, family)}: what is not for a service goes on with "
                            f"its {text(tags)}", world(family, protocol), tags, NONE)
            t = talk(case.appliance, family)
            first = opening(t)
            case.passes(replace(t.request(**first), destination_port=81), "not_ours")
            case.passes(replace(t.request(**first), ethernet_destination="02:00:00:00:00:99"),
                        "not_ours", summary="to another station")
            case.passes(replace(t.request(**first), ethernet_destination="ff:ff:ff:ff:ff:ff"),
                        "not_ours", summary="to everybody")
            case.passes(t.answer(), "no_flow")
            if protocol == "tcp":
                case.passes(t.request(), "no_flow", service=1)
            case.configure(replace(case.appliance.with_service(1, slots=(0,))))
            case.passes(t.request(**first), "no_backend", service=1)
            yield case


def foreign():
    for family in (4, 6):
        case = VlanCase(f"UDP over IPv{family}: other tags than ours pass untouched and uncounted",
                        world(family, "udp"))
        frame = talk(case.appliance, family).request(payload=b"x").frame()
        arp = bytes(Ether(src=ROUTER, dst=APPLIANCE) / ARP(psrc=client(4), pdst=SNAT[4]))
        for tags in (((101, "802.1Q"),), ((200, "802.1Q"),), ((4094, "802.1Q"),),
                     ((100, "802.1ad"), (100, "802.1Q")), ((200, "802.1Q"), (100, "802.1ad")),
                     ((100, "802.1Q"), (200, "802.1Q")), ((100, "802.1ad"), (200, "802.1ad")),
                     TWO + ONE, DOUBLE + DOUBLE, ONE * 20):
            case.passes(tagged(frame, tags, PRIORITY), None, summary=text(tags))
        for tags in (((0, "802.1Q"),), ((0, "802.1ad"),), ((0, "802.1Q"),) + ONE,
                     ONE + ((0, "802.1Q"),)):
            case.passes(tagged(frame, tags, PRIORITY), None, summary="a priority tag")
        for tags in (ONE, TWO):
            case.passes(tagged(arp, tags, PRIORITY), None, summary=f"ARP in {text(tags)}")
        yield case

        w = replace(case.appliance, interfaces=((7, APPLIANCE, ONE), (INTERFACE, APPLIANCE)))
        case = Case(f"UDP over IPv{family}: a VLAN of another interface is none of this one", w)
        case.passes(tagged(frame, ONE), None)
        case.configure(replace(w, interfaces=((INTERFACE, "02:00:00:00:00:fd", ONE),)))
        case.passes(tagged(frame, ONE, PRIORITY), "not_ours",
                    summary="to the MAC of the interface below")
        case.passes(frame, "not_ours", summary="without the tag")
        yield case


def cut_short():
    for family in (4, 6):
        for tags in (ONE, TWO):
            case = VlanCase(f"UDP over IPv{family}: cut short amid and behind {text(tags)}",
                            world(family, "udp"), tags, NONE)
            whole = talk(case.appliance, family).request(payload=b"x").frame()
            for end in range(14, 14 + 4 * len(tags)):
                case.way = (NONE, NONE)
                case.passes(tagged(whole, tags, PRIORITY)[:end], None)
            for end in range(14, 14 + (20 if family == 4 else 40)):
                case.drops(whole[:end], "truncated")
            case.drops(whole[:-1], "truncated")
            yield case


def cases():
    for group in (conversations, other_modes, two_arms, clients_of_several_vlans, fragments,
                  errors, passed, foreign, cut_short):
        yield from group()
