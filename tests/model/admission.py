# SPDX-License-Identifier: Apache-2.0
"""Who is let in, and how many flows clients may open."""
from fractions import Fraction

from model.flows import DOUBTFUL, HALF_OPEN, LOOK_EVERY, SECOND, TICK_SHIFT
from model.wire import TCP


class AdmissionWalk:
    """Of a Walk: what is asked of a client's packet before anything else."""

    def from_denied(self, packet, service, flow, is_orphan):
        """Refused; but an established flow is looked at once in two seconds only, and was perhaps
        written anew a second before."""
        may_go_on = (flow and packet.is_plain and flow.state != HALF_OPEN and not flow.cookie
                     and self.now - flow.latest <= LOOK_EVERY + SECOND)
        if may_go_on and is_orphan and self.choices.of((False, True)):
            return self.refused("backend_gone", service.id)
        if may_go_on and not is_orphan and self.is_there(flow) and self.choices.of((True, False)):
            self.then(flow.client_sent, packet, self.now)
            return self.to_backend_of(packet, service, flow)
        return self.refused("access_denied", service.id)

    def opens_too_much(self, packet, service, flow):
        """Whether it is one SYN too many. `flow`: the client's, if it is taken to be there. With
        SYN cookies the flow counts, not the SYN."""
        if service.limit is None or service.syn_cookies:
            return False
        if packet.protocol != TCP or not packet.is_opening:
            return False
        if flow and flow.state == HALF_OPEN:
            if flow.status(self.now, self.configuration.timeouts) == DOUBTFUL:
                self.take_flow(packet, service, is_sure=False)
            return False
        return not self.take_flow(packet, service)

    def take_flow(self, packet, service, is_sure=True):
        """Out of the bucket of the client's prefix, of which the least and the most that was taken
        is known."""
        per_second, burst, mask = service.limit
        bucket = service.id, bytes(a & m for a, m in zip(packet.source, mask))
        least, most, since = self.model.taken.get(bucket, (0, 0, self.now))
        come_back = Fraction((self.now - since) * per_second << TICK_SHIFT, 10**9)
        least, most = (max(0, taken - come_back) for taken in (least, most))
        if least + 1 > burst or most + 1 > burst and not self.choices.of((True, False)):
            return False
        self.then(self.model.taken.__setitem__, bucket, (least + is_sure, most + 1, self.now))
        return True
