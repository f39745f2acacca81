# SPDX-License-Identifier: Apache-2.0
"""The files that the rules are about: what git knows, and what is new and not ignored."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FUZZED = re.compile(r"tests/fuzz/\w+_corpus/")  # bytes of any kind
INCLUDE = re.compile(r'\s*#\s*include\s+(<[^>]+>|"[^"]+")')


@dataclass(frozen=True)
class Source:
    path: str  # from the top of the repository
    lines: tuple

    def where(self, number):
        return f"{self.path}:{number}"

    def includes(self):
        """(line number, what is included, with its quotes or brackets)"""
        for number, line in enumerate(self.lines, 1):
            if match := INCLUDE.match(line):
                yield number, match[1]

    def is_below(self, *folders):
        return any(self.path.startswith(f"{folder}/") for folder in folders)


def sources(*suffixes):
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for path in listed.splitlines():
        if FUZZED.match(path):
            continue
        if path.endswith(suffixes) and (ROOT / path).is_file():
            yield Source(path, tuple((ROOT / path).read_text("utf-8").splitlines()))


def programs():
    """What people wrote to be compiled or run: C, C++, Python, shell."""
    yield from sources(".c", ".cc", ".h", ".py")
    for source in sources(""):
        if source.lines and source.lines[0].startswith("#!") and not source.path.endswith(".py"):
            yield source
