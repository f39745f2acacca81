# SPDX-License-Identifier: Apache-2.0
"""Mode tunnel: what is kept out, and what stands in front of a packet that goes in."""
from model import rewrites, segments, vlan
from model.wire import ETHERNET_BYTES, SYN, Packet


class TunnelWalk:
    """The part of Walk that is mode tunnel's own."""

    def kept_out_of_tunnel(self, packet, service, backend):
        room = backend.mtu - rewrites.header_bytes(backend.address)
        if 0 < room < packet.ip_bytes:
            return self.too_big(packet, service.id, room)
        if self.configuration.is_tunnel_source(packet.source):
            return self.refused("loop", service.id)
        if backend.family not in self.configuration.tunnel_sources:
            return self.refused("no_tunnel_source", service.id)
        return None

    def clamped(self, packet, backend):
        """A SYN asks for segments that fit the tunnel."""
        headers = rewrites.header_bytes(backend.address) + packet.at - ETHERNET_BYTES
        most = backend.mtu - headers - segments.HEADER
        if not packet.flags & SYN or most <= 0:
            return packet
        frame = segments.clamped(packet.frame, packet.at, most)
        return Packet(frame, packet.family, packet.place)

    def tunnelled(self, packet, backend, client):
        """How the outer header varies with the flow is the dataplane's choice, within the prefix;
        that it does not vary within the flow is not."""
        prefix = self.configuration.tunnel_sources[backend.family]
        key = (client, backend.family, prefix)
        source, label = self.model.spreads.get(key) or self.seen_spread(backend, prefix)
        self.then(self.model.spreads.__setitem__, key, (source, label))
        return rewrites.tunnelled(packet, backend.hop, source, backend.address, label)

    def seen_spread(self, backend, prefix):
        """Source and flow label, if they may be."""
        network = prefix.network_address.packed
        _, frame = vlan.taken(self.seen.frame)
        if len(frame) < ETHERNET_BYTES + rewrites.header_bytes(network):
            return network, 0
        at = 26 if backend.family == 4 else 22
        source = frame[at:at + len(network)]
        label = int.from_bytes(frame[15:18], "big") & 0xFFFFF if backend.family == 6 else 0
        return (source, label) if self.configuration.is_tunnel_source(source) else (network, 0)
