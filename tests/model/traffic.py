# SPDX-License-Identifier: Apache-2.0
"""Random traffic in a world: clients, backends that answer what reached them, routers that complain
about what they saw; and a good part of it broken."""
from ipaddress import ip_address

from builder import APPLIANCE, INTERFACE
from model import packets, vlan
from model.configuration import mac_bytes
from model.handshakes import Handshake, random_options
from model.outcomes import TRANSMIT
from model.packets import Breaker, Fields
from model.wire import ACK, ERRORS, FAMILIES, FIN, RST, SYN, Packet, word

ROUTERS = [mac_bytes(f"02:00:00:00:00:0{n}") for n in (1, 1, 1, 2)]
TALKS = (6, 24, 24, 120)  # at once; 120 fill a small flow table
HANDSHAKES = 3  # at once, that are followed from step to step
REMEMBERED_FRAMES = 40
FLOOD = 150  # newcomers: more than a small flow table holds
CLIENTS = {4: ("198.18.0.", "198.18.1."), 6: ("2001:db8:18::", "2001:db8:18:1::")}
FROM_TUNNELS = {4: ("198.51.100.", "198.51.101."), 6: ("2001:db8:99::", "2001:db8:99:1::")}
CONTROL_BYTES = (SYN, SYN | ACK, ACK, ACK, ACK | 8, FIN | ACK, RST, RST | ACK, 0, SYN | FIN, 0xC2)


FOREIGN_TAGS = (((101, "802.1Q"),), ((200, "802.1Q"), (100, "802.1ad")), ((0, "802.1Q"),),
                ((100, "802.1Q"), (0, "802.1Q")), ((0, "802.1ad"), (100, "802.1Q")),
                ((100, "802.1ad"), (200, "802.1Q"), (100, "802.1Q")), ((100, "802.1Q"),) * 9)


class Talk:
    """A client's tuple and what it has seen so far. `arm`: of the appliance, by which it comes;
    `onward`: the ends of its last packet as it left for a backend."""

    def __init__(self, random, service, arm):
        self.service = service
        self.vip = ip_address(service.address).packed
        number = random.randrange(1, 7)
        networks = FROM_TUNNELS if random.random() < 0.03 else CLIENTS
        network = random.choice(networks[4 if len(self.vip) == 4 else 6])
        self.client = ip_address(f"{network}{number}").packed
        self.port = random.choice((40000, 40001, random.randrange(65536)))
        self.router, self.arm = random.choice(ROUTERS), arm
        self.onward = None
        self.begun = False
        self.acknowledges = 0  # what follows the backend's last SYN-ACK
        self.handshake = Handshake(random)


