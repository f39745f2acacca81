# SPDX-License-Identifier: Apache-2.0
"""How a flow lives, as dataplane/core/README.md says, and all that there may be.

Time counts in ticks of 268 ms. When a flow was last seen is known within bounds only: a packet of
an established flow is looked at once in two seconds, and a flow's time is written anew once in a
second. What lies within the bounds is in doubt, and the dataplane is followed.
"""
from model.wire import ACK, FIN, RST, SYN, TCP

TICK_SHIFT = 28
SECOND = 4  # ticks
NEVER = -(1 << 40)  # before all others
TWO_SECONDS = 8
LOOK_EVERY = 7  # the longest for which an established flow is not looked at
HANDSHAKE_WINDOW = 65536  # past the SYN-ACK: TCP fast open has data in it

HALF_OPEN, ESTABLISHED, CLOSING = range(3)
LIVE, DOUBTFUL, OVER = range(3)


class Life:
    """Of anything that lasts for as long after it was seen as its state says. `evicted`: perhaps
    it is, by somebody who took its place."""

    __slots__ = ("protocol", "state", "earliest", "latest", "evicted")

    def __init__(self, protocol, state, now):
        self.protocol, self.state = protocol, state
        self.earliest = self.latest = now
        self.evicted = False

    def status(self, now, timeouts):
        timeout = timeouts[self.protocol][self.state]
        if now - self.latest > timeout:
            return OVER
        return DOUBTFUL if self.evicted or now - self.earliest > timeout else LIVE

    def refresh(self, now):
        if now - self.latest >= SECOND:
            self.earliest = self.latest = now
        elif now - self.earliest >= SECOND:
            self.earliest, self.latest = max(self.earliest, now - SECOND + 1), now


class Flow(Life):
    """One flow. `hops`: where its client's frames may be known to come from, and when each was last
    seen; `cookie`: of one that began by a SYN cookie, cookies.Numbers."""

    __slots__ = ("key", "family", "backend", "snat", "answered", "confirmed", "fins", "expected",
                 "hops", "cookie")

    def __init__(self, key, packet, backend, snat, now, cookie=None):
        super().__init__(packet.protocol, HALF_OPEN, now)
        self.key = key  # service, client's address and port
        self.family = packet.family
        self.backend, self.snat = backend, snat
        self.reopen(packet, now)
        self.cookie = cookie

    @property
    def return_key(self):
        return self.backend, *self.snat

    def reopen(self, packet, now):
        """The client begins anew, and keeps its port."""
        self.state = HALF_OPEN
        self.answered = self.confirmed = False
        self.fins = set()
        self.expected = self.cookie = None
        self.hops = {packet.hop: now}
        self.earliest = self.latest = now

    def may_give_way(self, now):
        """To a newcomer, for all that is known."""
        return self.state != ESTABLISHED and now - self.earliest >= TWO_SECONDS

    def client_sent(self, packet, now):
        state, confirmed, fins = self.state, self.confirmed, len(self.fins)
        if self.answered and self._confirms(packet):
            self.confirmed = True
            if self.state == HALF_OPEN:
                self.state = ESTABLISHED
        self._note_end(packet, "client")
        is_looked_at = self.is_looked_at(packet, state)
        self._follow(packet.hop, now, sure=is_looked_at)
        if (state, confirmed, fins) != (self.state, self.confirmed, len(self.fins)):
            self.earliest = self.latest = now
        elif state == CLOSING:
            pass  # only the backend can say that it did not believe the reset
        elif is_looked_at:
            self.refresh(now)
        elif now - self.earliest >= SECOND:
            self.earliest, self.latest = max(self.earliest, now - LOOK_EVERY - SECOND), now

    def is_looked_at(self, packet, state):
        """Whether the client's packet certainly is one for which the flow in this state is."""
        return state == HALF_OPEN or not packet.is_plain or self.cookie is not None

    def take_syn_ack(self, cookie, now):
        """The backend has answered our SYN."""
        self.cookie, self.answered = cookie, True
        self.earliest = self.latest = now

    def _is_nothing(self, packet):
        """A SYN-ACK is taken only once by a flow of a cookie, and nothing but a reset before it."""
        return self.cookie and (packet.is_syn_ack or not (self.answered or packet.flags & RST))

    def backend_sent(self, packet, now):
        if self._is_nothing(packet):
            return
        state, answered, fins = self.state, self.answered, len(self.fins)
        if packet.protocol != TCP or packet.flags & (SYN | ACK) == SYN | ACK:
            self.answered = True
            if packet.protocol == TCP:
                self.expected = (packet.sequence + 1) & 0xFFFFFFFF
        ends = self._note_end(packet, "backend")
        if not ends and state == CLOSING and self.confirmed and now - self.latest >= SECOND:
            self.state = ESTABLISHED  # RFC 5961: it goes on, so it did not believe the reset
        if (state, answered, fins) != (self.state, self.answered, len(self.fins)):
            self.earliest = self.latest = now
        else:
            self.refresh(now)

    def _confirms(self, packet):
        """The client has got the backend's answer: only who has it knows its sequence number."""
        if packet.protocol != TCP:
            return True
        if packet.flags & (SYN | ACK) != ACK:
            return False
        if self.cookie or self.expected is None:
            return self.cookie is not None  # it has shown who it is before
        return (packet.acknowledgement - self.expected) & 0xFFFFFFFF < HANDSHAKE_WINDOW

    def _note_end(self, packet, side):
        if packet.flags & FIN:
            self.fins.add(side)
        ends = bool(packet.flags & RST) or len(self.fins) == 2
        if ends:
            self.state = CLOSING
        return ends

    def _follow(self, hop, now, sure):
        """The way back is the way that it came. Another one is noticed within two seconds."""
        if sure:
            self.hops = {hop: now}
            return
        self.hops[hop] = now
        if len(self.hops) > 1:
            self.hops = {one: seen for one, seen in self.hops.items() if now - seen < LOOK_EVERY}


class Flows:
    """Those that live, or may; ended ones stay until somebody else has their place. `led_to`: the
    backend of a client's last flow, for good."""

    def __init__(self):
        self.by_client = {}
        self.by_return = {}
        self.led_to = {}

    def add(self, flow):
        self.led_to[flow.key] = flow.backend
        self.by_client[flow.key] = flow
        self.by_return[flow.return_key] = flow

    def remove(self, flow):
        if self.by_client.get(flow.key) is flow:
            del self.by_client[flow.key]
        if self.by_return.get(flow.return_key) is flow:
            del self.by_return[flow.return_key]

    def all(self):
        return {id(flow): flow for flows in (self.by_client, self.by_return)
                for flow in flows.values()}.values()
