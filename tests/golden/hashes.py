# SPDX-License-Identifier: Apache-2.0
"""The hashes by which clients and flows are spread, from their definitions."""
import struct
from ipaddress import ip_address


def siphash13(key, message):
    """SipHash-1-3 (Aumasson and Bernstein) of `message` under two 64-bit words of key."""
    mask = (1 << 64) - 1

    def rotate(x, bits):
        return ((x << bits) | (x >> (64 - bits))) & mask

    v = [key[0] ^ 0x736F6D6570736575, key[1] ^ 0x646F72616E646F6D,
         key[0] ^ 0x6C7967656E657261, key[1] ^ 0x7465646279746573]

    def turn():
        v[0] = (v[0] + v[1]) & mask
        v[1] = rotate(v[1], 13) ^ v[0]
        v[0] = rotate(v[0], 32)
        v[2] = (v[2] + v[3]) & mask
        v[3] = rotate(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & mask
        v[3] = rotate(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & mask
        v[1] = rotate(v[1], 17) ^ v[2]
        v[2] = rotate(v[2], 32)

    whole = len(message) // 8 * 8
    words = [*struct.unpack(f"<{whole // 8}Q", message[:whole]),
             int.from_bytes(message[whole:], "little") | (len(message) & 0xFF) << 56]
    for word in words:
        v[3] ^= word
        turn()
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        turn()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def flow_hash(hash_key, packet):
    """The hash by which the outer headers of a flow's packets vary (Lemire and Kaser's multilinear
    hashing, under factors that are made from the key)."""
    factors = [siphash13(hash_key, struct.pack("<I", number)) | 1 for number in range(8)]
    sides = [struct.unpack(f"<{len(side) // 4}I", side) for side in
             (ip_address(packet.source).packed, ip_address(packet.destination).packed)]
    ports = struct.unpack("<HH", struct.pack("!HH", packet.source_port, packet.destination_port))
    protocol = 6 if packet.protocol == "tcp" else 17
    words = [ports[0] | ports[1] << 16 | protocol << 32,
             *(ours | theirs << 32 for ours, theirs in zip(*sides))]
    mask = (1 << 64) - 1
    total = sum(word * factor for word, factor in zip(words, factors)) & mask
    total ^= total >> 32
    total = total * 0x9E3779B97F4A7C15 & mask
    return total ^ (total >> 29)
