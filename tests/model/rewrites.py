# SPDX-License-Identifier: Apache-2.0
"""The frames that must come out: translated, handed over, tunnelled, answered.

A checksum is changed by as much as what it covers has changed, so a right one stays right and a
wrong one wrong by as much: sums are taken over all that is covered, before and after.
"""
from struct import pack, pack_into, unpack_from

from model.wire import ETHERNET_BYTES, HEADER_BYTES, ICMP_OF, TCP, UDP, sum16, word

QUOTED_BYTES = 128  # at most, in an error of our own
OWN_HOPS = 64


class Hop:
    """Where a frame goes: out of which interface, with which VLAN tags there, from which MAC
    address to which."""

    __slots__ = ("interface", "tags", "macs")

    def __init__(self, interface, source, destination, tags):
        self.interface, self.tags = interface, tags
        self.macs = destination + source


def keep_right(out, at, before, after):
    pack_into("!H", out, at, (word(out, at) + before - after) % 65535)


def _put_addresses(out, ip_at, family, source, destination):
    at = ip_at + (12 if family == 4 else 8)
    out[at:at + 2 * len(source)] = source + destination


def _with_hop_spent(packet, hop, source=None, destination=None):
    """The frame to `hop`, with other addresses in its IP header if they are given."""
    out = bytearray(packet.frame)
    out[:12] = hop.macs
    if source:
        _put_addresses(out, ETHERNET_BYTES, packet.family, source, destination)
    if packet.family == 6:
        out[21] -= 1
        return out
    out[22] -= 1
    before = sum16(packet.frame[ETHERNET_BYTES:packet.at])
    keep_right(out, 24, before, sum16(out[ETHERNET_BYTES:packet.at]))
    return out


def handed_over(packet, hop):
    return bytes(_with_hop_spent(packet, hop))


def translated(packet, hop, source, source_port, destination, destination_port):
    out = _with_hop_spent(packet, hop, source, destination)
    if packet.is_later:
        return bytes(out)
    checksum_at = packet.at + (6 if packet.protocol == UDP else 16)
    before = sum16(packet.source + packet.destination) + sum16(packet.frame[packet.at:packet.end])
    pack_into("!HH", out, packet.at, source_port, destination_port)
    if packet.family == 4 and packet.protocol == UDP and word(out, checksum_at) == 0:
        return bytes(out)  # RFC 768: there is none
    after = sum16(source + destination) + sum16(out[packet.at:packet.end])
    keep_right(out, checksum_at, before, after)
    if packet.protocol == UDP and word(out, checksum_at) == 0:
        pack_into("!H", out, checksum_at, 0xFFFF)
    return bytes(out)


def translated_error(packet, quoted, hop, source, source_port, destination, destination_port,
                     shift=0):
    """An ICMP error from `source` (None: from who sent it) to `destination`; what it quotes went
    the other way, with sequence numbers larger by `shift`."""
    out = _with_hop_spent(packet, hop, source or packet.source, destination)
    source, outer = source or quoted.destination, sum16((source or packet.source) + destination)
    pseudo = packet.family == 6
    before = sum16(packet.frame[packet.at:packet.end])
    before += sum16(packet.source + packet.destination) if pseudo else 0
    _put_addresses(out, quoted.ip_at, packet.family, destination, source)
    pack_into("!HH", out, quoted.at, destination_port, source_port)
    if shift:
        sequence, = unpack_from("!I", out, quoted.at + 4)
        pack_into("!I", out, quoted.at + 4, (sequence - shift) % 2**32)
    if packet.family == 4:
        change = sum16(packet.frame[quoted.ip_at:quoted.at]), sum16(out[quoted.ip_at:quoted.at])
        keep_right(out, quoted.ip_at + 10, *change)
    _keep_quoted_checksum_right(out, packet, quoted, source + destination)
    after = sum16(out[packet.at:packet.end])
    after += outer if pseudo else 0
    keep_right(out, packet.at + 2, before, after)
    return bytes(out)


def _keep_quoted_checksum_right(out, packet, quoted, addresses):
    """As far as it is quoted at all."""
    at = quoted.checksum_at
    if at is None:
        return
    if quoted.protocol == UDP and packet.family == 4 and word(out, at) == 0:
        return
    sure = slice(quoted.at, quoted.at + (8 if quoted.protocol == TCP else 4))
    before = sum16(quoted.source + quoted.destination) + sum16(packet.frame[sure])
    keep_right(out, at, before, sum16(addresses) + sum16(out[sure]))
    if quoted.protocol == UDP and word(out, at) == 0:
        pack_into("!H", out, at, 0xFFFF)


def ip_header(family, source, destination, protocol, payload_bytes, traffic_class=0, label=0):
    """Of a packet that begins here, which nobody may fragment (RFC 6864: no identification)."""
    if family == 6:
        return pack("!IHBB", 6 << 28 | traffic_class << 20 | label, payload_bytes, protocol,
                    OWN_HOPS) + source + destination
    header = bytearray(pack("!BBHHHBBH", 0x45, traffic_class, 20 + payload_bytes, 0, 0x4000,
                            OWN_HOPS, protocol, 0) + source + destination)
    pack_into("!H", header, 10, -sum16(header) % 65535)
    return bytes(header)


def tunnelled(packet, hop, source, destination, label):
    """In an IP packet of `destination`'s family (RFC 2003, 2473, 4213; ECN as in RFC 6040)."""
    inner = bytes(_with_hop_spent(packet, hop)[ETHERNET_BYTES:])
    family = 4 if len(destination) == 4 else 6
    header = ip_header(family, source, destination, 4 if packet.family == 4 else 41,
                       packet.ip_bytes, packet.traffic_class, label)
    return hop.macs + (b"\x08\x00" if family == 4 else b"\x86\xdd") + header + inner


def may_be_told(packet):
    """RFC 1122, 3.2.2; RFC 4443, 2.4 e: no error about an error, none to an address that is not
    one host's."""
    if packet.protocol == ICMP_OF[packet.family]:
        return False
    first = packet.source[0]
    if packet.is_later and packet.family == 4:
        return False
    if packet.family == 4:
        return first not in (0, 127) and first < 224
    return first != 0xFF and any(packet.source)


def own_error(packet, kind, code, rest):
    """What the appliance itself answers with, to where the frame came from."""
    frame = packet.frame
    message = pack("!BBHI", kind, code, 0, rest) + frame[14:14 + min(packet.ip_bytes & ~1,
                                                                     QUOTED_BYTES)]
    header = ip_header(packet.family, packet.destination, packet.source, ICMP_OF[packet.family],
                       len(message))
    total = sum16(message)
    if packet.family == 6:
        total += sum16(packet.source + packet.destination) + len(message) + ICMP_OF[6]
    message = message[:2] + pack("!H", -total % 65535) + message[4:]
    return frame[6:12] + frame[:6] + frame[12:14] + header + message


def header_bytes(address):
    """Of the IP header of a tunnel packet to it."""
    return HEADER_BYTES[4 if len(address) == 4 else 6]
