# SPDX-License-Identifier: Apache-2.0
"""SYN cookies: the appliance's own handshake with a client, the one with its backend, and the
sequence numbers and windows of what follows."""
from dataclasses import replace
from ipaddress import ip_address

from builder import APPLIANCE, INTERFACE, Case, Error, summarise
from icmp_cases import ROUTERS
from syn_cookie import MSS, NO_SCALE, OUR_SCALE, TICK_SHIFT, make, terms_of
from worlds import client, talk, world

BEGIN_TICK = 10**15 >> TICK_SHIFT  # when a case begins
FIRST = 4_000_000_000  # the client's first sequence number; it wraps soon
BACKENDS_FIRST = 77_000  # the backend's


def cookie(appliance, request, at_ms=0, mss=536, scale=NO_SCALE):
    """The sequence number of the answer to a SYN."""
    client = ip_address(request.source).packed, request.source_port
    service = ip_address(request.destination).packed, request.destination_port
    tick = (10**15 + at_ms * 10**6) >> TICK_SHIFT
    return make(appliance.hash_key, client, service, request.sequence, terms_of(mss, scale), tick)


def options(mss=None, scale=None):
    """As the appliance writes them."""
    return tuple(([("MSS", mss)] if mss else []) +
                 ([("NOP", None), ("WScale", scale)] if scale is not None else []))


class Handshake:
    """A client, what it offers in its SYN, and what it gets for that."""

    def __init__(self, case, number=1, mss=1460, scale=10, at_ms=0, **changes):
        self.case, self.mss, self.scale = case, mss, scale
        self.talk = talk(case.appliance, case.family, number, **changes)
        self.syn = self.talk.request(flags="S", sequence=FIRST,
                                     tcp_options=options(mss, scale))
        self.cookie = cookie(case.appliance, self.syn, at_ms, mss or 536,
                             NO_SCALE if scale is None else min(scale, 14))

    def offered(self):
        """By us."""
        header_bytes = 40 if self.case.family == 4 else 60
        mtu = self.talk.by.mtu or 1500
        return options(max(mtu - header_bytes, 536), None if self.scale is None else OUR_SCALE)

    def answered(self, syn=None):
        syn = syn or self.syn
        answer = replace(syn, source=syn.destination, destination=syn.source,
                         source_port=syn.destination_port, destination_port=syn.source_port,
                         ethernet_source=syn.ethernet_destination,
                         ethernet_destination=syn.ethernet_source, hops=64, flags="SA",
                         sequence=self.cookie, acknowledgement=(FIRST + 1) % 2**32, window=0,
                         tcp_options=self.offered(), payload=b"", padding=b"")
        self.case.becomes(syn, answer, "syn_cookie")

    def ours(self, **fields):
        """The client's segment, in its numbers: `sequence` and `acknowledgement` count from the
        first byte of either side."""
        begin = {"sequence": FIRST + 1, "acknowledgement": self.cookie + 1}
        return self.talk.request(**self._counted(begin, fields))

    def theirs(self, **fields):
        begin = {"sequence": BACKENDS_FIRST + 1, "acknowledgement": FIRST + 1}
        return self.talk.answer(**self._counted(begin, fields))

    @staticmethod
    def _counted(begin, fields):
        return {**fields, **{name: (first + fields.get(name, 0)) % 2**32
                             for name, first in begin.items()}}

    def shows(self, new=True, flows=None, window=502, sequence=0, **fields):
        """The client's segment becomes our SYN to the backend."""
        packet = self.ours(window=window, sequence=sequence, **fields)
        mss = max(size for size in MSS if size <= max(self.mss or 536, 536))
        scale = None if self.scale is None else min(self.scale, 14)
        syn = replace(self.talk.forwarded(packet), flags="S", sequence=FIRST, acknowledgement=0,
                      window=min(window << (scale or 0), 0xFFFF), payload=b"",
                      tcp_options=options(mss, scale))
        self.case.sends(self.talk, "backend", packet, syn, new, flows)

    def syn_ack(self, mss=1460, scale=9, window=64240, before=(), **fields):
        """The backend's answer becomes a window update to the client."""
        packet = self.theirs(sequence=-1, flags="SA", window=window,
                             tcp_options=(*before, *options(mss, scale)), **fields)
        shift = 0 if self.scale is None else OUR_SCALE
        update = replace(self.talk.returned(packet), flags="A", sequence=self.cookie,
                         window=window >> shift, tcp_options=(), payload=b"\0")
        self.case.sends(self.talk, "client", packet, update)

    def request(self, flows=None, **fields):
        packet = self.ours(**fields)
        acknowledgement = BACKENDS_FIRST + 1 + fields.get("acknowledgement", 0)
        onward = replace(self.talk.forwarded(packet), acknowledgement=acknowledgement)
        self.case.sends(self.talk, "backend", packet, onward, flows=flows)

    def answer(self, backends_scale=9, flows=None, window=501, **fields):
        packet = self.theirs(window=window, **fields)
        scale = OUR_SCALE if self.scale is None else backends_scale
        back = replace(self.talk.returned(packet), window=min(window << scale >> OUR_SCALE, 0xFFFF),
                       sequence=(self.cookie + 1 + fields.get("sequence", 0)) % 2**32)
        self.case.sends(self.talk, "client", packet, back, flows=flows)

    def opens(self):
        self.answered()
        self.shows(flows=(1, 0, 0))
        self.syn_ack()
        self.request(flows=(0, 1, 0))


