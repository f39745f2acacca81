# SPDX-License-Identifier: Apache-2.0
"""What stands in a frame, as the RFCs have it, and what is wrong with it.

Addresses are bytes. Offsets count from the frame's first byte. Internet checksums (RFC 1071) are
taken as what they are, remainders modulo 65535, so nothing here knows of carries.
"""
from struct import unpack_from

ETHERNET_BYTES = 14
FAMILIES = {0x0800: 4, 0x86DD: 6}
HEADER_BYTES = {4: 20, 6: 40}  # of IP, without options
ICMP, TCP, UDP, ROUTING, FRAGMENT_HEADER, ICMPV6, OPTIONS = 1, 6, 17, 43, 44, 58, 60
EXTENSIONS = (0, ROUTING, FRAGMENT_HEADER, OPTIONS)
CHAIN_HEADERS, CHAIN_BYTES = 8, 80  # at most
ICMP_OF = {4: ICMP, 6: ICMPV6}
ERRORS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}  # ICMP types that quote a packet
FIN, SYN, RST, ACK = 1, 2, 4, 16
PROTOCOLS = {"tcp": TCP, "udp": UDP}


def word(data, at):
    return unpack_from("!H", data, at)[0]


def sum16(data):
    """The sum of the 16-bit words, in ones' complement: 65536 is 1, so the bytes as one number."""
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\0", "big") % 65535


class Chain:
    """Extension headers, from `at` on in a frame: they lead to `protocol` at `end`. If that still
    is one of them, it leads no further; `end` may lie beyond the frame's."""

    __slots__ = ("end", "protocol", "fragment_at")

    def __init__(self, frame, at, protocol):
        self.end, self.protocol = at, protocol
        self.fragment_at = None
        for _ in range(CHAIN_HEADERS):
            if self.protocol not in EXTENSIONS or self.is_later(frame) or self.end > len(frame):
                break
            if self.end + 8 > len(frame):
                self.end += 8
                break
            if not self._leads_on(frame, at):
                break

    def is_later(self, frame):
        return self.fragment_at is not None and word(frame, self.fragment_at + 2) >= 8

    def _leads_on(self, frame, begin):
        here, is_fragment = self.end, self.protocol == FRAGMENT_HEADER
        end = here + (8 if is_fragment else 8 + 8 * frame[here + 1])
        if end - begin > CHAIN_BYTES or (is_fragment and self.fragment_at is not None):
            return False
        if self.protocol == ROUTING and frame[here + 3] > 0:
            return False
        if is_fragment:
            self.fragment_at = here
        self.end, self.protocol = end, frame[here]
        return True


