# SPDX-License-Identifier: Apache-2.0
"""What the cases are written with: packets by scapy, an appliance's configuration, and a case that
adds up its counters.

The packet that must come out is always built from scratch by scapy, checksums and all, from the
fields that it should have. Nothing here is asked of the code under test; the hashes are computed
anew too (hashes.py).
"""
import struct
from dataclasses import dataclass, replace
from functools import reduce
from ipaddress import ip_address, ip_network
from operator import truediv

from hashes import flow_hash, siphash13
from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded,
                                 IPv6, IPv6ExtHdrFragment)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

conf.ipv6_enabled = True

APPLIANCE = "02:00:00:00:00:fe"
ROUTER = "02:00:00:00:00:01"  # where clients' frames come from
INTERFACE = 1  # frames always come in here
LOOKUP_SLOTS = 65537
CONTESTED = 0x8000  # in a slot: there may be clients who keep another backend
QUOTED_BYTES = 128  # of a packet, in an error about it


@dataclass(frozen=True)
class Packet:
    """A TCP or UDP packet as one reads it. Checksums are right unless a field says otherwise."""

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    ethernet_source: str = ROUTER
    ethernet_destination: str = APPLIANCE
    hops: int = 64  # TTL or hop limit
    payload: bytes = b""
    flags: str = "A"
    sequence: int = 1000
    acknowledgement: int = 0
    window: int = 29200
    tcp_options: tuple = ()
    ip_options: bytes = b""  # IPv4, a multiple of four bytes
    chain: tuple = ()  # IPv6 extension headers, of scapy
    traffic_class: int = 0
    label: int = 0x1234  # IPv4: identification; IPv6: flow label
    dont_fragment: bool = True
    without_checksum: bool = False  # UDP over IPv4
    checksum_error: int = 0  # added to the right checksum, in ones' complement
    ip_checksum_error: int = 0
    padding: bytes = b""  # behind the IP packet

    @property
    def family(self):
        return ip_address(self.source).version

    def transport_offset(self):
        return 14 + len(self.ip_header())

    def checksum_offset(self):
        return self.transport_offset() + (16 if self.protocol == "tcp" else 6)

    def ip_header(self):
        """With IPv6's extension headers."""
        if self.family == 6:
            header = IPv6(src=self.source, dst=self.destination, hlim=self.hops, fl=self.label,
                          tc=self.traffic_class)
            return reduce(truediv, self.chain, header)
        words = 5 + len(self.ip_options) // 4
        header = IP(src=self.source, dst=self.destination, ttl=self.hops, id=self.label,
                    tos=self.traffic_class, flags="DF" if self.dont_fragment else 0, ihl=words)
        if self.ip_options:
            header.options = [Raw(self.ip_options)]  # as they are
        return header

    def _transport(self):
        if self.protocol == "tcp":
            return TCP(sport=self.source_port, dport=self.destination_port, flags=self.flags,
                       seq=self.sequence, ack=self.acknowledgement, window=self.window,
                       options=list(self.tcp_options))
        zero = {"chksum": 0} if self.without_checksum else {}
        return UDP(sport=self.source_port, dport=self.destination_port, **zero)

    def ip_bytes(self):
        return len(self.frame()) - 14 - len(self.padding)

    def frame(self):
        layers = Ether(src=self.ethernet_source, dst=self.ethernet_destination) / self.ip_header()
        layers = layers / self._transport()
        if self.payload:
            layers = layers / Raw(self.payload)
        frame = bytearray(bytes(layers))
        if self.checksum_error:
            add_to_checksum(frame, self.checksum_offset(), self.checksum_error)
        if self.ip_checksum_error:
            add_to_checksum(frame, 24, self.ip_checksum_error)
        return bytes(frame) + self.padding


def add_to_checksum(frame, offset, error):
    wrong = struct.unpack_from("!H", frame, offset)[0] + error
    wrong = (wrong & 0xFFFF) + (wrong >> 16)
    assert wrong not in (0, 0xFFFF), "choose another error: this one has two representations"
    struct.pack_into("!H", frame, offset, wrong)