class CookieCase(Case):
    def __init__(self, name, family, **changes):
        appliance = world(family, "tcp", **changes)
        self.family = family
        super().__init__(f"TCP over IPv{family}: SYN cookies: {name}",
                         appliance.with_service(1, syn_cookies=True))

    def becomes(self, packet, out, reason):
        self._step(summarise(packet), packet.frame(), verdict="transmit", reason=reason,
                   interface=INTERFACE, out=out.frame().hex())
        self._count_reason(1, reason)


def connections():
    """Data both ways, whatever is offered and taken."""
    offers = ((1460, 10, 9), (1460, 0, 9), (1300, 14, 0), (None, None, 9), (9000, None, None),
              (500, 3, None), (1219, 7, 14))
    for family in (4, 6):
        for mss, scale, backends in offers:
            case = CookieCase(f"client's segments {mss}, scale {scale}; backend's scale {backends}",
                              family)
            pair = Handshake(case, mss=mss, scale=scale)
            pair.answered()
            pair.shows(flows=(1, 0, 0))
            pair.syn_ack(scale=backends)
            pair.request(flows=(0, 1, 0))
            pair.request(payload=b"question", flags="PA")
            scale = 0 if backends is None else backends
            pair.answer(scale, payload=bytes(1400), acknowledgement=8)
            pair.answer(scale, payload=b"end", sequence=1400, acknowledgement=8, window=65535)
            case.wait(3_000)
            pair.request(sequence=8, acknowledgement=1403)
            pair.request(sequence=8, acknowledgement=1403, flags="FA")
            pair.answer(scale, sequence=1403, acknowledgement=9, flags="FA", flows=(0, 0, 1))
            pair.request(sequence=9, acknowledgement=1404)
            yield case


