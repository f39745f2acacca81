# SPDX-License-Identifier: Apache-2.0
"""A flood of SYNs whose senders do not exist: runs in the client's namespace, sends so many frames
and ends.

    flood.py FAMILY COUNT SECONDS DESTINATION_MAC

Each has a source of its own: over IPv6 an address, over IPv4 an address of 198.19.0.0/16 and a
port. Sent evenly over the time, if the machine is fast enough. Prints how many were sent.
"""

import random
import socket
import struct
import sys
import time
from ipaddress import ip_address

from world import HTTP_PORT, VIPS

SOURCES = {4: "198.19.0.0", 6: "2001:db8:f00d::"}
BURST = 500


def folded(words):
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def words_of(data):
    return struct.unpack(f"!{len(data) // 2}H", data)


class Frames:
    """One frame, and what differs from one sender to the next."""

    def __init__(self, family, destination_mac):
        source, vip = ip_address(SOURCES[family]).packed, ip_address(VIPS[family]).packed
        segment = struct.pack("!HHIIBBHHH", 0, HTTP_PORT, 0, 0, 6 << 4, 2, 64240, 0, 0)
        segment += b"\x02\x04\x05\xb4"
        pseudo = source + vip + struct.pack("!HH", len(segment), 6)
        self.segment_sum = folded(words_of(pseudo) + words_of(segment))
        self.family = family
        if family == 4:
            header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0)
            header += source + vip
        else:
            header = struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + source + vip
        self.header_sum = folded(words_of(header))
        macs = bytes.fromhex(destination_mac.replace(":", "")) + b"\x02\0\0\0\0\xc1"
        ethertype = b"\x08\0" if family == 4 else b"\x86\xdd"
        self.frame = bytearray(macs + ethertype + header + segment)
        self.tcp_at = 14 + len(header)

    def of_sender(self, number):
        """The source's last two words and the port say who it is."""
        is_ipv4 = self.family == 4
        address, port = (number & 0xFFFF, 1024 + (number >> 16)) if is_ipv4 else (number, 1024)
        low = struct.pack("!I", address)
        sequence = random.getrandbits(32)
        at = 28 if is_ipv4 else 34
        frame = self.frame
        if is_ipv4:
            low = low[2:]
            struct.pack_into("!H", frame, 24, 0xFFFF ^ folded((self.header_sum, *words_of(low))))
        frame[at:at + len(low)] = low
        changed = (*words_of(low), port, sequence >> 16, sequence & 0xFFFF)
        struct.pack_into("!H", frame, self.tcp_at, port)
        struct.pack_into("!I", frame, self.tcp_at + 4, sequence)
        struct.pack_into("!H", frame, self.tcp_at + 16,
                         0xFFFF ^ folded((self.segment_sum, *changed)))
        return frame


def main():
    family, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    frames = Frames(family, sys.argv[4])
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind(("eth0", 0))
        began = time.monotonic()
        for number in range(count):
            out.send(frames.of_sender(number))
            if number % BURST == 0:
                time.sleep(max(0.0, began + number * seconds / count - time.monotonic()))
    print(count)


if __name__ == "__main__":
    main()
