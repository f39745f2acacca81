# SPDX-License-Identifier: Apache-2.0
"""Mode dnat, in which clients are seen by their backends: how answers find their service and their
way back to the client, as dataplane/core/dnat.h says. The way forth is Walk.without_flow's.

A client's hop is where its frames come from: a MAC address, and the interface's place.
"""
from functools import partial

from model import rewrites
from model.flows import CLOSING, DOUBTFUL, ESTABLISHED, HALF_OPEN, LIVE, NEVER, OVER, Life
from model.wire import FIN, RST, TCP, UDP

NOBODY = bytes(6), 0  # a hop that is as good as none

# In ticks of 268 ms.
KNOWN_FOR = 6706  # half an hour
WRITTEN_ANEW = 128  # after 34 s at most
ROUNDING = 32  # twice the unit in which the dataplane counts here: 4.3 s


class KnownHop:
    """Where a client's frames came from when that was last written down, within bounds. `others`:
    where else, if the last time was not noted."""

    __slots__ = ("hop", "others", "earliest", "latest")

    def __init__(self, hop, now, others=()):
        self.hop, self.others = hop, others
        self.earliest = self.latest = now

    def status(self, now):
        if now - self.latest > KNOWN_FOR + ROUNDING:
            return OVER
        return LIVE if now - self.earliest <= KNOWN_FOR else DOUBTFUL


class ClientHops:
    """Of clients whose frames once came from elsewhere than where the default route leads."""

    def __init__(self):
        self.by_client = {}

    def learn(self, client, hop, gateway, now):
        known = self.by_client.get(client)
        if hop == NOBODY:
            self.by_client.pop(client, None)
        elif known and hop == known.hop:
            known.earliest, known.latest = max(known.earliest, now - WRITTEN_ANEW), now
            known.others = ()
        elif known or hop != gateway:
            self.by_client[client] = KnownHop(hop, now)

    def ways_to(self, client, gateway, now):
        """Those that there may be; None among them: no way."""
        known = self.by_client.get(client)
        status = known.status(now) if known else OVER
        if status == OVER:
            return [gateway]
        ways = [known.hop, *known.others, *([gateway] if status == DOUBTFUL else [])]
        return list(dict.fromkeys(ways))

    def doubt(self, client, hop, now):
        """A frame came from there, and perhaps that was not noted."""
        known = self.by_client.get(client)
        before = (known.hop, *known.others) if known and known.status(now) != OVER else ()
        self.by_client[client] = KnownHop(hop, now, before)
        self.by_client[client].earliest = NEVER

    def settle(self, client, hop, now):
        """A frame to the client went there."""
        known = self.by_client.get(client)
        if known and hop in (known.hop, *known.others):
            known.hop, known.others = hop, ()
            known.earliest = max(known.earliest, now - KNOWN_FOR)
        elif known:
            known.latest = min(known.latest, now - KNOWN_FOR - ROUNDING - 1)


class SharedFlow(Life):
    """A flow to a backend that several services have."""

    __slots__ = ("service",)

    def __init__(self, service, packet, now):
        super().__init__(packet.protocol, self._state_by(packet), now)
        self.service = service

    @staticmethod
    def _state_by(packet):
        if packet.protocol == TCP and packet.flags & (FIN | RST):
            return CLOSING
        return HALF_OPEN if packet.protocol == TCP and packet.is_opening else ESTABLISHED

    def client_sent(self, packet, now):
        """What closes is opened by a SYN only; one that comes again changes nothing else."""
        before, state = self.state, self._state_by(packet)
        if (before, state) not in ((CLOSING, ESTABLISHED), (ESTABLISHED, HALF_OPEN)):
            self.state = state
        if self.state != before:
            self.earliest = self.latest = now
        else:
            self.refresh(now)


def shared_key(backend, protocol, client, port):
    """What is the same in both directions of a flow."""
    return backend.id, protocol, client, port


class DnatWalk:
    """The part of Walk that is mode dnat's own."""

    def meet_dnat_client(self, packet, service, selected):
        """Takes note of a client's packet to its backend, or refuses it."""
        model, configuration = self.model, self.configuration
        gateway = configuration.gateways.get(packet.family)
        self.learned = packet.source, packet.hop
        self.then(model.client_hops.learn, packet.source, packet.hop, gateway, self.now)
        backend = configuration.backends.get(selected)
        if backend is None or len(backend.dnat_services) < 2:
            return None
        key = shared_key(backend, packet.protocol, packet.source, packet.source_port)
        flow = model.shared_flows.get(key)
        if self.is_there(flow):
            if flow.service != service.id:
                return self.refused("tuple_in_use", service.id)
            self.then(flow.client_sent, packet, self.now)
            return None
        if packet.protocol != UDP and not packet.is_opening:
            return self.refused("no_flow", service.id)
        if not self.has_room_for_entries() and self.choices.of((False, True)):
            return self.refused("flow_table_full", service.id)
        self.then(model.shared_flows.__setitem__, key, SharedFlow(service.id, packet, self.now))
        return None

    def live_shared_flows(self):
        """At most."""
        timeouts = self.configuration.timeouts
        return sum(flow.status(self.now, timeouts) != OVER
                   for flow in self.model.shared_flows.values())

    def translated_once(self, packet, backend, quoted):
        """Its destination."""
        if quoted:
            return rewrites.translated_error(packet, quoted, backend.hop, None,
                                             quoted.destination_port, backend.address, backend.port)
        return rewrites.translated(packet, backend.hop, packet.source, packet.source_port,
                                   backend.address, backend.port)

    def from_dnat_backend(self, packet):
        backend = packet.source, packet.source_port
        client = packet.destination, packet.destination_port
        return self.to_dnat_client(packet, backend, client, packet.protocol,
                                   partial(rewrites.translated, packet))

    def error_to_dnat_client(self, packet, quoted):
        backend = quoted.destination, quoted.destination_port
        client = quoted.source, quoted.source_port
        return self.to_dnat_client(packet, backend, client, quoted.protocol,
                                   partial(rewrites.translated_error, packet, quoted))

    def to_dnat_client(self, packet, backend_end, client_end, protocol, rewritten):
        """What a backend sent, or something about what was sent to it. `rewritten`: as in
        Walk.to_client_of."""
        configuration = self.configuration
        backend = configuration.backends.get(configuration.endpoints.get((*backend_end, protocol)))
        if backend is None or client_end[0] in configuration.own_addresses:
            return self.refused("not_ours")
        service = configuration.services.get(self.dnat_service(backend, protocol, client_end))
        if service is None or len(service.vip) != len(packet.source):
            return self.refused("not_ours")
        ways = self.model.client_hops.ways_to(
            client_end[0], configuration.gateways.get(packet.family), self.now)
        way = self.choices.of(ways)
        if way is None:
            return self.refused("no_way_back", service.id)
        if packet.hops <= 1:
            return self.time_exceeded(packet, service.id)
        self.then(self.model.client_hops.settle, client_end[0], way, self.now)
        hop = self.hop_by(*way)
        frame = rewritten(hop, service.vip, service.port, *client_end)
        return self.sent(packet, frame, hop, "client", service.id, backend.id)

    def dnat_service(self, backend, protocol, client_end):
        """The id of the one that the client has asked; None: it has asked none."""
        if len(backend.dnat_services) < 2:
            return next(iter(backend.dnat_services), None)
        flow = self.model.shared_flows.get(shared_key(backend, protocol, *client_end))
        return flow.service if self.is_there(flow) else None
