# SPDX-License-Identifier: Apache-2.0
"""TCP segments (RFC 9293, 7323): the options of a SYN; segments with other numbers in them; and
segments of our own, which take the place of the one that a frame had.

Frames are whole ones without VLAN tags.
"""
from struct import pack, pack_into
from typing import NamedTuple

from model.rewrites import OWN_HOPS, keep_right
from model.wire import ETHERNET_BYTES, HEADER_BYTES, TCP, sum16, word

HEADER = 20  # bytes, without options
OPTION_END, OPTION_NOTHING, OPTION_MSS, OPTION_SCALE = range(4)
MOST_SCALE = 14  # RFC 7323, 2.3


class Options(NamedTuple):
    """None: it is not told. `mss_at`: of its value, from the TCP header on."""

    mss: int = None
    mss_at: int = None
    scale: int = None


def options(frame, at):
    """Of the TCP header at `at`. One that cannot be read ends them; of two alike the last one
    counts."""
    read, header = Options(), frame[at:at + (frame[at + 12] >> 4) * 4]
    here = HEADER
    while here < len(header) and header[here] != OPTION_END:
        if header[here] == OPTION_NOTHING:
            here += 1
            continue
        length = header[here + 1] if here + 1 < len(header) else 0
        value = header[here + 2:here + length]
        if length < 2 or here + length > len(header):
            break
        if header[here] == OPTION_MSS and length == 4:
            read = read._replace(mss=word(value, 0), mss_at=here + 2)
        if header[here] == OPTION_SCALE and length == 3:
            read = read._replace(scale=min(value[0], MOST_SCALE))
        here += length
    return read


def _patched(frame, at, changes):
    """With other bytes at these offsets of the TCP header at `at`, whose checksum stays as right as
    it was."""
    end = at + (frame[at + 12] >> 4) * 4
    out = bytearray(frame)
    for offset, value in changes.items():
        out[at + offset:at + offset + len(value)] = value
    keep_right(out, at + 16, sum16(frame[at:end]), sum16(out[at:end]))
    return bytes(out)


def clamped(frame, at, most):
    """Asks for no larger segments."""
    mss, mss_at, _ = options(frame, at)
    return _patched(frame, at, {mss_at: pack("!H", most)}) if mss and mss > most else frame


def to_client(frame, at, sequence, window):
    return _patched(frame, at, {4: pack("!I", sequence), 14: pack("!H", window)})


def to_backend(frame, at, acknowledgement):
    return _patched(frame, at, {8: pack("!I", acknowledgement)})


class Segment(NamedTuple):
    sequence: int
    acknowledgement: int
    flags: int
    window: int
    mss: int = None
    scale: int = None
    payload: bytes = b""


def replaced(frame, family, segment):
    """The frame with the same ends and another segment; its IP header has nothing behind it."""
    at = ETHERNET_BYTES + HEADER_BYTES[family]
    told = b"" if segment.mss is None else pack("!BBH", OPTION_MSS, 4, segment.mss)
    told += b"" if segment.scale is None else pack("!BBBB", 1, OPTION_SCALE, 3, segment.scale)
    out = bytearray(frame[:at + 4])
    out += pack("!IIBBHHH", segment.sequence, segment.acknowledgement,
                (HEADER + len(told)) // 4 << 4, segment.flags, segment.window, 0, 0)
    out += told + segment.payload
    if family == 6:
        pack_into("!H", out, 18, len(out) - at)
    else:
        pack_into("!H", out, 16, len(out) - ETHERNET_BYTES)
        keep_right(out, 24, sum16(frame[ETHERNET_BYTES:at]), sum16(out[ETHERNET_BYTES:at]))
    pack_into("!H", out, at + 16, -_sum(out, family) % 65535)
    return bytes(out)


def answered(packet, segment):
    """A segment to where the packet came from: it begins here."""
    frame, at = packet.frame, packet.at
    turned = bytearray(frame[6:12] + frame[:6] + frame[12:at])
    half = len(packet.source)
    turned[-2 * half:] = packet.destination + packet.source
    turned[22 if packet.family == 4 else 21] = OWN_HOPS
    if packet.family == 4:
        keep_right(turned, 24, sum16(frame[ETHERNET_BYTES:at]), sum16(turned[ETHERNET_BYTES:]))
    ports = pack("!HH", packet.destination_port, packet.source_port)
    return replaced(bytes(turned) + ports, packet.family, segment)


def _sum(frame, family):
    """Of a segment behind an IP header without options, to the frame's end."""
    at = ETHERNET_BYTES + HEADER_BYTES[family]
    addresses = frame[at - (8 if family == 4 else 32):at]
    return sum16(addresses) + TCP + len(frame) - at + sum16(frame[at:])


def is_intact(packet):
    """Of one that carries data its checksum is not asked: what is kept of it carries none."""
    header_bytes = (packet.frame[packet.at + 12] >> 4) * 4
    if packet.end - packet.at > header_bytes:
        return True
    return _sum(packet.frame[:packet.end], packet.family) % 65535 == 0