@dataclass(frozen=True)
class Piece:
    """A fragment: these bytes of what is behind a packet's IP header."""

    whole: Packet
    start: int
    end: int
    identification: int = 0x1234

    padding = b""

    def __getattr__(self, name):
        return getattr(self.whole, name)  # family, addresses, ...

    def ip_bytes(self):
        return len(self.frame()) - 14

    def frame(self):
        whole = self.whole.frame()
        behind = whole[self.whole.transport_offset():]
        fields = {"more": self.end < len(behind), "offset": self.start // 8}
        return whole[:14] + self._header(whole, **fields) + behind[self.start:self.end]

    def _header(self, whole, more, offset):
        payload_bytes = self.end - self.start
        if self.family == 4:
            header = IP(whole[14:34])
            header.id, header.flags, header.frag = self.identification, "MF" if more else 0, offset
            header.len = 20 + payload_bytes
            del header.chksum
            return bytes(header)
        header = IPv6(whole[14:54])
        extension = IPv6ExtHdrFragment(nh=header.nh, m=int(more), offset=offset,
                                       id=self.identification)
        header.nh, header.plen = 44, 8 + payload_bytes
        return bytes(header) + bytes(extension)


@dataclass(frozen=True)
class Tunnelled:
    """A packet in another one to a backend."""

    inner: Packet
    appliance: "Appliance"
    to: str
    flow: Packet = None  # whose hash counts; the packet's own

    def source(self, hash_):
        """The tunnel's prefix, and where it leaves bits open those of the flow's hash."""
        family = ip_address(self.to).version
        prefix = next(network for network in map(ip_network, self.appliance.tunnel_sources)
                      if network.version == family)
        low, high = struct.pack("<I", hash_ & 0xFFFFFFFF), struct.pack("<I", hash_ >> 32)
        random = high if family == 4 else (high + low) * 2
        spread = int.from_bytes(random, "big") & int(prefix.hostmask)
        return str(ip_address(prefix.network_address) + spread)

    def frame(self):
        hash_ = flow_hash(self.appliance.hash_key, self.flow or self.inner)
        inner = self.inner.frame()[14:len(self.inner.frame()) - len(self.inner.padding)]
        protocol = 4 if self.inner.family == 4 else 41
        fields = {"src": self.source(hash_), "dst": self.to}
        if ip_address(self.to).version == 4:
            outer = IP(**fields, ttl=64, id=0, flags="DF", proto=protocol,
                       tos=self.inner.traffic_class)
        else:
            outer = IPv6(**fields, hlim=64, nh=protocol, tc=self.inner.traffic_class,
                         fl=hash_ & 0xFFFFF)
        return bytes(Ether(src=self.inner.ethernet_source, dst=self.inner.ethernet_destination)
                     / outer / Raw(inner)) + self.inner.padding


def error_about(packet, what, mtu=0):
    """The frame of the appliance's own ICMP error about a packet: "time exceeded", "too big"."""
    quoted = packet.frame()[14:][:min(packet.ip_bytes() & ~1, QUOTED_BYTES)]
    ethernet = Ether(src=packet.ethernet_destination, dst=packet.ethernet_source)
    if packet.family == 4:
        header = IP(src=packet.destination, dst=packet.source, ttl=64, id=0, flags="DF")
        error = (ICMP(type=11, code=0) if what == "time exceeded"
                 else ICMP(type=3, code=4, nexthopmtu=mtu))
        return bytes(ethernet / header / error / Raw(quoted))
    header = IPv6(src=packet.destination, dst=packet.source, hlim=64)
    error = (ICMPv6TimeExceeded(code=0) if what == "time exceeded"
             else ICMPv6PacketTooBig(mtu=mtu))
    return bytes(ethernet / header / error / Raw(quoted))


@dataclass(frozen=True)
class Error:
    """An ICMP error about a packet: it quotes the IP header and so many bytes behind that."""

    about: Packet
    source: str
    destination: str
    kind: str = "too big"  # "unreachable", "time exceeded"
    ethernet_source: str = ROUTER
    ethernet_destination: str = APPLIANCE
    hops: int = 60
    quoted_bytes: int = 1000
    traffic_class: int = 0
    padding: bytes = b""
    chain: tuple = ()  # IPv6 extension headers before the error

    @property
    def family(self):
        return self.about.family

    def ip_bytes(self):
        return len(self.frame()) - 14 - len(self.padding)

    def _layers(self):
        if self.family == 4:
            types = {"too big": ICMP(type=3, code=4, nexthopmtu=1280),
                     "unreachable": ICMP(type=3, code=3), "time exceeded": ICMP(type=11)}
            return IP(src=self.source, dst=self.destination, ttl=self.hops, id=7,
                      tos=self.traffic_class) / types[self.kind]
        types = {"too big": ICMPv6PacketTooBig(mtu=1280),
                 "unreachable": ICMPv6DestUnreach(code=4), "time exceeded": ICMPv6TimeExceeded()}
        header = IPv6(src=self.source, dst=self.destination, hlim=self.hops,
                      tc=self.traffic_class)
        return reduce(truediv, self.chain, header) / types[self.kind]

    def frame(self):
        header_bytes = self.about.transport_offset() - 14
        quoted = self.about.frame()[14:][:header_bytes + self.quoted_bytes]
        return bytes(Ether(src=self.ethernet_source, dst=self.ethernet_destination)
                     / self._layers() / Raw(quoted)) + self.padding


@dataclass(frozen=True)
class Backend:
    id: int
    address: str
    port: int
    protocol: str
    mac: str = "02:00:00:00:00:b1"
    interface: int = INTERFACE
    own_mac: str = APPLIANCE  # the source of frames to it
    resolved: bool = True
    down: bool = False
    mtu: int = 0  # of the way to it; 0: not known
    tags: tuple = ()  # VLAN tags of frames to it: (VLAN, "802.1Q" or "802.1ad"), outermost first

    @property
    def family(self):
        return ip_address(self.address).version

    def to_json(self):
        hop = {"interface": self.interface, "source": self.own_mac, "destination": self.mac,
               "mtu": self.mtu, **({"tags": self.tags} if self.tags else {})}
        return {"id": self.id, "protocol": self.protocol,
                "address": self.address, "port": self.port,
                "next_hop": hop if self.resolved else None, "down": self.down}


@dataclass(frozen=True)
class Affinity:
    """How a service's clients keep their backends. A place is an affinity table's; in the one that
    is `begun` nobody is known yet."""

    idle_s: int
    place: int = 0  # of the lookup table
    earlier: tuple = ()  # (place, slots), oldest first
    contested: tuple = ()  # which of the slots are
    begun: bool = False

    def to_json(self):
        return {"idle_s": self.idle_s, "place": self.place, "begun": self.begun,
                "earlier": [{"place": place, "slots": slots} for place, slots in self.earlier]}


@dataclass(frozen=True)
class Service:
    id: int
    address: str
    port: int
    protocol: str
    slots: tuple = (1,)  # backend ids; slot i of the lookup table holds slots[i % len(slots)]
    prefix_bits: int = 0  # 0: all of the address
    mode: str = "nat"
    has_flows: bool = True
    hash: str = "client"  # "flow": the client's port too
    syn_cookies: bool = False
    clamps_mss: bool = False
    members: tuple = ()  # backend ids; empty: those in its slots
    affinity: Affinity = None
    allow: tuple = ()  # prefixes
    deny: tuple = ()
    new_flows: tuple = None  # a second, at once, bits of the clients' prefix
    only_from: int = 0  # the interface that flows are opened from; 0: any

    @property
    def family(self):
        return ip_address(self.address).version

    def bits(self):
        return self.prefix_bits or ip_address(self.address).max_prefixlen

    def backend_of(self, hash_key, client, port=None):
        network = ip_network(f"{client}/{self.bits()}", strict=False)
        hashed = network.network_address.packed
        if self.hash == "flow":
            hashed += struct.pack("!H", port)
        client_hash = siphash13(hash_key, hashed)
        return self.slots[((client_hash >> 32) * LOOKUP_SLOTS >> 32) % len(self.slots)]

    def to_json(self):
        return {"id": self.id, "protocol": self.protocol,
                "address": self.address, "port": self.port,
                "client_prefix_bits": self.bits(), "hash": self.hash, "mode": self.mode,
                "has_flows": self.has_flows, "syn_cookies": self.syn_cookies,
                "clamps_mss": self.clamps_mss,
                **({"affinity": self.affinity.to_json()} if self.affinity else {}),
                "slots": self.marked_slots(), **self._access(),
                **({"only_from": self.only_from} if self.only_from else {})}

    def marked_slots(self):
        contested = self.affinity.contested if self.affinity else ()
        return [backend | CONTESTED * (slot in contested)
                for slot, backend in enumerate(self.slots)]

    def _access(self):
        fields = {"allow": self.allow, "deny": self.deny, "new_flows": self.new_flows}
        return {key: list(value) for key, value in fields.items() if value}


@dataclass(frozen=True)
class Appliance:
    """A configuration. Timeouts in ms."""

    services: tuple
    backends: tuple
    snat_addresses: tuple
    snat_ports: tuple = (20000, 20000)
    hash_key: tuple = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
    interfaces: tuple = ((INTERFACE, APPLIANCE),)  # of VLANs with tags, as a backend's
    tunnel_sources: tuple = ()  # prefixes
    own_addresses: tuple = ()
    gateways: tuple = ()  # (family, interface, MAC) of the default routes; tags as an interface's
    flow_table_entries: int = 64
    tcp_half_open: int = 10_000
    tcp_established: int = 7_440_000
    tcp_closing: int = 10_000
    udp_half_open: int = 30_000
    udp_established: int = 300_000

    def backend(self, backend_id):
        return next(b for b in self.backends if b.id == backend_id)

    def service(self, service_id):
        return next(s for s in self.services if s.id == service_id)

    def snat(self, family):
        return next(a for a in self.snat_addresses if ip_address(a).version == family)

    def with_backend(self, backend_id, **changes):
        return replace(self, backends=tuple(
            replace(b, **changes) if b.id == backend_id else b for b in self.backends))

    def with_service(self, service_id, **changes):
        return replace(self, services=tuple(
            replace(s, **changes) if s.id == service_id else s for s in self.services))

    def to_json(self):
        return {
            "hash_key": [f"{word:016x}" for word in self.hash_key],
            "interfaces": [{"index": index, "mac": mac, **({"tags": tags[0]} if tags else {})}
                           for index, mac, *tags in self.interfaces],
            "snat_addresses": list(self.snat_addresses),
            "tunnel_sources": list(self.tunnel_sources),
            "own_addresses": list(self.own_addresses),
            "gateways": [{"family": family, "interface": interface, "mac": mac,
                          **({"tags": tags[0]} if tags else {})}
                         for family, interface, mac, *tags in self.gateways],
            "snat_port_first": self.snat_ports[0], "snat_port_last": self.snat_ports[1],
            "timeouts_ms": {key: getattr(self, key) for key in (
                "tcp_half_open", "tcp_established", "tcp_closing",
                "udp_half_open", "udp_established")},
            "services": [service.to_json() for service in self.services],
            "backends": [{**backend.to_json(), "dnat": list(self.dnat_services(backend))}
                         for backend in self.backends],
        }

    def dnat_services(self, backend):
        """Ids of the services in mode dnat that have it."""
        return tuple(service.id for service in self.services
                     if service.mode == "dnat"
                     and backend.id in (service.members or service.slots))


@dataclass(frozen=True)
class Talk:
    """A client's 5-tuple, and the backend that is to serve it. `snat`: a name for a source address
    and port that the case cannot foretell; None: the only one there is."""

    appliance: Appliance
    client: str
    port: int = 40000
    service: int = 1
    backend: int = 1
    snat: str = None
    router: str = ROUTER

    @property
    def to(self):
        return self.appliance.service(self.service)

    @property
    def by(self):
        return self.appliance.backend(self.backend)

    def request(self, **fields):
        return Packet(self.to.protocol, self.client, self.port, self.to.address, self.to.port,
                      ethernet_source=self.router, **fields)

    def forwarded(self, request):
        handed_over = replace(request, hops=request.hops - 1, ethernet_source=self.by.own_mac,
                              ethernet_destination=self.by.mac)
        if self.to.mode == "dsr":
            return handed_over
        if self.to.mode == "tunnel":
            return Tunnelled(handed_over, self.appliance, self.by.address)
        return self.translated(handed_over)

    def forwarded_piece(self, piece):
        handed_over = replace(piece.whole, hops=piece.whole.hops - 1,
                              ethernet_source=self.by.own_mac, ethernet_destination=self.by.mac)
        if self.to.mode in ("nat", "dnat"):
            return replace(piece, whole=self.translated(handed_over))
        handed_over = replace(piece, whole=handed_over)
        if self.to.mode == "dsr":
            return handed_over
        return Tunnelled(handed_over, self.appliance, self.by.address, flow=piece.whole)

    def forwarded_error(self, error):
        """In a mode without flows, one that quotes an answer: as the client's packets."""
        handed_over = replace(error, hops=error.hops - 1, ethernet_source=self.by.own_mac,
                              ethernet_destination=self.by.mac)
        if self.to.mode == "dsr":
            return handed_over
        return Tunnelled(handed_over, self.appliance, self.by.address, flow=self.request())

    def translated(self, request):
        if self.to.mode == "dnat":
            return replace(request, destination=self.by.address, destination_port=self.by.port)
        return replace(request, source=self.appliance.snat(request.family),
                       source_port=self.appliance.snat_ports[0],
                       destination=self.by.address, destination_port=self.by.port)

    def answer(self, **fields):
        if self.to.mode == "dnat":
            return Packet(self.to.protocol, self.by.address, self.by.port, self.client, self.port,
                          ethernet_source=self.by.mac, **fields)
        snat = self.appliance.snat(ip_address(self.client).version)
        return Packet(self.to.protocol, self.by.address, self.by.port,
                      snat, self.appliance.snat_ports[0], ethernet_source=self.by.mac, **fields)

    def returned(self, answer):
        return replace(answer, source=self.to.address, source_port=self.to.port,
                       destination=self.client, destination_port=self.port, hops=answer.hops - 1,
                       ethernet_source=APPLIANCE, ethernet_destination=self.router)


def summarise(packet):
    if isinstance(packet, Error):
        return (f"ICMP {packet.kind} {packet.source} > {packet.destination} about: "
                f"{summarise(packet.about)}")
    if isinstance(packet, Piece):
        return f"bytes {packet.start} to {packet.end} of: {summarise(packet.whole)}"
    what = packet.flags if packet.protocol == "tcp" else "datagram"
    return (f"{packet.protocol} {what} {packet.source}.{packet.source_port} > "
            f"{packet.destination}.{packet.destination_port}")


class Case:
    """One case of the corpus. Each call appends a step; the counters at the end are their sum."""

    def __init__(self, name, appliance):
        self.name = name
        self.appliance = appliance
        self.steps = []
        self.traffic = {"services": {}, "backends": {}}
        self.reasons = {}
        self._pending = {}

    def wait(self, ms):
        """Time passes before the next step."""
        self._pending["advance_ms"] = ms

    def configure(self, appliance):
        """Another configuration is applied before the next step."""
        self._pending["configuration"] = appliance.to_json()

    def _step(self, summary, frame, **fields):
        self.steps.append({"summary": summary, **self._pending, "in": frame.hex(), **fields})
        self._pending = {}

    def _count_traffic(self, talk, direction, ip_bytes, new):
        for kind, key in (("services", talk.service), ("backends", talk.backend)):
            counts = self.traffic[kind].setdefault(str(key), dict.fromkeys(
                ("packets_to_backend", "bytes_to_backend", "packets_to_client",
                 "bytes_to_client", "new_flows"), 0))
            counts[f"packets_to_{direction}"] += 1
            counts[f"bytes_to_{direction}"] += ip_bytes
            counts["new_flows"] += new

    def _count_reason(self, service, reason):
        counts = self.reasons.setdefault(str(service), {})
        counts[reason] = counts.get(reason, 0) + 1

    def _transmit(self, talk, direction, packet, out, interface, new, optional):
        self._step(summarise(packet), packet.frame(), verdict="transmit", interface=interface,
                   out=out.frame().hex(), **{k: v for k, v in optional.items() if v is not None})
        self._count_traffic(talk, direction, packet.ip_bytes(), new)

    def sends(self, talk, direction, packet, out, new=False, flows=None):
        """It goes on, as `out`."""
        self._transmit(talk, direction, packet, out, INTERFACE, int(new), {"flows": flows})

    def request_piece(self, talk, piece, new=False):
        """A fragment of the client's goes to the backend."""
        self._transmit(talk, "backend", piece, talk.forwarded_piece(piece), talk.by.interface,
                       new, {})

    def answer_piece(self, talk, piece):
        """A fragment of the backend's goes to the client."""
        returned = replace(piece, whole=talk.returned(piece.whole))
        self._transmit(talk, "client", piece, returned, INTERFACE, False, {})

    def request(self, talk, new=False, flows=None, **fields):
        """The client's packet goes to the backend. `flows`: how many live flows there are after
        it, as (half-open, established, closing)."""
        packet = talk.request(**fields)
        self._transmit(talk, "backend", packet, talk.forwarded(packet), talk.by.interface,
                       int(new), {"snat_out": talk.snat, "flows": flows})

    def answer(self, talk, flows=None, **fields):
        """The backend's packet goes to the client."""
        packet = talk.answer(**fields)
        self._transmit(talk, "client", packet, talk.returned(packet), INTERFACE, 0,
                       {"snat_in": talk.snat, "flows": flows})

    def error(self, talk, direction, arriving, leaving, interface=INTERFACE, flows=None):
        """An error goes on, to the talk's backend or client."""
        self._transmit(talk, direction, arriving, leaving, interface, 0, {"flows": flows})

    def _refused(self, verdict, what, reason, service, summary, snat):
        if isinstance(what, (Packet, Error)):
            summary = summary or summarise(what)
            what = what.frame()
        self._step(summary or f"{len(what)} bytes", what, verdict=verdict, reason=reason,
                   **({"snat_in": snat} if snat else {}))
        if reason:
            self._count_reason(service, reason)

    def passes(self, what, reason, service=0, summary=None, snat=None):
        """Goes to the kernel untouched. Reason None: nothing is counted."""
        self._refused("pass", what, reason, service, summary, snat)

    def drops(self, what, reason, service=0, summary=None, snat=None):
        self._refused("drop", what, reason, service, summary, snat)

    def answers(self, packet, reason, what, service=0, mtu=0, snat=None):
        """The appliance itself answers, with an ICMP error."""
        self._step(summarise(packet), packet.frame(), verdict="transmit", reason=reason,
                   interface=INTERFACE, out=error_about(packet, what, mtu).hex(),
                   **({"snat_in": snat} if snat else {}))
        self._count_reason(service, reason)

    def fill(self, talk, newcomers, places, reason):
        """Each newcomer opens a flow or is dropped for `reason`; `places` of them find room, and
        which ones is the flow table's own affair."""
        for number, packet in enumerate(newcomers):
            self._step(summarise(packet), packet.frame(), verdict="any", reason=reason)
            if number < places:
                self._count_traffic(talk, "backend", packet.ip_bytes(), 1)
            else:
                self._count_reason(talk.service, reason)

    def to_json(self):
        assert not self._pending, f"{self.name}: nothing happens after the last change"
        return {"name": self.name, "flow_table_entries": self.appliance.flow_table_entries,
                "configuration": self.appliance.to_json(), "steps": self.steps,
                "counters": {**self.traffic, "reasons": self.reasons}}
