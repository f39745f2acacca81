# SPDX-License-Identifier: Apache-2.0
"""What may become of a frame, and the questions that the design leaves to a dataplane."""
from typing import NamedTuple

PASS, DROP, TRANSMIT = range(3)  # as the executor has them
PASSED = {"not_ours", "fragment", "no_backend", "no_flow"}
INGRESS = 1


class Outcome(NamedTuple):
    """What is seen of a frame's fate. `counted`: (table, field, id, by how much), see executor."""

    action: int
    interface: int
    counted: frozenset
    frame: bytes


class Choices:
    """Answers to the questions that are open, tried one after the other."""

    def __init__(self):
        self.made = []  # [number of the answer, how many there are]
        self.next = 0

    def of(self, options):
        if self.next == len(self.made):
            self.made.append([0, len(options)])
        self.next += 1
        return options[self.made[self.next - 1][0]]

    def try_others(self):
        """False: there are none."""
        self.next = 0
        while self.made and self.made[-1][0] + 1 == self.made[-1][1]:
            self.made.pop()
        if self.made:
            self.made[-1][0] += 1
        return bool(self.made)
