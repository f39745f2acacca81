# SPDX-License-Identifier: Apache-2.0
"""Mode dnat: the backend sees its client, and answers by the appliance as its gateway."""
from dataclasses import replace

from builder import Case, Error, Service
from fragment_cases import pieces
from icmp_cases import LENGTHS, ROUTERS
from worlds import KINDS, SNAT, VIP, client, kind, talk, world

NEIGHBOUR = "02:00:00:00:00:99"  # a client on the appliance's own segment
GATEWAY = "02:00:00:00:00:01"
TIME_WRAPS_MS = 35_184_372  # of what was seen lately


def dnat_world(family, protocol, slots=(1,), **changes):
    service = Service(1, VIP[family], 80, protocol, slots=slots, mode="dnat", has_flows=False)
    fields = {"services": (service,), "own_addresses": (SNAT[family],),
              "gateways": ((family, 1, GATEWAY),), **changes}
    return world(family, protocol, backends=max(slots), **fields)


def shared_world(family, protocol):
    """Port 81 has the backend of port 80, too."""
    w = dnat_world(family, protocol)
    return replace(w, services=(*w.services, replace(w.services[0], id=2, port=81)))


def conversations():
    for protocol, family in KINDS:
        w = dnat_world(family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: mode dnat translates one end, both ways, and "
                    "remembers nothing", w)
        case.request(t, new=protocol == "tcp", flags="S", flows=(0, 0, 0))
        case.answer(t, flags="SA", flows=(0, 0, 0))
        case.request(t, payload=b"odd", flags="PA", traffic_class=0xB9)
        case.answer(t, payload=bytes(range(255)), flags="PA", hops=2)
        case.request(t, checksum_error=0x1234)
        case.answer(t, checksum_error=0x1234)
        if protocol == "udp" and family == 4:
            case.request(t, payload=b"bare", without_checksum=True)
            case.answer(t, payload=b"bare", without_checksum=True)
        case.wait(3_600_000)
        case.answer(t, payload=b"an hour later")
        yield case

        case = Case(f"{kind(protocol, family)}: in mode dnat clients spread over backends",
                    spread := dnat_world(family, protocol, (1, 2)))
        for number in range(1, 9):
            by = spread.service(1).backend_of(spread.hash_key, client(family, number))
            t = talk(spread, family, number, backend=by)
            case.request(t, payload=b"x")
            case.answer(t, payload=b"y")
        yield case


def ways_back():
    for protocol, family in KINDS:
        w = dnat_world(family, protocol)
        case = Case(f"{kind(protocol, family)}: an answer goes back the way its client came, else "
                    "by the default route", w)
        near = talk(w, family, number=2, router=NEIGHBOUR)
        case.request(near, payload=b"x")
        case.answer(near)
        case.answer(talk(w, family, number=3))
        case.wait(1_700_000)
        case.answer(near)
        moved = replace(near, router=GATEWAY)
        case.request(moved, payload=b"x")
        case.answer(moved)
        case.request(near, payload=b"x")
        case.answer(near)
        case.wait(1_900_000)
        case.answer(moved)
        case.request(near, payload=b"x")
        for _ in range(3):
            case.wait(1_000_000)
            case.request(near, payload=b"x")
        case.wait(1_000_000)
        case.answer(near)
        alone = replace(w, gateways=())
        case.configure(alone)
        case.answer(near)
        case.drops(talk(alone, family, number=3).answer(), "no_way_back", service=1)
        yield case

        case = Case(f"{kind(protocol, family)}: a way back that was forgotten stays so when the "
                    "tables' time wraps", w)
        case.request(near)
        case.wait(7_200_000)
        case.request(moved)
        case.answer(moved)
        case.wait(TIME_WRAPS_MS - 7_000_000)
        case.answer(moved)
        yield case


def not_answers():
    for protocol, family in KINDS:
        w = dnat_world(family, protocol)
        t = talk(w, family)
        case = Case(f"{kind(protocol, family)}: what is no answer of mode dnat", w)
        probe = replace(t.answer(), destination=SNAT[family])
        case.passes(probe, "not_ours", summary="the answer to a health check")
        case.passes(replace(t.answer(), source_port=3001), "not_ours")
        case.passes(replace(t.answer(), source=client(family, 8)), "not_ours")
        case.answers(t.answer(hops=1), "ttl_expired", "time exceeded", service=1)
        case.answers(t.request(hops=1), "ttl_expired", "time exceeded", service=1)
        case.configure(w.with_service(1, mode="dsr"))
        case.passes(t.answer(), "not_ours")
        case.configure(w.with_service(1, slots=(0,)))
        case.passes(t.request(), "no_backend", service=1)
        case.configure(w.with_backend(1, resolved=False))
        case.drops(t.request(), "backend_unresolved", service=1)
        yield case


