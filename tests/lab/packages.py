# SPDX-License-Identifier: Apache-2.0
"""Gets the machine ready: installs the Debian packages that are missing, and builds."""

import os
import subprocess
from pathlib import Path

from .netns import LabError, checked
from . import world

LIST = world.ROOT / "configs" / "debian-packages.txt"
POLICY = Path("/usr/sbin/policy-rc.d")  # Debian: 101 keeps packages from starting their services
LOG = world.BUILD / "lab.log"  # what apt, meson and ninja say
PROGRAMS = [world.PENSTOCK, world.PASS_PROGRAM] + [world.PENSTOCK_DPDK] * (world.DRIVER == "dpdk")
TARGETS = [str(path.relative_to(world.BUILD)) for path in PROGRAMS]


def wanted():
    lines = (line.split("#")[0].strip() for line in LIST.read_text().splitlines())
    return [line for line in lines if line]


def missing():
    query = checked(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"])
    there = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in wanted() if name not in there]


def install(names):
    """Installs Debian packages without starting their services."""
    own_policy = not POLICY.exists()
    if own_policy:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        for command in (["apt-get", "-q", "update"],
                        ["apt-get", "-q", "-y", "--no-install-recommends", "install", *names]):
            run_logged(command, {**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    finally:
        if own_policy:
            POLICY.unlink()


def build():
    """Builds the targets that the lab runs; ninja does nothing when they are up to date."""
    if not (world.BUILD / "build.ninja").exists():
        run_logged(["meson", "setup", str(world.BUILD), str(world.ROOT)])
    run_logged(["ninja", "-C", str(world.BUILD), *TARGETS])


def run_logged(command, environment=None):
    LOG.parent.mkdir(exist_ok=True)
    with open(LOG, "ab") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                              env=environment, check=False)
    if done.returncode != 0:
        raise LabError(f"`{' '.join(command[:3])} ...` failed: read {LOG}")
