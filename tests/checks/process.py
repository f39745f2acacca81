# SPDX-License-Identifier: Apache-2.0
"""Runs one program of a stage: no stdin, output to the stage's log, a time limit."""

import os
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
ASAN_BUILD = ROOT / "build-asan"
FUZZ_BUILD = ROOT / "build-fuzz"
REPORTS = BUILD / "check"
PYTHON = "/usr/bin/python3"  # Debian's, for which Debian's pytest and scapy are installed
TIMED_OUT = 124
# What one clone has compiled serves another: paths are told relative to the tree.
CCACHE = {"CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "1"}


def run(command, log, environment=None, limit_s=2700):
    """The exit status; TIMED_OUT if the program and its children had to be killed."""
    with open(log, "ab") as out:
        out.write(f"$ {' '.join(map(str, command))}\n".encode())
        out.flush()
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=out, start_new_session=True,
                                 env={**os.environ, **CCACHE, **(environment or {})})
        try:
            return child.wait(limit_s)
        except subprocess.TimeoutExpired:
            out.write(f"killed: not done after {limit_s} s\n".encode())
            return TIMED_OUT
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
