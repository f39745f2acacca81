# SPDX-License-Identifier: Apache-2.0
"""SYN cookies: the appliance's handshake with a client, the one with its backend, and the numbers
of what follows, as the headers of dataplane/core/{handshake,cookie_flow}.h say.

A flow that a cookie began is looked at for every packet: nothing of it is in doubt but for what
every flow's is.
"""
from functools import partial
from typing import NamedTuple

import syn_cookie
from model import rewrites, segments
from model.flows import ESTABLISHED, HALF_OPEN, LOOK_EVERY
from model.outcomes import DROP, Outcome
from model.segments import Segment
from model.wire import ACK, HEADER_BYTES, RST, SYN, word

OUR_SCALE = syn_cookie.OUR_SCALE
LEAST_MSS = 536
ETHERNET_MTU = 1500


def scale_of(cookie):
    """Of the client's windows. None: it scales none."""
    scale = syn_cookie.scale_of(cookie)
    return None if scale == syn_cookie.NO_SCALE else scale


def window_of(packet):
    return word(packet.frame, packet.at + 14)


class Shown(NamedTuple):
    """What a client's segment shows: the number that it began with, and the cookie for that."""

    first: int
    cookie: int

    def syn(self, packet, frame):
        """Our SYN to the backend. `frame`: the client's segment, translated."""
        scale = scale_of(self.cookie)
        window = min(window_of(packet) << (scale or 0), 0xFFFF)
        return segments.replaced(frame, packet.family, Segment(
            self.first, 0, SYN, window, syn_cookie.mss_of(self.cookie), scale))


class Numbers(NamedTuple):
    """Of a flow that a cookie began. `shift`: what the client's are more than the backend's, once
    that has answered; `scale`: of its windows."""

    cookie: int
    shift: int = None
    scale: int = 0

    def answered(self, sequence, scale):
        """By the backend, whose first number that is. Windows of ours are scaled for a client that
        scales."""
        if scale_of(self.cookie) is None:
            scale = OUR_SCALE
        return self._replace(shift=(self.cookie - sequence) % 2**32, scale=scale or 0)

    def to_backend(self, packet, frame):
        if not packet.flags & ACK or packet.is_later:
            return frame
        return segments.to_backend(frame, packet.at, (packet.acknowledgement - self.shift) % 2**32)

    def to_client(self, packet, frame):
        """A reset before the answer is of what the client was told."""
        shift = self.shift
        if shift is None:
            shift = self.cookie + 1 - packet.sequence
        sequence, window = (packet.sequence + shift) % 2**32, window_of(packet)
        if packet.is_syn_ack:
            return self._window_update(packet, frame, sequence, window)
        window = min(window << self.scale >> OUR_SCALE, 0xFFFF)
        return segments.to_client(frame, packet.at, sequence, window)

    def _window_update(self, packet, frame, sequence, window):
        """One byte that the client has acknowledged is acknowledged again, to the backend."""
        shift = 0 if scale_of(sequence) is None else OUR_SCALE
        return segments.replaced(frame, packet.family, Segment(
            sequence, packet.acknowledgement, ACK, window >> shift, payload=b"\0"))


class CookieWalk:
    """The part of Walk that is theirs."""

    # Clients.

    def shown(self, packet, service, flow):
        """None: nothing. Of a flow whose backend has answered nothing is asked any more."""
        if not service.syn_cookies or packet.flags & (SYN | ACK | RST) != ACK:
            return None
        if not packet.is_bare or (flow and (flow.state == ESTABLISHED or (
                flow.state == HALF_OPEN and flow.answered))):
            return None
        cookie = (packet.acknowledgement - 1) % 2**32
        for tick in (self.now, self.now - (1 << syn_cookie.EPOCH_SHIFT)):
            for first in (packet.sequence - 1) % 2**32, packet.sequence:
                if cookie == self.cookie_for(packet, first, cookie >> 24, tick):
                    return None if self.is_taken_for_live(packet, flow) else Shown(first, cookie)
        return None

    def cookie_for(self, packet, first, terms, tick):
        client = packet.source, packet.source_port
        service = packet.destination, packet.destination_port
        return syn_cookie.make(self.configuration.hash_key, client, service, first, terms, tick)

    def is_taken_for_live(self, packet, flow):
        """Whether it is not noticed yet that the flow was reset: for two seconds at most."""
        if flow is None or flow.cookie or not flow.confirmed or not packet.is_plain:
            return False
        return self.now - flow.latest < LOOK_EVERY and self.choices.of((False, True))

    def answer_syn(self, packet, service, backend):
        """With a cookie, if it can be read."""
        options = segments.options(packet.frame, packet.at)
        if not packet.is_bare or not segments.is_intact(packet):
            return self.refused("syn_cookie", service.id)
        scale = syn_cookie.NO_SCALE if options.scale is None else options.scale
        terms = syn_cookie.terms_of(options.mss or 0, scale)
        cookie = self.cookie_for(packet, packet.sequence, terms, self.now)
        header_bytes = HEADER_BYTES[packet.family] + segments.HEADER
        answer = segments.answered(packet, Segment(
            cookie, (packet.sequence + 1) % 2**32, SYN | ACK, 0,
            max((backend.mtu or ETHERNET_MTU) - header_bytes, LEAST_MSS),
            None if options.scale is None else OUR_SCALE))
        return self.back(packet, answer, "syn_cookie", service.id)

    def stays(self, service, flow, selected, shown):
        """Whether the flow that the client has is the one that it opens."""
        if not flow or service.mode != "nat":
            return False
        if not service.syn_cookies:
            return flow.backend == selected
        return bool(shown and flow.state == HALF_OPEN and flow.cookie
                    and flow.cookie.cookie == shown.cookie
                    and not self.configuration.backends[flow.backend].down)

    # Backends.

    def from_cookie_backend(self, packet, flow):
        """Before its SYN-ACK it can only reset."""
        service, numbers = flow.key[0], flow.cookie
        if packet.flags & RST and packet.is_syn_ack:
            return self.refused("malformed", service)
        if not flow.answered and not packet.flags & RST:
            if not packet.is_syn_ack:
                return self.refused("no_flow", service)
            if not packet.is_bare or not segments.is_intact(packet):
                return self.refused("malformed", service)
            scale = segments.options(packet.frame, packet.at).scale
            numbers = numbers.answered(packet.sequence, scale)
            self.then(flow.take_syn_ack, numbers, self.now)
        if packet.is_syn_ack and not packet.is_bare:
            return self.no_room(packet, flow)
        return self.to_client_of(packet, flow, lambda *way: numbers.to_client(
            packet, rewrites.translated(packet, *way)))

    def no_room(self, packet, flow):
        """It is on its way, and cannot become what it is to."""
        way = self.to_client_of(packet, flow, partial(rewrites.translated, packet))
        return Outcome(DROP, 0, way.counted | self.counted("no_room", 0), b"")
