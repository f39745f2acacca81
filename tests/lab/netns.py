# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: makes and removes those of the world, runs commands in them.

A process belongs to the lab when it is in one of the lab's network namespaces; nothing else is
ever ended. Commands enter only the network namespace, never a mount namespace, so that the bpffs
that penstock pins to is one for all.
"""

import os
import signal
import subprocess
import time

from . import world

SYSCTLS = (
    # Addresses work at once.
    "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
    # Three subnets share one wire.
    "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
)
# IPv6 is quiet about its loopback's addresses anyway.
QUIET_ABOUT_LOOPBACK = ("net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")


class LabError(Exception):
    """What went wrong, in one line for people."""


def in_namespace(node_name, command):
    """The command line that runs `command` in a node."""
    return ["nsenter", f"--net=/run/netns/{world.namespace_of(node_name)}", *map(str, command)]


def run(node_name, *command, **options):
    """Runs a command in a node; options as in checked()."""
    return checked(in_namespace(node_name, command), **options)


def checked(command, check=True, **options):
    """Runs a command to its end with its output as text; LabError when it fails."""
    options = {"capture_output": True, "text": True, **options}
    done = subprocess.run([str(word) for word in command], check=False, **options)
    if check and done.returncode != 0:
        said = ((done.stdout or "") + (done.stderr or "")).strip().splitlines()
        words = " ".join(map(str, command))
        raise LabError(f"`{words}` failed: {'; '.join(said[-2:]) or 'it said nothing'}")
    return done


def existing():
    """Names of the nodes that are there now."""
    return [name for name in world.NODE_NAMES
            if os.path.exists(f"/run/netns/{world.namespace_of(name)}")]


def create(nodes):
    batch(*(f"netns add {world.namespace_of(name)}" for name in world.NODE_NAMES))
    for name in world.NODE_NAMES:
        run(name, "sysctl", "-q", "-w", *SYSCTLS)
    # Made in there: older kernels refuse a name that the namespace they are asked from has, too.
    batch(*(f"link add {node.name} type veth "
            f"peer name eth0 address {node.mac} netns {node.namespace}" for node in nodes),
          namespace=world.namespace_of(world.BRIDGE))
    for node in nodes:
        # A frame that XDP sends on has to carry its checksum: no NIC fills it in later.
        run(node.name, "ethtool", "-K", "eth0", "tx", "off")
        run(world.BRIDGE, "ethtool", "-K", node.name, "tx", "off")
    configure_bridge(nodes)
    connect_far_client()
    for node in nodes:
        configure_node(node)


def configure_bridge(nodes):
    batch("link set lo up",
          "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
          *(f"link set {node.name} master br0 up" for node in nodes),
          # A veth end takes what XDP transmits at its peer only with an XDP program of its own.
          f"link set dev appliance xdpdrv obj {world.PASS_PROGRAM} sec xdp",
          "link set br0 up",
          namespace=world.namespace_of(world.BRIDGE))


def connect_far_client():
    """Behind the client node, which has to tell senders how narrow the path is: neither end's own
    link says so."""
    batch(f"link add far type veth peer name eth0 netns {world.namespace_of(world.FAR)}",
          namespace=world.namespace_of("client"))
    for node, device in (("client", "far"), (world.FAR, "eth0")):
        run(node, "ethtool", "-K", device, "tx", "off")
    run("client", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    # Over the routes that come with the addresses: metrics 0 and 256.
    for family, bits, subnet in ((4, 24, "198.18.1.0/24"), (6, 64, "2001:db8:19::/64 metric 1")):
        router, client = world.FAR_ROUTER[family], world.FAR_CLIENT[family]
        batch("link set far up", f"address add {router}/{bits} dev far" + " nodad" * (family == 6),
              f"route replace {subnet} dev far mtu lock {world.FAR_MTU}",
              namespace=world.namespace_of("client"))
        batch("link set lo up", "link set eth0 up",
              f"address add {client}/{bits} dev eth0" + " nodad" * (family == 6),
              f"route add default via {router}", namespace=world.namespace_of(world.FAR))


def configure_node(node):
    if node.own_vips:
        run(node.name, "sysctl", "-q", "-w", *QUIET_ABOUT_LOOPBACK)
    addresses = (f"{address} dev eth0{' nodad' if ':' in address else ''}"
                 for address in node.addresses)
    batch("link set lo up", "link set eth0 up",
          *(f"address add {address}" for address in addresses),
          *(f"route add {route}" for route in node.routes),
          *(f"address add {vip} dev lo" for vip in node.own_vips),
          namespace=node.namespace)


def batch(*lines, namespace=None):
    where = ["-netns", namespace] if namespace else []
    checked(["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n")


def pids(node_name):
    done = checked(["ip", "netns", "pids", world.namespace_of(node_name)], check=False)
    return [int(word) for word in done.stdout.split() if int(word) != os.getpid()]


def destroy():
    """Ends every process in the nodes and removes them. What is not there is no failure."""
    names = existing()
    end_processes(names)
    for name in names:
        checked(["ip", "netns", "del", world.namespace_of(name)])


def end_processes(names, patience_s=5.0):
    deadline = time.monotonic() + patience_s
    while left := [pid for name in names for pid in pids(name)]:
        if time.monotonic() > deadline:
            raise LabError(f"these processes do not end: {' '.join(map(str, left))}")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
