# SPDX-License-Identifier: Apache-2.0
"""A configuration as a packet meets it: by addresses in bytes. Made of a golden Appliance."""
import struct
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from builder import LOOKUP_SLOTS
from hashes import siphash13
from model import vlan
from model.affinity import Asker
from model.flows import CLOSING, ESTABLISHED, HALF_OPEN, TICK_SHIFT
from model.rewrites import Hop
from model.wire import PROTOCOLS, TCP, UDP


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def ticks(ms):
    """Rounded up: a flow lives at least as long as its timeout says."""
    return -(-ms * 1_000_000 >> TICK_SHIFT)


@dataclass(frozen=True)
class AffinityTables:
    """A service's lookup table and those before, each at its place."""

    idle: int  # ticks
    place: int
    slots: tuple
    earlier: tuple
    contested: tuple
    begun: bool

    @staticmethod
    def leads(slots, asker):
        return slots[asker.slot % len(slots)]

    def is_contested(self, asker):
        return asker.slot % len(self.slots) in self.contested

    def has(self, place):
        return place == self.place or any(place == earlier for earlier, _ in self.earlier)


@dataclass(frozen=True)
class Service:
    id: int
    vip: bytes
    port: int
    mode: str
    has_flows: bool
    syn_cookies: bool
    clamps_mss: bool
    hashes_port: bool
    prefix_mask: bytes
    slots: tuple
    affinity: AffinityTables  # or None
    rules: dict  # whether it lets a prefix in: {network: bool}
    lets_others_in: bool
    limit: tuple  # of new flows: a second, at once, the mask of the clients' prefix


@dataclass(frozen=True)
class Backend:
    id: int
    address: bytes
    port: int
    resolved: bool
    down: bool
    mtu: int
    hop: Hop
    dnat_services: tuple  # ids

    @property
    def family(self):
        return 4 if len(self.address) == 4 else 6


class Configuration:
    def __init__(self, appliance):
        self.hash_key = appliance.hash_key
        # By place: index and VLAN tags, and the MAC address.
        self.interfaces = [(index, vlan.wire(*tags)) for index, _, *tags in appliance.interfaces]
        self.own_macs = [mac_bytes(mac) for _, mac, *_ in appliance.interfaces]
        self.timeouts = {
            TCP: {HALF_OPEN: ticks(appliance.tcp_half_open), CLOSING: ticks(appliance.tcp_closing),
                  ESTABLISHED: ticks(appliance.tcp_established)},
            UDP: {HALF_OPEN: ticks(appliance.udp_half_open),
                  ESTABLISHED: ticks(appliance.udp_established)},
        }
        self._read_services(appliance.services)
        self._read_backends(appliance)
        self._read_addresses(appliance)
        self._askers = {}
        self._let_in = {}

    def _read_services(self, services):
        self.services, self._by_vip = {}, {}
        for service in services:
            vip = ip_address(service.address).packed
            mask = ip_network(f"{service.address}/{service.bits()}", strict=False).netmask.packed
            rules = {**{ip_network(prefix): True for prefix in service.allow},
                     **{ip_network(prefix): False for prefix in service.deny}}
            read = Service(service.id, vip, service.port, service.mode, service.has_flows,
                           service.syn_cookies, service.clamps_mss, service.hash == "flow", mask,
                           service.slots, self._affinity_of(service), rules,
                           not service.allow, self._limit_of(service))
            self.services[service.id] = read
            self._by_vip[vip, service.port, PROTOCOLS[service.protocol]] = read
        self.vips = {vip for vip, _, _ in self._by_vip}

    @staticmethod
    def _affinity_of(service):
        affinity = service.affinity
        return affinity and AffinityTables(ticks(affinity.idle_s * 1000), affinity.place,
                                           service.slots, affinity.earlier, affinity.contested,
                                           affinity.begun)

    @staticmethod
    def _limit_of(service):
        if service.new_flows is None:
            return None
        per_second, burst, bits = service.new_flows
        mask = ip_network(f"{service.address}/{bits}", strict=False).netmask.packed
        return per_second, burst, mask

    def _read_backends(self, appliance):
        self.backends, self.endpoints = {}, {}
        for backend in appliance.backends:
            address = ip_address(backend.address).packed
            hop = Hop(backend.interface, mac_bytes(backend.own_mac), mac_bytes(backend.mac),
                      vlan.wire(backend.tags))
            self.backends[backend.id] = Backend(
                backend.id, address, backend.port, backend.resolved, backend.down, backend.mtu, hop,
                appliance.dnat_services(backend))
            self.endpoints[address, backend.port, PROTOCOLS[backend.protocol]] = backend.id

    def _read_addresses(self, appliance):
        self.snat = {4: set(), 6: set()}
        for address in map(ip_address, appliance.snat_addresses):
            self.snat[address.version].add(address.packed)
        self.own_addresses = {ip_address(address).packed for address in appliance.own_addresses}
        self.gateways = {}
        for family, interface, mac, *tags in appliance.gateways:
            place = self.place_of(interface, vlan.wire(*tags))
            if place is not None:
                self.gateways[family] = mac_bytes(mac), place
        self._pool = range(appliance.snat_ports[0], appliance.snat_ports[1] + 1)
        self.pool_ports = len(self._pool)
        self.tunnel_sources = {network.version: network for network in
                               map(ip_network, appliance.tunnel_sources)}

    def place_of(self, interface, tags):
        """None: it is none of ours."""
        ours = (interface, tags) in self.interfaces
        return self.interfaces.index((interface, tags)) if ours else None

    def service_at(self, address, port, protocol):
        return self._by_vip.get((address, port, protocol))

    def is_of_pool(self, address, port):
        return port in self._pool and address in self.snat[4 if len(address) == 4 else 6]

    def is_tunnel_source(self, address):
        network = self.tunnel_sources.get(4 if len(address) == 4 else 6)
        return network is not None and ip_address(address) in network

    def may_stay(self, backend):
        """Whether clients may, whoever takes new ones."""
        backend = self.backends.get(backend)
        return backend is not None and backend.resolved and not backend.down

    def lets_in(self, service, client):
        """The longest prefix that has the client decides."""
        known = self._let_in.get((service.id, client))
        if known is None:
            having = [network for network in service.rules if ip_address(client) in network]
            longest = max(having, key=lambda network: network.prefixlen, default=None)
            known = service.rules.get(longest, service.lets_others_in)
            self._let_in[service.id, client] = known
        return known

    def asker(self, service, client, port):
        masked = bytes(a & m for a, m in zip(client, service.prefix_mask))
        hashed = masked + (struct.pack("!H", port) if service.hashes_port else b"")
        known = self._askers.get((service.id, hashed))
        if known is None:
            client_hash = siphash13(self.hash_key, hashed)
            slot = (client_hash >> 32) * LOOKUP_SLOTS >> 32
            known = self._askers[service.id, hashed] = Asker(service.id, client_hash, slot)
        return known

    def selected(self, service, client, port):
        """The id of the backend that the client's hash leads to; 0: none."""
        return service.slots[self.asker(service, client, port).slot % len(service.slots)]
