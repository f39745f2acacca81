# SPDX-License-Identifier: Apache-2.0
"""What tests said: counted from JUnit XML, which GoogleTest and pytest both write."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counts of individual tests, with the names that a reader wants to see."""

    passed: int = 0
    failures: list = field(default_factory=list)  # names
    skips: list = field(default_factory=list)  # (name, reason)

    def __iadd__(self, other):
        self.passed += other.passed
        self.failures += other.failures
        self.skips += other.skips
        return self

    def __str__(self):
        return f"{self.passed} passed, {len(self.failures)} failed, {len(self.skips)} skipped"

    @staticmethod
    def of(name, passed):
        """A check that is one test."""
        return Tally(passed=1) if passed else Tally(failures=[name])


def read_junit(path, name, status):
    """The tally of the program `name`, which wrote `path` and ended with `status`.

    A program that died before it reported, that ran nothing, or whose status and report disagree
    is a failure of its own.
    """
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return Tally(failures=[f"{name} ended with status {status} and no report"])
    tally = Tally()
    for case in cases:
        count_case(tally, case, name)
    if not cases:
        tally.failures.append(f"{name} has no tests")
    elif status != 0 and not tally.failures:
        tally.failures.append(f"{name} ended with status {status} after its last test")
    return tally


def count_case(tally, case, program):
    name = f"{case.get('classname') or program}.{case.get('name')}"
    skipped = case.find("skipped")
    if case.find("failure") is not None or case.find("error") is not None:
        tally.failures.append(name)
    elif skipped is not None:
        tally.skips.append((name, first_line(skipped)))
    elif case.get("status") == "notrun":
        tally.skips.append((name, "disabled in its source"))
    else:
        tally.passed += 1


def first_line(skipped):
    """The reason. GoogleTest puts the source line above it, pytest leaves it in the attribute."""
    lines = (skipped.get("message") or "no reason given").strip().splitlines()
    return lines[-1]
