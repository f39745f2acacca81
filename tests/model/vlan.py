# SPDX-License-Identifier: Apache-2.0
"""VLAN tags (IEEE 802.1Q, 802.1ad) in front of a frame, outermost first."""
from struct import pack

from model.wire import word

MACS_BYTES = 12
TAG_BYTES = 4
ETHERTYPES = {"802.1Q": 0x8100, "802.1ad": 0x88A8}


def wire(tags=(), priority=0):
    """Tags as a golden configuration has them, as they stand in a frame."""
    return b"".join(pack("!HH", ETHERTYPES[which], priority << 12 | vlan) for vlan, which in tags)


def put(frame, tags):
    return frame[:MACS_BYTES] + tags + frame[MACS_BYTES:]


def taken(frame):
    """All of its tags, without their priorities, and what is left of the frame."""
    tags, at = b"", MACS_BYTES
    while at + TAG_BYTES <= len(frame) and word(frame, at) in ETHERTYPES.values():
        tags += frame[at:at + 2] + pack("!H", word(frame, at + 2) & 0xFFF)
        at += TAG_BYTES
    return tags, frame[:MACS_BYTES] + frame[at:]