class Packet:
    """An IP packet in a frame without VLAN tags. `problem`: why nothing can be made of it; then
    what stands behind the place where it was noticed is not filled in. `place`: of the interface
    that it came in by."""

    __slots__ = ("frame", "family", "place", "problem", "source", "destination", "hops",
                 "traffic_class", "protocol", "ip_bytes", "at", "source_port", "destination_port",
                 "flags", "sequence", "acknowledgement", "identification", "is_first", "is_later")

    def __init__(self, frame, family, place=None):
        self.frame = frame
        self.family, self.place = family, place
        self.source = self.destination = None
        self.flags = self.acknowledgement = 0
        self.is_first = self.is_later = False  # a fragment
        self.problem = self._read_ip4() if family == 4 else self._read_ip6()
        if self.problem is None:
            self.problem = self._read_transport()

    @property
    def hop(self):
        """Where it came from."""
        return self.frame[6:12], self.place

    @property
    def end(self):
        """Where the IP packet ends, and padding may follow."""
        return ETHERNET_BYTES + self.ip_bytes

    def _read_ip4(self):
        frame = self.frame
        if len(frame) < 34:
            return "truncated"
        self.source, self.destination = frame[26:30], frame[30:34]
        header_bytes = (frame[14] & 15) * 4
        self.ip_bytes = word(frame, 16)
        if frame[14] >> 4 != 4 or header_bytes < 20 or self.ip_bytes < header_bytes:
            return "malformed"
        if self.end > len(frame):
            return "truncated"
        self.traffic_class, self.hops, self.protocol = frame[15], frame[22], frame[23]
        self.at = ETHERNET_BYTES + header_bytes
        self._read_fragment(frame[18:20], word(frame, 20), 0x1FFF, 0x2000)
        return None

    def _read_fragment(self, identification, field, offset_bits, more_bit):
        self.identification = identification
        self.is_later = bool(field & offset_bits)
        self.is_first = bool(field & more_bit) and not self.is_later

    def _read_ip6(self):
        frame = self.frame
        if len(frame) < 54:
            return "truncated"
        self.source, self.destination = frame[22:38], frame[38:54]
        if frame[14] >> 4 != 6:
            return "malformed"
        self.ip_bytes = 40 + word(frame, 18)
        if self.end > len(frame):
            return "truncated"
        self.traffic_class = word(frame, 14) >> 4 & 0xFF
        self.hops = frame[21]
        return self._step_over(Chain(frame, 54, frame[20]))

    def _step_over(self, chain):
        """A fragment header with nothing to follow is a first one's too."""
        self.at, self.protocol = chain.end, chain.protocol
        if self.at > self.end:
            return "malformed"
        if chain.fragment_at is not None:
            frame, at = self.frame, chain.fragment_at
            self._read_fragment(frame[at + 4:at + 8], word(frame, at + 2), 0xFFF8, 1)
            self.is_first = not self.is_later
        leads_no_further = self.protocol in EXTENSIONS and not self.is_later
        return "extension_headers" if leads_no_further else None

    def _read_transport(self):
        frame, at = self.frame, self.at
        payload_bytes = self.end - at
        if self.is_later and self.protocol in (TCP, UDP, *(EXTENSIONS if self.family == 6 else ())):
            return None
        if (self.is_later or self.is_first) and self.protocol not in (TCP, UDP):
            return "fragment"
        if self.protocol == ICMP_OF[self.family]:
            is_error = payload_bytes >= 8 and frame[at] in ERRORS[self.family]
            return None if is_error else "not_ours"
        if self.protocol not in (TCP, UDP):
            return "not_ours"
        header_bytes = 20 if self.protocol == TCP else 8
        if payload_bytes < header_bytes:
            return "truncated"
        said_bytes = (frame[at + 12] >> 4) * 4 if self.protocol == TCP else word(frame, at + 4)
        whole_is_known = self.protocol == TCP or not self.is_first
        if said_bytes < header_bytes or (whole_is_known and said_bytes > payload_bytes):
            return "malformed"
        self.source_port, self.destination_port = unpack_from("!HH", frame, at)
        if self.protocol == TCP:
            self.sequence, self.acknowledgement = unpack_from("!II", frame, at + 4)
            self.flags = frame[at + 13]
        return None

    @property
    def is_opening(self):
        """Whether it may begin a connection."""
        if self.protocol == UDP:
            return not self.is_later
        return self.flags & (SYN | ACK | RST | FIN) == SYN

    @property
    def is_syn_ack(self):
        return self.flags & (SYN | ACK) == SYN | ACK

    @property
    def is_bare(self):
        """Whole, and behind an IP header that nothing follows."""
        at = ETHERNET_BYTES + HEADER_BYTES[self.family]
        return self.at == at and not self.is_first and not self.is_later

    @property
    def is_plain(self):
        return not self.flags & (SYN | RST | FIN)


def fragment_key(packet):
    """What a datagram's fragments have in common (RFC 791; RFC 8200, 4.5)."""
    protocol = packet.protocol if packet.family == 4 else None
    return packet.source, packet.destination, protocol, packet.identification


class Quoted:
    """The packet that an ICMP error is about; `problem`: True when it cannot be read."""

    __slots__ = ("ip_at", "at", "source", "destination", "protocol", "source_port",
                 "destination_port", "checksum_at", "problem")

    def __init__(self, error):
        self.ip_at = error.at + 8
        self.problem = not self._read(error)

    def _read(self, error):
        frame, ip_at, end = error.frame, self.ip_at, error.end
        if ip_at + HEADER_BYTES[error.family] > end or frame[ip_at] >> 4 != error.family:
            return False
        if error.family == 4:
            header_bytes = (frame[ip_at] & 15) * 4
            if header_bytes < 20 or word(frame, ip_at + 6) & 0x1FFF:
                return False
            self.protocol = frame[ip_at + 9]
            addresses = frame[ip_at + 12:ip_at + 20]
        else:
            chain = Chain(frame, ip_at + 40, frame[ip_at + 6])
            if chain.is_later(frame):
                return False
            header_bytes = chain.end - ip_at
            self.protocol = chain.protocol
            addresses = frame[ip_at + 8:ip_at + 40]
        half = len(addresses) // 2
        self.source, self.destination = addresses[:half], addresses[half:]
        self.at = ip_at + header_bytes
        if self.protocol not in (TCP, UDP) or self.at + 8 > end:
            return False
        self.source_port, self.destination_port = unpack_from("!HH", frame, self.at)
        checksum_at = self.at + (16 if self.protocol == TCP else 6)
        self.checksum_at = checksum_at if checksum_at + 2 <= end else None
        return True