class Traffic:
    def __init__(self, random, world, timeouts_ms):
        self.random, self.world = random, world
        self.breaker = Breaker(random)
        # The ways in, each a MAC address and tags.
        self.arms = [(mac_bytes(mac), tags) for index, mac, tags in world.appliance.interfaces
                     if index == INTERFACE] or [(mac_bytes(APPLIANCE), ())]
        self.timeouts_ms = timeouts_ms
        self.talks, self.most_talks = [], random.choice(TALKS)
        self.came, self.left = [], []  # frames
        self.flood = 0  # newcomers still to come at once
        self._asked = None  # the talk whose packet is on its way, and which way
        self._tags = ()  # of the packet that is made

    def step_ms(self):
        """How much time passes before the next packet."""
        random = self.random
        chance = random.random()
        if chance < 0.8 or self.flood:
            return 0
        if chance < 0.96:
            return random.randrange(100)
        if chance < 0.985:
            return random.randrange(4_000)
        if chance < 0.997:
            return max(0, random.choice(self.timeouts_ms[:2]) + random.randrange(-1_000, 1_000))
        return max(0, random.choice(self.timeouts_ms) + random.randrange(-1_000, 4_000))

    def next(self):
        self._asked, self._tags = None, ()
        if self.flood or self.random.random() < 0.001:
            self.flood = (self.flood or FLOOD) - 1
            return self._tagged(self._newcomer())
        ways = ((self._request, 9), (self._answer, 8), (self._shake, 8), (self._error, 3),
                (self._again, 1), (self._stray, 1))
        way, = self.random.choices([way for way, _ in ways], [weight for _, weight in ways])
        whole = way()
        if self.random.random() < 0.2:
            whole = self.breaker.broken(whole)
        whole = self._tagged(whole)
        self.came = [*self.came[-REMEMBERED_FRAMES:], whole]
        return whole

    def _tagged(self, whole):
        """Those of VLANs that are not ours, now and then."""
        tags = self.random.choice(FOREIGN_TAGS) if self.random.random() < 0.01 else self._tags
        return vlan.put(whole, vlan.wire(tags, priority=self.random.getrandbits(4)))

    def seen(self, outcome):
        """What became of the last frame is what others answer to."""
        if outcome.action != TRANSMIT:
            if self._asked and self.random.random() < 0.7:
                self._asked[0].begun = False  # the client gives up, and begins again
            if self._asked and self.random.random() < 0.1:
                self._asked[0].handshake.begin()
            return
        _, frame = vlan.taken(outcome.frame)
        self.left = [*self.left[-REMEMBERED_FRAMES:], frame]
        talk, asked = self._asked or (None, None)
        if talk is None:
            return
        packet = Packet(frame, FAMILIES.get(word(frame, 12)))
        if packet.problem or packet.is_later or packet.protocol not in (6, 17):
            return
        if asked == "request":
            self._seen_request(talk, packet)
            return
        talk.handshake.is_answered = True
        if packet.is_syn_ack:
            talk.acknowledges = (packet.sequence + 1) & 0xFFFFFFFF

    @staticmethod
    def _seen_request(talk, packet):
        if packet.destination == talk.client:
            talk.handshake.cookie = packet.sequence
            return
        if not talk.begun:
            talk.acknowledges = 0
        talk.begun = True
        if packet.flags & SYN:
            talk.handshake.asked()
        if packet.destination != talk.vip:
            talk.onward = ((packet.source, packet.source_port),
                           (packet.destination, packet.destination_port))

    # Packets.

    def _talk(self):
        if len(self.talks) < self.most_talks and self.random.random() < 0.5:
            self.talks.append(self._new_talk())
            return self.talks[-1]
        if self.random.random() < 0.02 or not self.talks:
            self.talks = [*self.talks[1:], self._new_talk()]
            return self.talks[-1]
        return self.random.choice(self.talks)

    def _new_talk(self):
        """Sometimes by the port of another one, whatever its service is."""
        talk = self._talk_to(self.random.choice(self.world.everything.services))
        like = self.random.choice(self.talks) if self.talks else talk
        if len(like.client) == len(talk.client) and self.random.random() < 0.3:
            talk.client, talk.port = like.client, like.port
        return talk

    def _talk_to(self, service):
        return Talk(self.random, service, self.random.choice(self.arms))

    def _fields(self, source, destination, protocol):
        random = self.random
        size = random.choice((0, 0, 0, 1, 7, 40, 64, 1, 3, random.randrange(1400)))
        if random.random() < 0.003:
            size = random.randrange(3_000, 8_000)
        fields = Fields(source, destination, protocol, payload=random.randbytes(size),
                        sequence=random.getrandbits(32), label=random.getrandbits(16))
        if random.random() < 0.2:
            fields.hops = random.choice((2, 3, 255, 128))
            fields.traffic_class = random.getrandbits(8)
        if random.random() < 0.05:
            fields.options = random.randbytes(random.choice((4, 8, 40)))
            fields.tcp_options = random.randbytes(random.choice((4, 12, 40)))
            fields.fragment = 0
        if random.random() < 0.3:
            fields.window = random.choice((0, 1, 127, 128, 502, 65535, random.getrandbits(16)))
        if random.random() < 0.02:
            fields.checksum_error = random.randrange(1, 65535)
        if random.random() < 0.1:
            fields.chain = packets.random_chain(random)
        return fields

    def _to_us(self, packet, mac, arm=None):
        own_mac, self._tags = arm or self.random.choice(self.arms)
        return packets.frame(packet, mac, own_mac)

    def _shake(self):
        """Of a few connections that cookies begin: what comes next, most of the time."""
        talks = [talk for talk in self.talks if self._has_cookies(talk)][:HANDSHAKES]
        if not talks:
            return self._request()
        talk = self.random.choice(talks)
        shake = talk.handshake
        answers = 0.1 if not shake.is_asked else 0.4 if shake.is_answered else 0.8
        if talk.onward and self.random.random() < answers:
            return self._answer_of(talk)
        return self._request_of(talk)

    def _request(self):
        return self._request_of(self._talk())

    def _request_of(self, talk):
        random = self.random
        self._asked = (talk, "request")
        if random.random() < 0.01:
            talk.router, talk.arm = random.choice(ROUTERS), random.choice(self.arms)
        fields = self._fields((talk.client, talk.port), (talk.vip, talk.service.port),
                              talk.service.protocol)
        fields.flags = SYN if not talk.begun else random.choice((ACK, ACK, ACK | 8))
        if random.random() < 0.2:
            fields.flags = random.choice(CONTROL_BYTES)
        if fields.flags & SYN and random.random() < 0.7:
            fields.tcp_options = random_options(random)
        fields.acknowledgement = random.choice((talk.acknowledges,) * 8 + (
            (talk.acknowledges + random.randrange(65536)) & 0xFFFFFFFF, random.getrandbits(32), 0))
        if self._has_cookies(talk) and random.random() < 0.9:
            talk.handshake.client_says(fields)
        if talk.onward and random.random() < 0.02:
            packets.sum_to_nothing(fields, *talk.onward)
        return self._to_us(packets.datagram(fields), talk.router, talk.arm)

    def _has_cookies(self, talk):
        """Or had, so that there may be one."""
        return talk.handshake.cookie is not None or any(
            service.syn_cookies for service in self.world.appliance.services
            if service.id == talk.service.id)

    def _newcomer(self):
        talk = self._talk_to(self.world.everything.services[0])
        fields = self._fields((talk.client, self.random.randrange(65536)),
                              (talk.vip, talk.service.port), talk.service.protocol)
        fields.flags = SYN
        return self._to_us(packets.datagram(fields), talk.router, talk.arm)

    def _answer(self):
        talks = [talk for talk in self.talks if talk.onward]
        return self._answer_of(self.random.choice(talks)) if talks else self._request()

    def _answer_of(self, talk):
        random = self.random
        self._asked = (talk, "answer")
        ours, backend = talk.onward
        fields = self._fields(backend, ours, talk.service.protocol)
        fields.flags = ACK if talk.acknowledges else SYN | ACK
        if random.random() < 0.2:
            fields.flags = random.choice(CONTROL_BYTES)
        if self._has_cookies(talk) and random.random() < 0.9:
            talk.handshake.backend_says(fields)
        if random.random() < 0.02:
            packets.sum_to_nothing(fields, (talk.vip, talk.service.port), (talk.client, talk.port))
        return self._to_us(packets.datagram(fields), random.choice(ROUTERS))

    def _direct_answer(self):
        """What a backend sent that answers clients directly."""
        talk = self._talk()
        fields = self._fields((talk.vip, talk.service.port), (talk.client, talk.port),
                              talk.service.protocol)
        return self._to_us(packets.datagram(fields), talk.router, talk.arm)

    def _error(self):
        random = self.random
        about = self._direct_answer()
        if self.left and random.random() < 0.8:
            about = random.choice(self.left)
        if not packets.is_ip(about):
            return about
        family = FAMILIES[word(about, 12)]
        at, length = (26, 4) if family == 4 else (22, 16)
        to = about[at:at + length]
        router = bytes([192, 0, 2, 1]) if family == 4 else ip_address("2001:db8:ffff::1").packed
        quoted = about[14:14 + random.choice((20, 28, 40, 45, 48, 58, 59, 60, 68, 128, 1000))]
        if random.random() < 0.1:
            quoted = self.breaker.broken(about)[14:]
        kind = random.choice((*ERRORS[family],) * 3 + (0, 8, 128))
        fields = self._fields((router, 0), (to, 0), "udp")
        packet = packets.icmp_error(router, to, kind, random.choice((0, 4)),
                                    random.getrandbits(11), quoted, fields)
        return self._to_us(packet, random.choice(ROUTERS))

    def _again(self):
        return self.random.choice(self.came) if self.came else self._request()

    def _stray(self):
        """Near to what is ours, but for a port, an address or the protocol."""
        random, talk = self.random, self._talk()
        ends = [(talk.client, talk.port), (talk.vip, talk.service.port), *(talk.onward or ())]
        ends.append((random.choice(ends)[0], random.randrange(65536)))
        same = [end for end in ends if len(end[0]) == len(talk.client)]
        fields = self._fields(random.choice(same), random.choice(same),
                              random.choice(("tcp", "udp")))
        fields.flags = random.choice(CONTROL_BYTES)
        return self._to_us(packets.datagram(fields), random.choice(ROUTERS))
