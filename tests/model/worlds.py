# SPDX-License-Identifier: Apache-2.0
"""Random worlds: a configuration, and what becomes of it while packets come."""
from dataclasses import replace
from ipaddress import ip_network

from builder import APPLIANCE, INTERFACE, Affinity, Appliance, Backend, Service
from model.executor import FLOW_TABLE_ENTRIES, MAX_BACKENDS, MAX_SERVICES
from model.places import SERVICES as MOST_WITH_AFFINITY
from model.places import Places
from model.traffic import CLIENTS

OTHER_INTERFACE = (7, "02:00:00:00:00:07", ())
VLANS = (((100, "802.1Q"),), ((100, "802.1ad"),), ((100, "802.1ad"), (200, "802.1Q")),
         ((100, "802.1Q"), (4094, "802.1Q")))
VIPS = {4: ("203.0.113.10", "203.0.113.11"), 6: ("2001:db8:113::10", "2001:db8:113::11")}
SNATS = {4: ("10.0.0.254", "10.0.0.253"), 6: ("2001:db8:10::fe", "2001:db8:10::fd")}
TUNNELS = {4: ("198.51.100.7/32", "198.51.100.0/24", "198.51.100.0/22"),
           6: ("2001:db8:99::7/128", "2001:db8:99::/64", "2001:db8:99::/60")}
OTHER_MAC = "02:00:00:00:00:fd"  # that a VLAN interface may have
GATEWAYS = ("02:00:00:00:00:01", "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03")
BACKENDS_OF_A_SERVICE = 3
AFFINITY_IDLES_S = (3, 10, 60, 1800)


