# SPDX-License-Identifier: Apache-2.0
"""What takes clients' packets out on the hosts, in mode tunnel: `penstock decap`, or the kernel's
own tunnel devices where PENSTOCK_LAB_DECAPSULATOR is "kernel".
"""

import os
import subprocess
import time

from . import appliance, netns, world
from .netns import LabError

# One for each pair of families: outer, kind, and what the device carries.
KERNEL_DEVICES = (
    ("tunnel44", 4, "ipip", "mode ipip"),
    ("tunnel64", 4, "sit", "mode ip6ip"),
    ("tunnel6", 6, "ip6tnl", "mode any encaplimit none"),
)


def start(this):
    """On every host that has the VIPs; returns once all are at work."""
    hosts = [node for node in this.nodes if node.own_vips]
    if os.environ.get("PENSTOCK_LAB_DECAPSULATOR") == "kernel":
        for host in hosts:
            add_kernel_devices(host)
        return
    for host in hosts:
        start_penstock(host, this.tunnel_sources)
    for host in hosts:
        wait_attached(host.name)


def add_kernel_devices(host):
    """They take packets from anybody: the tunnel's source varies with the flow."""
    own = {6 if ":" in address else 4: address.split("/")[0] for address in host.addresses}
    netns.batch(*(line for name, family, kind, options in KERNEL_DEVICES
                  for line in (f"link add {name} type {kind} local {own[family]} {options}",
                               f"link set {name} up")),
                namespace=host.namespace)


def start_penstock(host, sources):
    command = [world.PENSTOCK, "decap", "--interface", host.device,
               "--from", *sources, "--vip", *world.VIPS.values()]
    with open(log_of(host.name), "wb") as log:
        subprocess.Popen(netns.in_namespace(host.name, command), start_new_session=True,
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         env=appliance.environment())


def wait_attached(host, patience_s=10.0):
    deadline = time.monotonic() + patience_s
    while "takes apart" not in (said := log_of(host).read_text(encoding="utf-8")):
        if time.monotonic() > deadline:
            raise LabError(f"the decapsulator of {host} did not start: {said.strip()}")
        time.sleep(0.01)


def log_of(host):
    return world.RUN / f"{host}.decap.log"
