# SPDX-License-Identifier: Apache-2.0
"""The small networks that the cases play in, one a family and protocol, and the clients in them."""
from builder import Appliance, Backend, Service, Talk

VIP = {4: "203.0.113.10", 6: "2001:db8:113::10"}
SNAT = {4: "10.0.0.254", 6: "2001:db8:10::fe"}
SECOND_SNAT = {4: "10.0.0.253", 6: "2001:db8:10::fd"}
KINDS = [(protocol, family) for family in (4, 6) for protocol in ("tcp", "udp")]


def client(family, number=1):
    return f"198.18.0.{number}" if family == 4 else f"2001:db8:18::{number:x}"


def backend(family, protocol, number=1, **changes):
    address = f"10.0.0.{number}" if family == 4 else f"2001:db8:10::{number:x}"
    fields = {"id": number, "address": address, "port": 3000, "protocol": protocol,
              "mac": f"02:00:00:00:00:b{number}", **changes}
    return Backend(**fields)


def world(family, protocol, backends=1, **changes):
    """One service, whose lookup table sends every client to backend 1, and one source port.
    `backends`: how many there are."""
    fields = {
        "services": (Service(1, VIP[family], 80, protocol),),
        "backends": tuple(backend(family, protocol, n + 1) for n in range(backends)),
        "snat_addresses": (SNAT[family],),
        **changes,
    }
    return Appliance(**fields)


def talk(appliance, family, number=1, **changes):
    return Talk(appliance, client(family, number), **changes)


def kind(protocol, family):
    return f"{protocol.upper()} over IPv{family}"


def open_connection(case, talk, established=None):
    """The handshake, or for UDP the datagrams that make the flow an established one."""
    if talk.to.protocol == "tcp":
        case.request(talk, new=True, flags="S", sequence=100)
        case.answer(talk, flags="SA", sequence=900, acknowledgement=101)
        case.request(talk, flows=established, flags="A", sequence=101, acknowledgement=901)
    else:
        case.request(talk, new=True, payload=b"ping")
        case.answer(talk, payload=b"pong")
        case.request(talk, flows=established, payload=b"ping again")