class World:
    """`appliance` is what is configured now. A removed service or backend may come back, as it was:
    its id keeps its meaning."""

    def __init__(self, random):
        self.random = random
        self._ports = iter(random.sample(range(1024, 65536), 64))
        self._vlans = random.sample(VLANS, random.choice((0, 0, 0, 1, 2, 3)))
        services, backends = self._services_and_backends()
        self.everything = Appliance(
            services=services, backends=backends,
            snat_addresses=self._snat_addresses(), snat_ports=self._snat_ports(),
            hash_key=(random.getrandbits(64), random.getrandbits(64)),
            interfaces=self._interfaces(), gateways=self._gateways(),
            own_addresses=self._own_addresses(), tunnel_sources=self._tunnel_sources(),
            flow_table_entries=random.choice(FLOW_TABLE_ENTRIES), **self._timeouts())
        self._places = Places(random, services)
        self.appliance = self._places.put(replace(self.everything, services=()), self.everything)

    def _services_and_backends(self):
        random = self.random
        services, backends = [], []
        kind = None
        for number in range(1, random.randrange(2, min(6, MAX_SERVICES))):
            kind = kind if kind and random.random() < 0.3 else self._kind()
            family, protocol, mode = kind
            port = next(self._ports)
            own = [self._backend(len(backends) + n + 1, family, protocol, mode, port)
                   for n in range(random.randrange(1, BACKENDS_OF_A_SERVICE + 1))]
            backends += own[:MAX_BACKENDS - 1 - len(backends)]
            if mode == "dnat":
                own += self._shared_with(services, backends, family, protocol)
            ids = tuple(backend.id for backend in own)
            services.append(Service(
                number, random.choice(VIPS[family]), port, protocol, mode=mode,
                slots=self._slots(ids), members=ids,
                prefix_bits=random.choice((0, 0, 24 if family == 4 else 64, 9, 31)),
                has_flows=mode == "nat" or random.random() < 0.3,
                hash=random.choice(("client", "client", "flow")),
                **self._handshake(protocol, mode),
                affinity=self._affinity(services), new_flows=self._new_flows(family),
                **(self._access(family) if random.random() < 0.2 else {})))
        return tuple(services), tuple(backends)

    def _handshake(self, protocol, mode):
        """What becomes of SYNs."""
        is_tcp, chance = protocol == "tcp", self.random.random() < 0.6
        return {"syn_cookies": is_tcp and mode == "nat" and chance,
                "clamps_mss": is_tcp and mode == "tunnel" and chance}

    def _kind(self):
        return (self.random.choice((4, 6)), self.random.choice(("tcp", "udp")),
                self.random.choice(("nat",) * 3 + ("dsr",) + ("tunnel", "dnat") * 2))

    def _shared_with(self, services, backends, family, protocol):
        """Those of another service in mode dnat, or none."""
        theirs = {number for service in services if service.mode == "dnat"
                  for number in service.members}
        alike = [backend for backend in backends if backend.id in theirs
                 and (backend.family, backend.protocol) == (family, protocol)]
        return alike if self.random.random() < 0.7 else []

    def _backend(self, number, family, protocol, mode, port):
        random = self.random
        if mode == "tunnel":
            family = random.choice((4, 6))
        interface, own_mac, tags = self._exit()
        address = f"10.0.0.{number}" if family == 4 else f"2001:db8:10::{number:x}"
        return Backend(number, address, random.randrange(1, 65536) if "nat" in mode else port,
                       protocol, mac=f"02:00:00:00:b0:{number:02x}", interface=interface,
                       own_mac=own_mac, tags=tags, resolved=random.random() > 0.02,
                       mtu=random.choice((0, 1500, 1400, 576, 100, 20)))

    def _affinity(self, services):
        have = sum(service.affinity is not None for service in services)
        if have == MOST_WITH_AFFINITY or self.random.random() < 0.5:
            return None
        return Affinity(self.random.choice(AFFINITY_IDLES_S))

    def _new_flows(self, family):
        """A limit whose steps are whole in the tables' time, so that it is met exactly."""
        random = self.random
        if random.random() < 0.8:
            return None
        per_second = random.choice((1, 2, 5, 10))
        return (per_second, per_second * random.choice((1, 4)),
                random.choice((24, 32) if family == 4 else (64, 128)))

    def _access(self, family):
        """Prefixes around clients, long and short, in either list."""
        random = self.random
        lists = {"allow": set(), "deny": set()}
        known = set()
        for _ in range(random.choice((0, 1, 2, 6))):
            client = f"{random.choice(CLIENTS[family])}{random.randrange(1, 7)}"
            bits = random.choice((0, 8, 23, 29, 30, 31, 32))
            bits += 0 if family == 4 else 96 if bits else 0
            prefix = str(ip_network(f"{client}/{bits}", strict=False))
            if prefix not in known:
                lists[random.choice(("allow", "deny", "deny"))].add(prefix)
            known.add(prefix)
        return {key: tuple(sorted(prefixes)) for key, prefixes in lists.items()}

    def _slots(self, ids):
        return tuple(self.random.choice((*ids,) * 5 + (0,)) for _ in range(5))

    def _snat_addresses(self):
        kept = [address for family in (4, 6) for address in
                SNATS[family][:self.random.choice((1, 1, 1, 1, 2, 2, 2, 2, 0))]]
        return tuple(kept)

    def _snat_ports(self):
        first = self.random.choice((20000, 1024, 60000))
        return first, first + self.random.choice((1, 2, 8, 64, 1000, 5000)) - 1

    def _exit(self):
        """Of next hops: interface, MAC address there, VLAN tags."""
        tags = self.random.choice([(), *self._vlans])
        own = (INTERFACE, APPLIANCE, tags)
        return self.random.choice((own, own, own, (*OTHER_INTERFACE[:2], tags)))

    def _interfaces(self):
        random = self.random
        if random.random() < 0.01:
            return (OTHER_INTERFACE,)
        own = [(INTERFACE, random.choice((APPLIANCE,) * 9 + (OTHER_MAC,)), tags)
               for tags in self._vlans]
        if not own or random.random() > 0.1:
            own.append((INTERFACE, APPLIANCE, ()))
        others = [(*OTHER_INTERFACE[:2], tags) for tags in [(), *self._vlans]]
        chosen = own + random.sample(others, random.randrange(len(others) + 1))
        return tuple(random.sample(chosen, len(chosen)))

    def _gateways(self):
        gateways = []
        for family in (4, 6):
            interface, _, tags = self._exit()
            if self.random.random() > 0.2:
                gateways.append((family, interface, self.random.choice(GATEWAYS), tags))
        return tuple(gateways)

    def _own_addresses(self):
        """A client's, sometimes: then what comes for it is not ours."""
        choices = (SNATS[4] + SNATS[6],) * 8 + (SNATS[4], ("198.18.0.1", "2001:db8:18::1"), ())
        return self.random.choice(choices)

    def _tunnel_sources(self):
        return tuple(self.random.choice(TUNNELS[family]) for family in (4, 6)
                     if self.random.random() > 0.1)

    def _timeouts(self):
        choices = {"tcp_half_open": (300, 3_000, 10_000, 60_000),
                   "tcp_established": (3_000, 20_000, 7_440_000),
                   "tcp_closing": (2_000, 3_000, 10_000, 60_000),
                   "udp_half_open": (300, 3_000, 30_000),
                   "udp_established": (3_000, 20_000, 300_000)}
        return {name: self.random.choice(values) for name, values in choices.items()}

    def change(self):
        """Somebody applies another configuration."""
        random = self.random
        ways = (self._change_backend,) * 10 + (self._change_service,) * 8 + (
            self._come_and_go, self._come_and_go, self._change_gateways)
        changed = random.choice(ways)(self.appliance)
        self.appliance = self._places.put(self.appliance, changed)

    def _change_backend(self, appliance):
        if not appliance.backends:
            return self.everything
        random = self.random
        backend = random.choice(appliance.backends)
        change = random.choice((
            {"down": not backend.down}, {"down": not backend.down},
            {"resolved": not backend.resolved}, {"resolved": True}, {"resolved": True},
            {"mac": f"02:00:00:00:b1:{random.randrange(256):02x}"},
            {"mtu": random.choice((0, 1500, 1280, 200))}))
        return appliance.with_backend(backend.id, **change)

    def _change_service(self, appliance):
        if not appliance.services:
            return self.everything
        service = self.random.choice(appliance.services)
        if service.affinity and service.affinity.earlier and self.random.random() < 0.2:
            _, slots = self.random.choice(service.affinity.earlier)
            return appliance.with_service(service.id, slots=slots)
        if self.random.random() < 0.6:
            return appliance.with_service(service.id, slots=self._slots(service.members))
        if service.mode == "nat" and self.random.random() < 0.5:
            return appliance.with_service(service.id, **self._handshake(service.protocol, "nat"))
        if self.random.random() < 0.4 or service.new_flows:
            return appliance.with_service(service.id, **self._access(service.family))
        families = {backend.family for backend in self.everything.backends
                    if backend.id in service.members}
        alike = families <= {service.family}
        mode = self.random.choice(("nat", "dsr", "tunnel") + ("dnat", "dnat") * alike)
        has_flows = service.has_flows or mode == "nat"
        return appliance.with_service(service.id, mode=mode, has_flows=has_flows,
                                      **self._handshake(service.protocol, mode))

    def _change_gateways(self, appliance):
        return replace(appliance, gateways=self._gateways())

    def _come_and_go(self, appliance):
        random = self.random
        if random.random() < 0.5:
            return self.everything
        if random.random() < 0.5 and appliance.backends:
            gone = random.choice(appliance.backends)
            kept = tuple(backend for backend in appliance.backends if backend is not gone)
            return replace(appliance, backends=kept)
        kept = tuple(service for service in appliance.services if random.random() < 0.7)
        return replace(appliance, services=kept)
