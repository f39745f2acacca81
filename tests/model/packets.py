# SPDX-License-Identifier: Apache-2.0
"""Builds frames, and breaks them. Quick rather than general: golden/builder.py asks scapy."""
from dataclasses import dataclass, replace
from struct import pack, pack_into

from model.wire import (EXTENSIONS, FRAGMENT_HEADER, ICMP_OF, OPTIONS, PROTOCOLS, ROUTING, TCP,
                        sum16, word)

ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}


@dataclass
class Fields:
    """Of a TCP or UDP packet; ends are (address, port)."""

    source: tuple
    destination: tuple
    protocol: str = "tcp"
    flags: int = 0
    sequence: int = 0
    acknowledgement: int = 0
    window: int = 29200
    checksum_error: int = 0
    payload: bytes = b""
    hops: int = 64
    traffic_class: int = 0
    label: int = 0
    fragment: int = 0x4000
    options: bytes = b""  # IPv4's, a multiple of four bytes
    chain: tuple = ()  # IPv6 extension headers: (number, all but the first byte)
    tcp_options: bytes = b""

    @property
    def family(self):
        return 4 if len(self.source[0]) == 4 else 6


def ip_packet(source, destination, protocol, payload, fields):
    """`payload` in a header with the hops, traffic class, label, options and chain of `fields`."""
    if len(source) == 16:
        for number, rest in reversed(fields.chain):
            payload, protocol = bytes([protocol]) + rest + payload, number
        first = 6 << 28 | fields.traffic_class << 20 | fields.label
        return pack("!IHBB", first, len(payload), protocol, fields.hops) + source + destination + \
            payload
    words = 5 + len(fields.options) // 4
    header = bytearray(pack("!BBHHHBBH", 0x40 | words, fields.traffic_class,
                            words * 4 + len(payload), fields.label & 0xFFFF, fields.fragment,
                            fields.hops, protocol, 0) + source + destination + fields.options)
    pack_into("!H", header, 10, -sum16(header) % 65535)
    return bytes(header) + payload


def random_chain(random):
    """One that leads to its end most of the time."""
    count = random.choice((1, 1, 1, 2, 2, 3, 7, 8, 9))
    return tuple(random_extension(random) for _ in range(count))


def random_extension(random):
    number = random.choice((0, ROUTING, OPTIONS, OPTIONS))
    words = random.choice((0, 0, 0, 1, 2, 8, 9))
    segments_left = random.randrange(256) if random.random() < 0.05 else 0
    control = segments_left if number == ROUTING else random.getrandbits(8)
    return number, bytes([words, random.getrandbits(8), control]) + random.randbytes(4 + 8 * words)


def transport(fields):
    ports = fields.source[1], fields.destination[1]
    number = PROTOCOLS[fields.protocol]
    if number == TCP:
        words = 5 + len(fields.tcp_options) // 4
        segment = bytearray(pack("!HHIIBBHHH", *ports, fields.sequence, fields.acknowledgement,
                                 words << 4, fields.flags, fields.window, 0, 0)
                            + fields.tcp_options + fields.payload)
        checksum_at = 16
    else:
        segment = bytearray(pack("!HHHH", *ports, 8 + len(fields.payload), 0) + fields.payload)
        checksum_at = 6
    total = sum16(fields.source[0] + fields.destination[0]) + len(segment) + number
    total += fields.checksum_error
    checksum = -(total + sum16(segment)) % 65535
    pack_into("!H", segment, checksum_at, checksum or (0 if number == TCP else 0xFFFF))
    return bytes(segment)


def sum_to_nothing(fields, source, destination):
    """A payload with which the checksum is zero once the packet is between these two."""
    fields.payload = bytes(2)
    leaving = transport(replace(fields, source=source, destination=destination))
    at = 16 if fields.protocol == "tcp" else 6
    fields.payload = leaving[at:at + 2]


def datagram(fields):
    """The IP packet."""
    return ip_packet(fields.source[0], fields.destination[0], PROTOCOLS[fields.protocol],
                     transport(fields), fields)


def frame(packet, source_mac, destination_mac):
    family = 4 if packet[0] >> 4 == 4 else 6
    return destination_mac + source_mac + ETHERTYPES[family] + packet


def icmp_error(source, destination, kind, code, rest, quoted, fields):
    protocol = ICMP_OF[4 if len(source) == 4 else 6]
    message = bytearray(pack("!BBHI", kind, code, 0, rest) + quoted)
    total = sum16(message)
    if len(source) == 16:
        total += sum16(source + destination) + len(message) + protocol
    pack_into("!H", message, 2, -total % 65535)
    return ip_packet(source, destination, protocol, bytes(message), fields)


