# SPDX-License-Identifier: Apache-2.0
"""A SYN cookie, from its definition (dataplane/core/syn_cookie.h)."""
import struct

from hashes import siphash13

TICK_SHIFT = 28  # from ns
EPOCH_SHIFT = 8  # from ticks
MSS = (536, 1220, 1300, 1360, 1400, 1440, 1460, 8940)
NO_SCALE = 15
OUR_SCALE = 7


def terms_of(mss, scale):
    """What a cookie says of a SYN: how large its sender's segments may be, and its scale."""
    return max(n for n, size in enumerate(MSS) if size <= max(mss, 536)) << 5 | scale << 1


def mss_of(cookie):
    return MSS[cookie >> 29]


def scale_of(cookie):
    return cookie >> 25 & 15


def make(hash_key, client, service, sequence, terms, tick):
    """The sequence number of the answer to a SYN. `client`, `service`: (address in bytes, port)."""
    theirs, ours = client[0], service[0]
    message = b"".join(theirs[at:at + 4] + ours[at:at + 4] for at in range(0, len(ours), 4))
    message += struct.pack("!HH", client[1], service[1])
    message += struct.pack("<IIB", sequence, tick >> EPOCH_SHIFT, terms)
    return terms << 24 | siphash13(hash_key, message) & 0xFFFFFF
