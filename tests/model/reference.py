# SPDX-License-Identifier: Apache-2.0
"""The balancer, as the design has it: what becomes of a frame. Slow.

Most of it follows from the design; the rest a dataplane may choose: a new flow's source port, which
flow gives way in a full table, when within two seconds something is noticed. There the model is
told what was seen, holds it to be one of the answers that are allowed (`Choices`), and demands it
from then on.
"""
from model.affinity import Affinity
from model.configuration import Configuration
from model.dnat import ClientHops
from model.flows import DOUBTFUL, LIVE, OVER, Flows
from model.outcomes import Choices
from model.walk import Walk
from model.wire import fragment_key


class Model:
    def __init__(self, names, places, affinity_places):
        self.reasons = {name: number for number, name in enumerate(names["reasons"])}
        self.fields = {name: number for number, name in enumerate(names["traffic"])}
        self.places = places  # of the flow table of a family
        self.affinity_places = affinity_places
        self.flows = Flows()
        self.spreads = {}  # how tunnel packets of a client's tuple vary
        self.ports = {}  # and protocols of first fragments, and when they were seen
        self.client_hops = ClientHops()
        self.shared_flows = {}
        self.affinity = Affinity()
        self.taken = {}  # of buckets of new flows: the least, the most, and when that was
        self.configuration = None

    def note_ports(self, packet, now):
        known = packet.source_port, packet.destination_port, packet.protocol
        self.ports[fragment_key(packet)] = known, now

    def configure(self, appliance):
        self.configuration = Configuration(appliance)
        self.affinity.configure(self.configuration.services.values())

    def judge(self, frame, now, seen):
        """Nothing, if what was seen of the frame is right; else what was expected. Where two ways
        lead to the same, what they went by stays in doubt."""
        self.affinity.clock(now)
        choices, right, expected = Choices(), [], []
        while True:
            walk = Walk(self, frame, now, seen, choices)
            outcome = walk.outcome()
            (right if outcome == seen else expected).append((outcome, walk))
            if not choices.try_others():
                break
        if not right:
            return [outcome for outcome, _ in expected]
        walk = right[0][1]
        for effect, *arguments in walk.effects:
            effect(*arguments)
        if len(right) > 1:
            for flow in walk.doubted:
                flow.evicted = True
            self.affinity.doubt([other.led for _, other in right if other.led])
            learned = {other.learned for _, other in right if other.learned}
            for client, hop in learned if walk.learned is None else ():
                self.client_hops.doubt(client, hop, now)
        return None

    def recount(self, counted, now):
        """Live flows as a dataplane counts them, by {(0: service or 1: backend, state, id)}. What
        there may be is told by it. The first that cannot be: with the least and the most."""
        for table in (0, 1):
            classes = {}
            for flow in self.flows.all():
                status = flow.status(now, self.configuration.timeouts)
                if status != OVER:
                    number = flow.backend if table else flow.key[0]
                    classes.setdefault((table, flow.state, number), []).append((status, flow))
            for key in {*classes, *(key for key in counted if key[0] == table)}:
                flows = classes.get(key, [])
                least = sum(status == LIVE for status, _ in flows)
                count = counted.get(key, 0)
                if not least <= count <= len(flows):
                    return *key, count, least, len(flows)
                self._settle(flows, all_there=count == len(flows), none_there=count == least)
        return None

    def _settle(self, flows, all_there, none_there):
        for status, flow in flows:
            if status == DOUBTFUL and all_there:
                flow.evicted = False
            elif status == DOUBTFUL and none_there:
                self.flows.remove(flow)