def is_ip(whole):
    return len(whole) >= 34 and whole[12:14] in ETHERTYPES.values()


class Breaker:
    """Makes a frame one that nobody should have sent, or a rare one."""

    def __init__(self, random):
        self.random = random
        self.ways = (self.cut, self.cut, self.flip, self.flip, self.flip, self.hops, self.length,
                     self.no_checksum, self.pad, self.fragment, self.fragment,
                     self.other_protocol, self.station, self.version, self.transport_length,
                     self.extension_header, self.junk)

    def broken(self, whole):
        return self.random.choice(self.ways)(whole)

    def _with(self, whole, at, value):
        if at + len(value) > len(whole):
            return whole
        return whole[:at] + value + whole[at + len(value):]

    def cut(self, whole):
        return whole[:self.random.randrange(len(whole) + 1)]

    def flip(self, whole):
        """A byte or more, among the first most of the time: those are the headers."""
        changed = bytearray(whole)
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            if changed:
                at = self.random.randrange(min(len(changed), self.random.choice((34, 80, 2000))))
                changed[at] ^= 1 << self.random.randrange(8)
        return bytes(changed)

    def hops(self, whole):
        at = 22 if whole[12:14] == ETHERTYPES[4] else 21
        return self._with(whole, at, bytes([self.random.choice((0, 1, 1, 2, 255))]))

    def length(self, whole):
        at = 16 if whole[12:14] == ETHERTYPES[4] else 18
        near = len(whole) - 14 + self.random.randrange(-60, 8)
        value = self.random.choice((near, near, self.random.randrange(65536)))
        return self._with(whole, at, pack("!H", value & 0xFFFF))

    def transport_length(self, whole):
        at = (14 + (whole[14] & 15) * 4) if whole[12:14] == ETHERTYPES[4] and is_ip(whole) else 54
        tcp = self._with(whole, at + 12, bytes([self.random.randrange(256)]))
        udp = self._with(whole, at + 4, pack("!H", self.random.randrange(40)))
        return self.random.choice((tcp, udp))

    def no_checksum(self, whole):
        at = (14 + (whole[14] & 15) * 4) if whole[12:14] == ETHERTYPES[4] and is_ip(whole) else 54
        return self._with(whole, at + 6, bytes(2))

    def pad(self, whole):
        return whole + self.random.randbytes(self.random.randrange(1, 47))

    def fragment(self, whole):
        """For IPv6 in a header of its own (RFC 8200). Of few datagrams, so that they meet."""
        identification = bytes([self.random.randrange(3)])
        if whole[12:14] == ETHERTYPES[4]:
            field = self.random.choice((0x2000, 0x2000, 0x2003, 0x0003, 0x1FFF, 0x8000))
            return self._with(whole, 18, b"\0" + identification + pack("!H", field))
        field = self.random.choice((0x0001, 0x0001, 0x0010, 0x0011, 0xFFF8, 0x0000))
        return self._with_header(whole, FRAGMENT_HEADER,
                                 b"\0" + pack("!H", field) + bytes(3) + identification)

    def extension_header(self, whole):
        if whole[12:14] == ETHERTYPES[4]:
            return whole
        number, rest = random_extension(self.random)
        return self._with_header(whole, self.random.choice((number, 51)), rest)

    def _with_header(self, whole, number, rest):
        """Behind the IPv6 header, or the extension header that is there."""
        if len(whole) < 62:
            return whole
        told_at, at = 20, 54
        if whole[20] in EXTENSIONS and self.random.random() < 0.5:
            told_at, at = 54, 62 + 8 * whole[55]
        changed = bytearray(whole[:at] + whole[told_at:told_at + 1] + rest + whole[at:])
        changed[told_at] = number
        pack_into("!H", changed, 18, (word(whole, 18) + 1 + len(rest)) & 0xFFFF)
        return bytes(changed)

    def other_protocol(self, whole):
        at = 23 if whole[12:14] == ETHERTYPES[4] else 20
        return self._with(whole, at, bytes([self.random.choice((1, 4, 6, 17, 41, 47, 58, 132))]))

    def station(self, whole):
        return self._with(whole, self.random.choice((0, 6)), self.random.randbytes(6))

    def version(self, whole):
        return self._with(whole, 14, bytes([self.random.randrange(256)]))

    def junk(self, whole):
        return whole[:14] + self.random.randbytes(self.random.randrange(120))
