# SPDX-License-Identifier: Apache-2.0
"""From a frame to what may become of it: whose it is, then a section for each class of packets."""
from functools import partial

from model import rewrites, vlan
from model.admission import AdmissionWalk
from model.affinity import AffinityWalk
from model.cookies import CookieWalk, Numbers
from model.dnat import DnatWalk
from model.flows import (CLOSING, DOUBTFUL, ESTABLISHED, HALF_OPEN, LIVE, LOOK_EVERY, OVER, SECOND,
                         Flow)
from model.outcomes import DROP, INGRESS, PASS, PASSED, TRANSMIT, Outcome
from model.rewrites import Hop
from model.tunnels import TunnelWalk
from model.wire import (ETHERNET_BYTES, FAMILIES, ICMP_OF, TCP, UDP, Packet, Quoted, fragment_key,
                        word)


class Walk(AdmissionWalk, AffinityWalk, CookieWalk, DnatWalk, TunnelWalk):
    """One frame, under one set of answers. Its effects are put off until it is known to be so."""

    def __init__(self, model, frame, now, seen, choices):
        self.model, self.configuration = model, model.configuration
        self.frame, self.now, self.seen, self.choices = frame, now, seen, choices
        self.effects = []
        self.doubted = []  # flows that perhaps are not there, but were taken to be
        self.led = None  # a client with affinity, and the backend
        self.learned = None  # a client in mode dnat, and its hop

    def then(self, *effect):
        self.effects.append(effect)

    # What may come out.

    def counted(self, reason, service):
        return frozenset({(2, self.model.reasons[reason], service, 1)})

    def refused(self, reason, service=0):
        if reason in PASSED:
            return Outcome(PASS, 0, self.counted(reason, service), self.frame)
        return Outcome(DROP, 0, self.counted(reason, service), b"")

    def answered(self, packet, reason, service, kind, code, rest=0):
        """An error of our own, if there is anybody to tell."""
        if not rewrites.may_be_told(packet):
            return self.refused(reason, service)
        return self.back(packet, rewrites.own_error(packet, kind, code, rest), reason, service)

    def back(self, packet, frame, reason, service):
        """Something of our own, to where the packet came from."""
        _, tags = self.configuration.interfaces[packet.place]
        return Outcome(TRANSMIT, INGRESS, self.counted(reason, service), vlan.put(frame, tags))

    def time_exceeded(self, packet, service):
        kind = 11 if packet.family == 4 else 3
        return self.answered(packet, "ttl_expired", service, kind, 0)

    def too_big(self, packet, service, mtu):
        kind, code = (3, 4) if packet.family == 4 else (2, 0)
        return self.answered(packet, "packet_too_big", service, kind, code, mtu)

    def sent(self, packet, frame, hop, direction, service, backend, is_new=False):
        fields = self.model.fields
        counted = []
        for table, number in ((0, service), (1, backend)):
            counted += [(table, fields[f"packets_to_{direction}"], number, 1),
                        (table, fields[f"bytes_to_{direction}"], number, packet.ip_bytes)]
            if is_new:
                counted.append((table, fields["new_flows"], number, 1))
        return Outcome(TRANSMIT, hop.interface, frozenset(counted), vlan.put(frame, hop.tags))

    # From the frame to whose it is.

    def outcome(self):
        tags, frame = vlan.taken(self.frame)
        family = FAMILIES.get(word(frame, 12)) if len(frame) >= ETHERNET_BYTES else None
        place = self.configuration.place_of(INGRESS, tags)
        if family is None or (tags and place is None):
            return Outcome(PASS, 0, frozenset(), self.frame)
        if place is None or frame[:6] != self.configuration.own_macs[place]:
            return self.refused("not_ours")
        packet = Packet(frame, family, place)
        if packet.is_later and not packet.problem:
            packet.problem = self.recall_ports(packet)
        if packet.problem:
            return self.unreadable(packet)
        if packet.is_first:
            self.then(self.model.note_ports, packet, self.now)
        if packet.protocol == ICMP_OF[family]:
            return self.error(packet)
        if self.configuration.is_of_pool(packet.destination, packet.destination_port):
            return self.from_backend(packet)
        return self.from_client(packet)

    def recall_ports(self, packet):
        """Those of the first fragment, for 30 to 34 s. Nothing is wrong when they are known."""
        noted = self.model.ports.get(fragment_key(packet))
        if noted is None or (self.now >> 4) - (noted[1] >> 4) > 7:
            return "fragment_unknown"
        packet.source_port, packet.destination_port, packet.protocol = noted[0]
        return None

    def unreadable(self, packet):
        """Dropped for a service, the kernel's otherwise; nobody's when no address can be read."""
        destination = packet.destination
        if packet.problem in PASSED:
            return self.refused(packet.problem)
        if destination is None or destination in self.configuration.vips:
            return self.refused(packet.problem)
        return self.refused("not_ours")

    def is_there(self, flow):
        if flow is None:
            return False
        status = flow.status(self.now, self.configuration.timeouts)
        if status != DOUBTFUL:
            return status == LIVE
        self.doubted.append(flow)
        return self.choices.of((True, False))

    # Clients.

    def from_client(self, packet):
        service = self.configuration.service_at(packet.destination, packet.destination_port,
                                                packet.protocol)
        if service is None:
            return self.from_dnat_backend(packet)
        if packet.hops <= 1:
            return self.time_exceeded(packet, service.id)
        flow, led_to = None, None
        if service.has_flows:
            key = service.id, packet.source, packet.source_port
            flow, led_to = self.model.flows.by_client.get(key), self.model.flows.led_to.get(key)
        is_orphan = led_to and led_to not in self.configuration.backends
        if not self.configuration.lets_in(service, packet.source):
            return self.from_denied(packet, service, flow, is_orphan)
        there = None if is_orphan or not self.is_there(flow) else flow
        if self.opens_too_much(packet, service, there):
            return self.refused("new_flow_limit", service.id)
        if is_orphan:
            return self.from_orphan(packet, service, flow)
        flow = there
        shown = self.shown(packet, service, flow)
        if flow and not shown and not self.may_move(packet, flow):
            return self.go_on(packet, service, flow)
        if service.mode == "nat" and not shown and not packet.is_opening:
            return self.refused("no_flow", service.id)
        return self.open(packet, service, flow, shown)

    def go_on(self, packet, service, flow):
        if flow.cookie and not flow.answered and not packet.is_later:
            return self.refused("handshake_unfinished", service.id)
        is_looked_at = flow.is_looked_at(packet, flow.state)
        self.then(flow.client_sent, packet, self.now)
        self.then(self.look_at_flow, packet, service, flow, is_looked_at)
        return self.to_backend_of(packet, service, flow)

    def from_orphan(self, packet, service, flow):
        """Without its backend nobody can tell whether the client's last flow still is there."""
        if flow:
            self.then(setattr, flow, "evicted", True)
        shown = self.shown(packet, service, None)
        if (packet.is_opening or shown) and not self.is_unnoticed(packet, flow):
            return self.open(packet, service, None, shown)
        if service.mode != "nat" and self.choices.of((False, True)):
            return self.open(packet, service, None)
        reason = self.choices.of(("backend_gone", "no_flow"))
        return self.refused(reason, service.id)

    def is_unnoticed(self, packet, flow):
        """Whether it still goes where its flow's backend was: for two seconds after a look at the
        flow, which is at most one later than its time says."""
        if not packet.is_plain or flow is None or flow.state != ESTABLISHED or flow.cookie:
            return False
        return self.now - flow.latest < LOOK_EVERY + SECOND and self.choices.of((False, True))

    def may_move(self, packet, flow):
        is_down = self.configuration.backends[flow.backend].down
        if packet.protocol == UDP:
            return is_down and not packet.is_later
        return packet.is_opening and (is_down or flow.state != ESTABLISHED)

    def open(self, packet, service, flow, shown=None):
        """A client's packet that begins something. `flow`: what it had, if it may be moved."""
        configuration = self.configuration
        selected = self.select(service, packet.source, packet.source_port,
                               is_seen=packet.protocol == UDP or not packet.is_opening)
        stays = self.stays(service, flow, selected, shown)
        if flow and not stays:
            self.then(self.model.flows.remove, flow)
        if not selected:
            return self.refused("no_backend", service.id)
        if service.mode != "nat":
            is_new = packet.protocol == TCP and packet.is_opening
            refusal = service.mode == "dnat" and self.meet_dnat_client(packet, service, selected)
            return refusal or self.without_flow(packet, service, selected, is_new)
        backend = configuration.backends.get(selected)
        if backend is None or backend.family != packet.family:
            return self.refused("backend_gone", service.id)
        if not backend.resolved:
            return self.refused("backend_unresolved", service.id)
        if not configuration.snat[packet.family]:
            return self.refused("no_snat_address", service.id)
        if service.syn_cookies and not shown:
            return self.answer_syn(packet, service, backend)
        if not stays:
            return self.new_flow(packet, service, backend, shown)
        return self.keep_flow(packet, service, flow, shown)

    def keep_flow(self, packet, service, flow, shown):
        """A client opens what it has."""
        begins = flow.state == CLOSING or (flow.state == HALF_OPEN and flow.cookie)
        is_new = not shown and bool(begins)
        if not shown:
            self.then(flow.reopen if is_new else flow.client_sent, packet, self.now)
        return self.to_backend_of(packet, service, flow, is_new, shown)

    def to_backend_of(self, packet, service, flow, is_new=False, shown=None):
        backend = self.configuration.backends[flow.backend]
        if not backend.resolved:
            return self.refused("backend_unresolved", service.id)
        frame = rewrites.translated(packet, backend.hop, *flow.snat, backend.address, backend.port)
        if shown:
            frame = shown.syn(packet, frame)
        elif flow.cookie:
            frame = flow.cookie.to_backend(packet, frame)
        return self.sent(packet, frame, backend.hop, "backend", service.id, backend.id,
                         is_new)

    # New flows, whose port is the dataplane's choice.

    def new_flow(self, packet, service, backend, shown):
        counts_here = packet.protocol == UDP or shown
        if counts_here and service.limit and not self.take_flow(packet, service):
            return self.refused("new_flow_limit", service.id)
        refusals = self.refusals(packet.family, backend)
        refusal = self.choices.of((None, *refusals))
        if refusal:
            return self.refused(refusal, service.id)
        snat = self.seen_source(packet, backend)
        flow = Flow((service.id, packet.source, packet.source_port), packet, backend.id, snat,
                    self.now, shown and Numbers(shown.cookie))
        self.then(self.take_place, flow)
        return self.to_backend_of(packet, service, flow, True, shown)

    def seen_source(self, packet, backend):
        """The port that was chosen, if it may be; else none, for which no packet is right."""
        nobody = (bytes(len(packet.source)), 0)
        if self.seen.action != TRANSMIT:
            return nobody
        seen = Packet(vlan.taken(self.seen.frame)[1], packet.family)
        if seen.problem or not self.configuration.is_of_pool(seen.source, seen.source_port):
            return nobody
        holder = self.model.flows.by_return.get((backend.id, seen.source, seen.source_port))
        is_own = holder and holder.key[1:] == (packet.source, packet.source_port)
        if holder and not is_own and self.keeps_place(holder):
            return nobody
        return seen.source, seen.source_port

    def keeps_place(self, flow):
        """Whether no newcomer may have its place: it certainly lives and does not give way."""
        return (flow.status(self.now, self.configuration.timeouts) < DOUBTFUL
                and not flow.may_give_way(self.now))

    def take_place(self, flow):
        """The table is small: for all that is known here, somebody else gave way."""
        flows = self.model.flows
        for other in flows.all():
            if other.family == flow.family and other.may_give_way(self.now):
                other.evicted = True
        holder = flows.by_return.get(flow.return_key)
        if holder:
            flows.remove(holder)
        flows.add(flow)

    def refusals(self, family, backend):
        """For what a newcomer may be refused: 64 of the pool's ports are tried, and 32 full sets of
        two places."""
        configuration = self.configuration
        ports = configuration.pool_ports * len(configuration.snat[family])
        live = [flow for flow in self.model.flows.all() if flow.family == family
                and flow.status(self.now, configuration.timeouts) != OVER]
        in_use = sum(flow.backend == backend.id for flow in live)
        if len(live) >= 0.4 * self.model.places or (ports - in_use <= 4 and len(live) > 1):
            return ["snat_ports_exhausted", "flow_table_full"]
        return ["snat_ports_exhausted"] if in_use >= 0.75 * ports else []

    # Without flows.

    def without_flow(self, packet, service, selected, is_new=False, quoted=None):
        """By the client's address alone, in other modes than nat. `quoted`: in an error."""
        backend = self.configuration.backends.get(selected)
        if backend is None or (service.mode != "tunnel" and backend.family != packet.family):
            return self.refused("backend_gone", service.id)
        if not backend.resolved:
            return self.refused("backend_unresolved", service.id)
        if packet.hops <= 1:
            return self.time_exceeded(packet, service.id)
        if service.mode == "tunnel":
            refusal = self.kept_out_of_tunnel(packet, service, backend)
            if refusal:
                return refusal
            client = ((quoted.destination, quoted.destination_port) if quoted else
                      (packet.source, packet.source_port))
            if service.clamps_mss:
                packet = self.clamped(packet, backend)
            frame = self.tunnelled(packet, backend, (service.id, *client))
        elif service.mode == "dsr":
            frame = rewrites.handed_over(packet, backend.hop)
        else:
            frame = self.translated_once(packet, backend, quoted)
        return self.sent(packet, frame, backend.hop, "backend", service.id, backend.id,
                         is_new)

    # Backends.

    def from_backend(self, packet):
        flow = self.flow_to(packet.source, packet.source_port, packet.protocol, packet.destination,
                            packet.destination_port)
        if flow is None:
            return self.refused("no_flow")
        if packet.hops > 1:
            self.then(flow.backend_sent, packet, self.now)
            if flow.cookie and not packet.is_later and flow.key[0] in self.configuration.services:
                return self.from_cookie_backend(packet, flow)
        return self.to_client_of(packet, flow, partial(rewrites.translated, packet))

    def to_client_of(self, packet, flow, rewritten):
        """`rewritten`: makes the frame of a hop, the VIP and the client."""
        service = self.configuration.services.get(flow.key[0])
        if service is None:
            return self.refused("no_flow", flow.key[0])
        if packet.hops <= 1:
            return self.time_exceeded(packet, service.id)
        _, client, port = flow.key
        hop = self.hop_to_client(flow)
        frame = rewritten(hop, service.vip, service.port, client, port)
        return self.sent(packet, frame, hop, "client", service.id, flow.backend)

    def flow_to(self, backend_address, backend_port, protocol, snat_address, snat_port):
        backend = self.configuration.endpoints.get((backend_address, backend_port, protocol))
        flow = self.model.flows.by_return.get((backend, snat_address, snat_port))
        return flow if self.is_there(flow) else None

    def hop_to_client(self, flow):
        hop = self.choices.of(sorted(flow.hops))
        if len(flow.hops) > 1:
            self.then(setattr, flow, "hops", {hop: flow.hops[hop]})
        return self.hop_by(*hop)

    def hop_by(self, mac, place):
        interface, tags = self.configuration.interfaces[place]
        return Hop(interface, self.configuration.own_macs[place], mac, tags)

    # ICMP errors of others, to the end that sent what they are about.

    def error(self, packet):
        quoted = Quoted(packet)
        if quoted.problem or quoted.source != packet.destination:
            return self.refused("not_ours")
        if self.configuration.is_of_pool(quoted.source, quoted.source_port):
            return self.error_to_client(packet, quoted)
        return self.error_to_backend(packet, quoted)

    def error_to_client(self, packet, quoted):
        flow = self.flow_to(quoted.destination, quoted.destination_port, quoted.protocol,
                            quoted.source, quoted.source_port)
        if flow is None:
            return self.refused("no_flow")
        return self.to_client_of(packet, flow, partial(rewrites.translated_error, packet, quoted))

    def error_to_backend(self, packet, quoted):
        service = self.configuration.service_at(quoted.source, quoted.source_port, quoted.protocol)
        if service is None:
            return self.error_to_dnat_client(packet, quoted)
        client = quoted.destination, quoted.destination_port
        flow = self.model.flows.by_client.get((service.id, *client))
        if flow and flow.backend not in self.configuration.backends:
            flow = None
        if self.is_there(flow):
            return self.error_by_flow(packet, quoted, service, flow)
        if service.mode == "nat":
            return self.refused("no_flow", service.id)
        selected = self.select(service, *client, is_seen=False)
        if not selected:
            return self.refused("no_backend", service.id)
        return self.without_flow(packet, service, selected, quoted=quoted)

    def error_by_flow(self, packet, quoted, service, flow):
        backend = self.configuration.backends[flow.backend]
        if not backend.resolved:
            return self.refused("backend_unresolved", service.id)
        if packet.hops <= 1:
            return self.time_exceeded(packet, service.id)
        shift = flow.cookie.shift or 0 if flow.cookie else 0
        frame = rewrites.translated_error(packet, quoted, backend.hop, *flow.snat,
                                          backend.address, backend.port, shift)
        return self.sent(packet, frame, backend.hop, "backend", service.id, backend.id)
