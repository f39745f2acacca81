# SPDX-License-Identifier: Apache-2.0
"""What the two ends of a connection send that a SYN cookie begins, and what they should not."""
from struct import pack

from model.wire import ACK, FIN, RST, SYN

PUSH, CONGESTION = 8, 0xC0
SIZES = (0, 100, 536, 1219, 1220, 1299, 1300, 1360, 1400, 1440, 1460, 8939, 8940, 65535)
SCALES = (0, 1, 7, 7, 9, 10, 14, 15, 255)
MOST_OPTION_BYTES = 40


def random_options(random):
    """Of a SYN: in any order, some twice, some broken."""
    mss = random.choice((*SIZES, random.randrange(65536), random.randrange(1000, 1500)))
    ways = (pack("!BBH", 2, 4, mss), pack("!BBH", 2, 4, mss),
            pack("!BBB", 3, 3, random.choice(SCALES)), pack("!BBB", 3, 3, random.choice(SCALES)),
            b"\4\2", bytes([8, 10]) + random.randbytes(8), b"\1", b"\1\1\1")
    broken = (b"\0", b"\2\3\5", pack("!BBBH", 2, 5, 0, mss), b"\3\2", b"\3\4\1\1", b"\3\0", b"\2",
              bytes([random.randrange(256), random.randrange(12)]))
    told = [random.choice(ways) for _ in range(random.choice((0, 1, 2, 2, 3, 4, 6)))]
    if random.random() < 0.2:
        told.insert(random.randrange(len(told) + 1), random.choice(broken))
    text = b"".join(told)
    text += random.choice((b"\0", b"\1", b"\2")) * (-len(text) % 4)
    return text[:MOST_OPTION_BYTES]


class Handshake:
    """A connection as its ends know it. `cookie`: what the client was answered; `is_asked`,
    `is_answered`: the backend was sent a SYN, and its answer was passed on; `old`: first numbers
    and cookies of before."""

    def __init__(self, random):
        self.random = random
        self.old = []
        self.cookie = None
        self.begin()

    def begin(self):
        """The client, anew; sometimes with the number of before."""
        random = self.random
        if self.cookie is not None:
            self.old = [*self.old[-2:], (self.first, self.cookie)]
        if self.cookie is None or random.random() < 0.8:
            self.first = random.choice((random.getrandbits(32), 2**32 - 1))
        self.cookie = None
        self.asked()
        self.is_asked = False

    def asked(self):
        """The backend was sent a SYN."""
        random = self.random
        self.is_asked, self.is_answered = True, False
        self.theirs = random.choice((random.getrandbits(32), random.getrandbits(32), 2**32 - 1))

    def client_says(self, fields):
        random = self.random
        if self.cookie is not None and random.random() < 0.04:
            self.begin()
        if self.cookie is None or random.random() < 0.03:
            fields.flags = random.choice((SYN, SYN, SYN, SYN | CONGESTION))
            fields.sequence = self.first
            fields.tcp_options = random_options(random)
            return
        fields.flags = random.choice((ACK,) * 12 + (ACK | PUSH,) * 6 + (FIN | ACK, FIN | ACK, RST,
                                                                        RST | ACK, 0))
        self._number(fields)

    def _number(self, fields):
        """As the client counts: what shows its cookie, or what follows, or neither."""
        random = self.random
        first, cookie = self.first, self.cookie
        if self.old and random.random() < 0.1:
            first, cookie = random.choice(self.old)
        sequence, acknowledges = first + random.choice((1, 1, 1, 0)), cookie + 1
        if random.random() < (0.5 if self.is_answered else 0.15):
            sequence = first + random.choice((0, 1, 2, 1 + random.randrange(3000)))
            acknowledges = cookie + random.choice((0, 1, 2, 1 + random.randrange(5000)))
        if random.random() < 0.05:
            acknowledges ^= 1 << random.randrange(32)
        fields.sequence, fields.acknowledgement = sequence % 2**32, acknowledges % 2**32

    def backend_says(self, fields):
        random = self.random
        fields.acknowledgement = (self.first + 1) % 2**32
        fields.sequence = self.theirs
        if self.is_answered and random.random() < 0.9:
            fields.sequence = (self.theirs + random.choice((1, 1, random.randrange(9000)))) % 2**32
            fields.flags = random.choice((ACK,) * 12 + (ACK | PUSH,) * 6 + (FIN | ACK, FIN | ACK,
                                                                            RST, RST | ACK))
            return
        fields.flags = random.choice((SYN | ACK,) * 24 + (RST | ACK, RST | ACK, RST, ACK, FIN | ACK,
                                                          SYN | ACK | RST, SYN | ACK | FIN, SYN))
        fields.tcp_options = random_options(random)
        if random.random() < 0.7:
            fields.payload = b""
        if random.random() < 0.05:
            fields.sequence = random.getrandbits(32)
