# SPDX-License-Identifier: Apache-2.0
"""`penstock decap` on the hosts, in mode tunnel."""

import subprocess
import time

from . import appliance, netns, world
from .netns import LabError


def start(this):
    """On every host that has the VIPs; returns once all are attached."""
    hosts = [node.name for node in this.nodes if node.own_vips]
    for host in hosts:
        command = [world.PENSTOCK, "decap", "--interface", "eth0",
                   "--from", *this.tunnel_sources, "--vip", *world.VIPS.values()]
        with open(log_of(host), "wb") as log:
            subprocess.Popen(netns.in_namespace(host, command), start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             env=appliance.environment())
    for host in hosts:
        wait_attached(host)


def wait_attached(host, patience_s=10.0):
    deadline = time.monotonic() + patience_s
    while "takes apart" not in (said := log_of(host).read_text(encoding="utf-8")):
        if time.monotonic() > deadline:
            raise LabError(f"the decapsulator of {host} did not start: {said.strip()}")
        time.sleep(0.01)


def log_of(host):
    return world.RUN / f"{host}.decap.log"