def other_syns():
    """What their senders put in beside."""
    for family in (4, 6):
        case = CookieCase("SYNs with other options, data, congestion flags and padding", family)
        pair = Handshake(case)
        linux = (("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None),
                 ("WScale", 10))
        for changes in ({"tcp_options": linux}, {"payload": b"early data"}, {"flags": "SEC"},
                        {"padding": bytes(9)}, {"hops": 2},
                        {"tcp_options": (("NOP", None),) * 3 + (("WScale", 10), *options(1460))}):
            pair.answered(replace(pair.syn, **changes))
        bare = Handshake(case, mss=None, scale=None)
        bare.answered()
        too_far = Handshake(case, scale=15)  # 14 is the most (RFC 7323, 2.3)
        too_far.answered()
        yield case

        case = CookieCase("SYNs that are not answered", family)
        pair = Handshake(case)
        case.drops(replace(pair.syn, checksum_error=1), "syn_cookie", 1)
        if family == 4:
            case.drops(replace(pair.syn, ip_options=b"\x01" * 4), "syn_cookie", 1)
        case.answers(replace(pair.syn, hops=1), "ttl_expired", "time exceeded", 1)
        nobody = case.appliance.with_service(1, slots=(0,))
        case.configure(nobody)
        case.passes(pair.syn, "no_backend", 1)
        yield case


def narrow_backend():
    for family in (4, 6):
        appliance_mtu = 1400
        case = CookieCase(f"a backend behind {appliance_mtu} bytes", family)
        case.appliance = case.appliance.with_backend(1, mtu=appliance_mtu)
        Handshake(case).opens()
        yield case


def lost_and_repeated():
    for family in (4, 6):
        case = CookieCase("each packet of the handshake may be lost or come twice", family)
        pair = Handshake(case)
        pair.answered()
        pair.answered()
        pair.shows(flows=(1, 0, 0))
        pair.shows(new=False, sequence=-1, window=7)  # a probe of the window
        pair.shows(new=False, payload=b"question")
        pair.shows(new=False, flags="FA")
        case.drops(pair.ours(sequence=100, payload=b"?"), "handshake_unfinished", 1)
        pair.syn_ack()
        pair.syn_ack()
        pair.request(sequence=-1)
        pair.request(flows=(0, 1, 0))
        pair.syn_ack()
        pair.request(payload=b"question")
        yield case


def whose_cookie():
    """Only of the client that it was made for, and not for long."""
    for family in (4, 6):
        case = CookieCase("a cookie is good for its client only", family)
        pair = Handshake(case)
        packet = pair.ours()
        for changes in ({"sequence": packet.sequence + 1}, {"sequence": packet.sequence - 2},
                        {"source": client(family, 9)}, {"source_port": 40001},
                        {"acknowledgement": packet.acknowledgement + 1},
                        {"acknowledgement": packet.acknowledgement ^ 1 << 30}):
            case.passes(replace(packet, **changes), "no_flow", 1)
        case.passes(replace(packet, flags="RA"), "no_flow", 1)
        pair.shows(flows=(1, 0, 0))
        yield case

        left_ms = (256 - BEGIN_TICK % 256) * 2**28 // 10**6 + 1  # of the epoch
        case = CookieCase("a cookie is good until the epoch after its own ends", family)
        first, second = Handshake(case), Handshake(case, number=2)
        case.wait(left_ms)
        first.shows()
        case.wait(70_000)
        case.passes(second.ours(), "no_flow", 1)
        fresh = Handshake(case, number=2, at_ms=left_ms + 70_000)
        fresh.answered()
        fresh.shows()
        yield case


def refusals():
    for family in (4, 6):
        case = CookieCase("a backend that refuses is the client's reset", family)
        pair = Handshake(case)
        pair.answered()
        pair.shows()
        packet = replace(pair.theirs(flags="RA", window=0), sequence=0)
        back = replace(pair.talk.returned(packet), sequence=pair.cookie + 1)
        case.sends(pair.talk, "client", packet, back, flows=(0, 0, 1))
        yield case

        case = CookieCase("what is no answer to our SYN is refused", family)
        pair = Handshake(case)
        pair.answered()
        pair.shows()
        case.passes(pair.theirs(), "no_flow", 1)  # of an older connection: the kernel resets it
        syn_ack = pair.theirs(sequence=-1, flags="SA", tcp_options=options(1460, 9))
        case.drops(replace(syn_ack, checksum_error=5), "malformed", 1)
        case.drops(replace(syn_ack, flags="SRA"), "malformed", 1)
        pair.syn_ack(before=(("NOP", None), ("NOP", None)))
        yield case

        case = CookieCase("a FIN of an older connection ends nothing", family)
        pair = Handshake(case)
        pair.answered()
        pair.shows()
        case.passes(pair.theirs(flags="FA"), "no_flow", 1)
        pair.syn_ack()
        pair.request(flows=(0, 1, 0))
        pair.request(flags="FA", flows=(0, 1, 0))
        yield case


def failures():
    for family in (4, 6):
        case = CookieCase("a backend that goes down before it answers is left", family, backends=2)
        pair = Handshake(case)
        pair.answered()
        pair.shows()
        case.configure(case.appliance.with_backend(1, down=True).with_service(1, slots=(2,)))
        pair.talk = replace(pair.talk, backend=2)
        pair.shows(new=True, flows=(1, 0, 0))
        pair.syn_ack()
        pair.request()
        yield case

        case = CookieCase("a flow that got no answer in time is begun anew", family)
        pair = Handshake(case)
        pair.answered()
        pair.shows()
        case.wait(6_000)
        pair.shows(new=False)
        case.wait(6_000)
        pair.shows(new=True, flows=(1, 0, 0))
        yield case


def again():
    """One client, one port, two connections."""
    for family in (4, 6):
        case = CookieCase("a client that begins anew from its port", family)
        pair = Handshake(case)
        pair.opens()
        pair.request(flags="FA")
        pair.answer(flags="FA", acknowledgement=1, flows=(0, 0, 1))
        pair.answered()
        pair.shows(new=True, flows=(1, 0, 0))
        pair.syn_ack()
        pair.request(flows=(0, 1, 0))
        syn = pair.talk.forwarded(pair.syn)  # amid a connection its backend judges it
        case.sends(pair.talk, "backend", pair.syn, syn, flows=(0, 1, 0))
        yield case


def switched():
    """Connections outlive the change of the key, either way."""
    for family in (4, 6):
        case = CookieCase("switched off and on amid connections", family)
        pair = Handshake(case)
        pair.opens()
        case.configure(case.appliance.with_service(1, syn_cookies=False))
        pair.request(payload=b"question")
        pair.answer(payload=b"answer", acknowledgement=8)
        case.configure(case.appliance)
        pair.request(sequence=8, acknowledgement=6)
        yield case

        case = CookieCase("switched off amid a handshake that the client begins anew", family)
        pair = Handshake(case)
        pair.answered()
        pair.shows()
        case.configure(case.appliance.with_service(1, syn_cookies=False))
        case.sends(pair.talk, "backend", pair.syn, pair.talk.forwarded(pair.syn), new=True,
                   flows=(1, 0, 0))
        syn_ack = pair.theirs(sequence=-1, flags="SA", tcp_options=options(1460, 9))
        case.sends(pair.talk, "client", syn_ack, pair.talk.returned(syn_ack))
        yield case


def quoted():
    """An error about an answer quotes the number that the backend sent."""
    for family in (4, 6):
        for quoted_bytes in (8, 1000):
            case = CookieCase(f"an error that quotes {quoted_bytes} bytes of an answer", family)
            pair = Handshake(case)
            pair.opens()
            answer = pair.theirs(payload=bytes(1400), sequence=5, flags="PA", window=501)
            back = replace(pair.talk.returned(answer), window=501 << 9 >> OUR_SCALE,
                           sequence=(pair.cookie + 6) % 2**32)
            pair.answer(payload=bytes(1400), sequence=5, flags="PA")
            error = Error(back, ROUTERS[family], pair.talk.to.address, quoted_bytes=quoted_bytes)
            quotes = replace(answer, hops=back.hops, window=back.window,
                             ethernet_source=back.ethernet_source)
            leaving = Error(quotes, case.appliance.snat(family), pair.talk.by.address,
                            ethernet_source=APPLIANCE, ethernet_destination=pair.talk.by.mac,
                            hops=error.hops - 1, quoted_bytes=quoted_bytes)
            case.error(pair.talk, "backend", error, leaving)
            yield case


def cases():
    for group in (connections, other_syns, narrow_backend, lost_and_repeated, whose_cookie,
                  refusals, failures, again, switched, quoted):
        yield from group()
