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
    return [name for name in (*world.NODE_NAMES, world.SIDECAR)
            if os.path.exists(f"/run/netns/{world.namespace_of(name)}")]


def create(nodes):
    batch(*(f"netns add {world.namespace_of(name)}" for name in world.NODE_NAMES))
    for name in world.NODE_NAMES:
        run(name, "sysctl", "-q", "-w", *SYSCTLS)
    plugged = [(node, card) for node in nodes for card in node.cards]
    veths = [(node, card) for node, card in plugged if not world.has_nic(node, card)]
    # Made in there: older kernels refuse a name that the namespace they are asked from has, too.
    batch(*(f"link add {node.port(card)} mtu {mtu_of(nodes)} type veth peer name {card} "
            f"mtu {mtu_of(nodes)} address {node.mac_of(card)} netns {node.namespace}"
            for node, card in veths), namespace=world.namespace_of(world.BRIDGE))
    for node, card in plugged:
        if world.has_nic(node, card):
            plug_nic(node, card)
        steer(node, card)
    for node, card in veths:
        # A frame that XDP sends on has to carry its checksum: no NIC fills it in later. One that
        # comes to XDP has to carry its VLAN tags.
        for place, device in ((node.name, card), (world.BRIDGE, node.port(card))):
            run(place, "ethtool", "-K", device, "tx", "off", "txvlan", "off",
                "tx-vlan-stag-hw-insert", "off")
    configure_bridges(plugged, mtu_of(nodes))
    connect_far_client()
    for node in nodes:
        configure_node(node)


def plug_nic(node, card):
    batch(f"link set {world.NIC_PEER} name {node.port(card)} netns "
          f"{world.namespace_of(world.BRIDGE)}")
    batch(f"tuntap add dev {card} mode tap multi_queue",
          f"link set {card} address {node.mac_of(card)}", namespace=node.namespace)


def unplug_nic():
    """Its namespace would leave it under the port's name. A world that is half up has none."""
    if world.NIC:
        run(world.BRIDGE, "ip", "link", "set", "appliance", "name", world.NIC_PEER,
            "netns", os.getpid(), check=False)


def steer(node, card):
    """All packets of a flow are one processor's, as a NIC's queues see to: Linux before 6.19 may
    answer the second of two that processors take in at once with a reset, while the first one's
    handshake becomes a connection (inet_ehash_insert takes one out before it puts the other in)."""
    mask = (1 << min(os.cpu_count(), 32)) - 1
    checked(["ip", "netns", "exec", node.namespace, "sh", "-c",
             f"echo {mask:x} > /sys/class/net/{card}/queues/rx-0/rps_cpus"])


def mtu_of(nodes):
    """A veth takes frames that are one tag longer than its MTU says, not two."""
    tags = max(leg.device.count(".") for node in nodes for leg in node.legs)
    return 1504 if tags > 1 else 1500


def configure_bridges(plugged, mtu):
    bridges = sorted({card.replace("eth", "br") for _, card in plugged})
    batch("link set lo up",
          *(f"link add {bridge} mtu {mtu} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
            for bridge in bridges),
          *(f"link set {node.port(card)} master {card.replace('eth', 'br')} up"
            for node, card in plugged),
          # A veth end takes what XDP transmits at its peer only with an XDP program of its own.
          *(f"link set dev {node.port(card)} xdpdrv obj {world.PASS_PROGRAM} sec xdp"
            for node, card in plugged
            if node.name == "appliance" and not world.has_nic(node, card)),
          *(f"link set {bridge} up" for bridge in bridges),
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
    batch("link set lo up",
          *(f"link set {card} up" for card in node.cards),
          *vlan_lines(node),
          *(f"address add {address} dev {leg.device}{' nodad' if ':' in address else ''}"
            for leg in node.legs for address in leg.addresses),
          *(f"route add {route}" for leg in node.legs for route in leg.routes),
          *(f"address add {vip} dev lo" for vip in node.own_vips),
          namespace=node.namespace)


def vlan_lines(node):
    """Makes "eth0.100", and on it "eth0.100.200": each is made before what is on it."""
    wanted = {".".join(words[:count]) for leg in node.legs
              for words in [leg.device.split(".")] for count in range(2, len(words) + 1)}
    for device in sorted(wanted):
        below, _, vlan = device.rpartition(".")
        yield f"link add link {below} name {device} mtu 1500 type vlan id {vlan}"
        yield f"link set {device} up"


def batch(*lines, namespace=None):
    where = ["-netns", namespace] if namespace else []
    checked(["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n")


def pids(node_name):
    done = checked(["ip", "netns", "pids", world.namespace_of(node_name)], check=False)
    return [int(word) for word in done.stdout.split() if int(word) != os.getpid()]


def destroy():
    """Ends every process in the nodes and removes them. What is not there is no failure."""
    end_processes(existing())
    names = existing()  # the appliance may have made the sidecar's meanwhile
    end_processes(names)
    if world.BRIDGE in names:
        unplug_nic()
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