def shared_backends():
    for protocol, family in KINDS:
        w = shared_world(family, protocol)
        one, two = talk(w, family), talk(w, family, number=2, service=2)
        tcp = protocol == "tcp"
        case = Case(f"{kind(protocol, family)}: a backend of two services answers each client as "
                    "the one that it asked", w)
        for t in (one, two):
            case.request(t, new=tcp, flags="S")
            case.answer(t, flags="SA")
            case.request(t)
            case.wait(30_000)
            case.answer(t)
        stranger = talk(w, family, number=3)
        case.passes(stranger.answer(), "not_ours")
        case.drops(replace(one, service=2).request(flags="S"), "tuple_in_use", service=2)
        if tcp:
            case.passes(stranger.request(), "no_flow", service=1)
        else:
            case.request(stranger)
            case.answer(stranger)
        yield case

        if not tcp:
            continue
        case = Case(f"{kind(protocol, family)}: what closes at a shared backend is soon forgotten",
                    w)
        case.request(one, new=True, flags="S")
        case.wait(11_000)
        case.passes(one.answer(flags="SA"), "not_ours")
        case.request(one, new=True, flags="S")
        case.request(one)
        case.wait(3_600_000)
        case.answer(one)
        case.request(one, flags="FA")
        case.request(one)
        case.wait(9_000)
        case.request(one)
        case.answer(one, flags="FA")
        case.wait(11_000)
        case.passes(one.answer(), "not_ours")
        case.request(replace(one, service=2), new=True, flags="S")
        case.answer(replace(one, service=2), flags="SA")
        yield case


def similar_clients():
    """Under one hash key in 128 these two meet where half of their tuple's hashing counts less."""
    for protocol in ("tcp", "udp"):
        w = replace(shared_world(6, protocol), hash_key=(34, 0))
        one, two = (replace(talk(w, 6, service=service), client=address) for service, address in
                    ((1, "2001:db8:18::3"), (2, "2001:db8:18:1::2")))
        case = Case(f"{kind(protocol, 6)}: clients at a shared backend that are alike in all but "
                    "two bytes are two", w)
        for t in (one, two):
            case.request(t, new=protocol == "tcp", flags="S")
        for t in (one, two):
            case.answer(t, flags="SA")
        yield case


def fragments():
    for family in (4, 6):
        w = dnat_world(family, "udp")
        t = talk(w, family)
        case = Case(f"UDP over IPv{family}: in mode dnat fragments follow the first one", w)
        for piece in pieces(t.request(payload=bytes(4000))):
            case.request_piece(t, piece)
        for piece in pieces(t.answer(payload=bytes(4000))):
            case.answer_piece(t, piece)
        yield case


def errors():
    for protocol, family in KINDS:
        w = dnat_world(family, protocol)
        t = talk(w, family, number=4, router=NEIGHBOUR)
        answer = t.answer(payload=b"answer, of an odd length", flags="PA", acknowledgement=104)
        request = t.request(payload=b"question", flags="PA", acknowledgement=901)
        case = Case(f"{kind(protocol, family)}: in mode dnat errors find both ends", w)
        case.request(t)
        for what in ("too big", "unreachable", "time exceeded"):
            for length in LENGTHS:
                arriving = Error(t.returned(answer), ROUTERS[family], t.to.address, kind=what,
                                 quoted_bytes=length)
                leaving = replace(arriving, about=replace(answer, hops=answer.hops - 1),
                                  destination=t.by.address, hops=arriving.hops - 1,
                                  ethernet_source=t.by.own_mac, ethernet_destination=t.by.mac)
                case.error(t, "backend", arriving, leaving)
                arriving = Error(t.forwarded(request), ROUTERS[family], t.client, kind=what,
                                 ethernet_source=t.by.mac, quoted_bytes=length)
                leaving = replace(arriving, about=replace(request, hops=request.hops - 1),
                                  source=t.to.address, hops=arriving.hops - 1,
                                  ethernet_source=arriving.ethernet_destination,
                                  ethernet_destination=NEIGHBOUR)
                case.error(t, "client", arriving, leaving)
        own = replace(arriving, about=replace(arriving.about, source=SNAT[family]),
                      destination=SNAT[family])
        case.passes(own, "not_ours", summary="about a health check")
        yield case


def cases():
    for group in (conversations, ways_back, not_answers, shared_backends, similar_clients,
                  fragments, errors):
        yield from group()
