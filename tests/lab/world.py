# SPDX-License-Identifier: Apache-2.0
"""The model of the world, as data: its nodes, their addresses, what runs on them.

All nodes hang on one Linux bridge, which has a namespace of its own. Three subnets share that
wire, and routes say who sees whom: the client knows only the way to the VIPs, through the
appliance, so what it sends goes there; in mode nat the hosts know only their own subnet, so they
answer the appliance, in dnat it is their gateway, in the others they have the VIPs too and know
the way to the clients. Behind the client node, which routes, sits one client more, on a narrower
path. Nothing here acts.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
PENSTOCK = BUILD / "controlplane" / "penstock"
PENSTOCK_DPDK = BUILD / "dataplane" / "penstock-dpdk"
PASS_PROGRAM = BUILD / "tests" / "lab" / "pass.bpf.o"

# All that the lab makes outside its namespaces is below RUN, which configs/lab*.toml name too.
RUN = Path("/run/penstock-lab")
SEGMENT = RUN / "segment"

# Which driver the appliance forwards by: everything else of the lab is the same.
DRIVER_VARIABLE = "PENSTOCK_LAB_DRIVER"
DRIVER = os.environ.get(DRIVER_VARIABLE, "xdp")
# The PCI address of a real NIC that vfio-pci has: then it is the appliance's, whose eth0 is a TAP.
# The cable's other end is an interface of the kernel's, which becomes the bridge's port.
NIC = os.environ.get("PENSTOCK_LAB_NIC")
NIC_PEER = os.environ.get("PENSTOCK_LAB_NIC_PEER")


def config_for(driver, name):
    """A configuration of the repository's with another driver, which is all that differs; with a
    NIC, that too."""
    path = ROOT / "configs" / name
    if driver == "xdp":
        return path
    text = path.read_text(encoding="utf-8").replace('driver = "xdp"', f'driver = "{driver}"')
    if NIC:
        port = f'ports = [ {{ interface = "eth0", device = "{NIC}" }} ]'
        text = text.replace("hugepages = false", f"{port}\nhugepages = true")
    changed = BUILD / "lab" / driver / name
    changed.parent.mkdir(parents=True, exist_ok=True)
    changed.write_text(text, encoding="utf-8")
    return changed


# What the appliance's interfaces are driven by, in the words of `status`.
ATTACH_MODE = {"xdp": "native", "dpdk": "net_af_xdp, 1 queue"}[DRIVER]

CONFIG = config_for(DRIVER, "lab.toml")
DNAT_CONFIG = config_for(DRIVER, "lab-dnat.toml")
DSR_CONFIG = config_for(DRIVER, "lab-dsr.toml")
TUNNEL_CONFIG = config_for(DRIVER, "lab-tunnel.toml")
TLS_CONFIG = config_for(DRIVER, "lab-tls.toml")

BPFFS = RUN / "bpf"
PIN_PATH = BPFFS / "penstock"
SOCKET = RUN / "control.sock"
STATE = RUN / "state"

VIPS = {4: "203.0.113.10", 6: "2001:db8:113::10"}
APPLIANCE = {4: "10.0.0.254", 6: "2001:db8:10::254"}
APPLIANCE_OUTSIDE = {4: "198.18.0.254", 6: "2001:db8:18::fe"}  # where clients have a side to it
CLIENTS = {
    4: [f"198.18.0.{i}" for i in range(1, 201)],
    6: [f"2001:db8:18::{i:x}" for i in range(1, 201)],
}


def has_nic(node, card):
    """Whether it is the appliance's NIC, not a veth."""
    return bool(NIC) and (node.name, card) == ("appliance", "eth0")


def namespace_of(node_name):
    return f"ps-{node_name}"


def endpoint(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True)
class Leg:
    """How a node reaches a segment: ethN is plugged into the bridge brN, "eth0.100" is a VLAN on
    it, "eth0.100.200" one on that."""
    device: str
    addresses: tuple  # with prefix lengths
    routes: tuple = ()


@dataclass(frozen=True)
class Node:
    name: str
    mac: str
    addresses: tuple  # with prefix lengths
    routes: tuple = ()
    own_vips: tuple = ()  # on its loopback, and nobody on the wire is told
    device: str = "eth0"
    more: tuple = ()  # legs, beside the one that these addresses are on

    @property
    def namespace(self):
        return namespace_of(self.name)

    @property
    def legs(self):
        return (Leg(self.device, self.addresses, self.routes), *self.more)

    @property
    def cards(self):
        """What is plugged in, without VLANs."""
        return sorted({leg.device.split(".")[0] for leg in self.legs})

    def port(self, card):
        """The other end of one of them, at the bridge."""
        return self.name if card == "eth0" else f"{self.name}-{card}"

    def mac_of(self, card):
        return f"{self.mac[:12]}{int(card[3:]):02x}{self.mac[14:]}"


FAR_CLIENT = {4: "198.18.1.1", 6: "2001:db8:19::1"}
FAR_ROUTER = {4: "198.18.1.254", 6: "2001:db8:19::fe"}  # the client node's end
FAR_MTU = 1400
TO_CLIENTS = ("198.18.0.0/24 dev eth0", "2001:db8:18::/64 dev eth0",
              f"198.18.1.0/24 via {CLIENTS[4][0]} dev eth0 onlink",
              f"2001:db8:19::/64 via {CLIENTS[6][0]} dev eth0 onlink")
CLIENT = Node("client", "02:00:00:00:00:c1",
              addresses=tuple(f"{a}/24" for a in CLIENTS[4]) + tuple(f"{a}/64" for a in CLIENTS[6]),
              routes=tuple(f"{VIPS[f]} via {APPLIANCE[f]} dev eth0 onlink" for f in (4, 6)))
NODES = (
    CLIENT,
    Node("appliance", "02:00:00:00:00:fe",
         addresses=(f"{APPLIANCE[4]}/24", f"{APPLIANCE[6]}/64"), routes=TO_CLIENTS),
    Node("host1", "02:00:00:00:00:01", addresses=("10.0.0.1/24", "2001:db8:10::1/64")),
    Node("host2", "02:00:00:00:00:02", addresses=("10.0.0.2/24", "2001:db8:10::2/64")),
)
# In IPv4 the appliance has a default route, by which answers go back to clients in mode dnat; in
# IPv6 it has none, and knows its clients by their packets.
NODES_BEHIND_THE_APPLIANCE = (
    CLIENT,
    replace(NODES[1], routes=(*TO_CLIENTS, f"default via {CLIENTS[4][0]} dev eth0 onlink")),
    *(replace(host, routes=tuple(f"default via {gateway} dev eth0"
                                 for gateway in APPLIANCE.values())) for host in NODES[2:]))
NODES_THAT_ANSWER_DIRECTLY = NODES[:2] + tuple(
    replace(host, routes=TO_CLIENTS, own_vips=tuple(VIPS.values())) for host in NODES[2:])
BRIDGE = "bridge"  # the fifth namespace: br0, with a port named after each node
FAR = "far"  # the sixth: a client behind the client node, on a path of FAR_MTU
NODE_NAMES = tuple(node.name for node in NODES) + (BRIDGE, FAR)
SIDECAR = "sidecar"  # the namespace that the appliance makes for what ends TLS


@dataclass(frozen=True)
class Instance:
    """An HTTP server and a UDP echo server that both answer with the instance's name."""
    name: str
    node: str
    http_port: int
    echo_port: int
    serves_vips: bool = False  # else only its host's own addresses

    @property
    def addresses(self):
        node = next(n for n in NODES if n.name == self.node)
        own = [address.split("/")[0] for address in node.addresses]
        return own + list(VIPS.values()) if self.serves_vips else own


INSTANCES = (
    Instance("h1-a", "host1", 3000, 3007),
    Instance("h1-b", "host1", 3001, 3008),
    Instance("h2-a", "host2", 3000, 3007),
    Instance("h2-b", "host2", 3001, 3008),
)
FIFTH_INSTANCE = Instance("h2-c", "host2", 3002, 3009)  # in no configuration: for those who add one

# What configs/lab.toml calls the services, by address family.
HTTP_SERVICES = {4: "web", 6: "web6"}
ECHO_SERVICES = {4: "echo", 6: "echo6"}
HTTP_PORT = 80
ECHO_PORT = 7
TLS_PORT = 443
TLS_NAME = "lab.example"  # that certificates of the lab's authority stand for
TLS = RUN / "tls"
AUTHORITY = TLS / "authority.pem"

# Where the service's own port is the instance's, there is one a host.
DIRECT_INSTANCES = tuple(Instance(node, node, HTTP_PORT, ECHO_PORT, serves_vips=True)
                         for node in ("host1", "host2"))


@dataclass(frozen=True)
class World:
    """What differs by the services' mode."""
    mode: str
    config: Path
    nodes: tuple
    instances: tuple
    tunnel_sources: tuple = ()  # what the instances' hosts take apart packets from
    interfaces: tuple = ("eth0",)  # the appliance's
    has_tls: bool = False

    def config_text(self):
        """The configuration file of this world: with more than one interface it has to be said
        which addresses backends have a way back to. With driver "dpdk" it has two workers."""
        text = self.config.read_text(encoding="utf-8")
        if self.interfaces == ("eth0",):
            return text
        lines = f"interfaces = {json.dumps(self.interfaces)}\n"
        lines += f"snat_addresses = {json.dumps(list(APPLIANCE.values()))}\n"
        two_workers = f"[dpdk]\nlcores = {json.dumps(sorted({0, os.cpu_count() - 1}))}\n"
        return text.replace('interfaces = ["eth0"]\n', lines).replace("[dpdk]\n", two_workers)


WORLDS = {w.mode: w for w in (
    World("nat", CONFIG, NODES, INSTANCES),
    World("dnat", DNAT_CONFIG, NODES_BEHIND_THE_APPLIANCE, INSTANCES),
    World("dsr", DSR_CONFIG, NODES_THAT_ANSWER_DIRECTLY, DIRECT_INSTANCES),
    World("tunnel", TUNNEL_CONFIG, NODES_THAT_ANSWER_DIRECTLY, DIRECT_INSTANCES,
          tunnel_sources=("198.51.100.0/24", "2001:db8:99::/64")),
)}


def on(device, routes):
    return tuple(route.replace("dev eth0", f"dev {device}") for route in routes)


def two_sides(clients, backends):
    """Clients on one device of the appliance, backends on another. Instances answer clients
    directly by a leg of their own on the clients' side, in the modes in which they do."""
    to_far = on(clients, TO_CLIENTS[2:])
    client, appliance, *hosts = NODES_THAT_ANSWER_DIRECTLY
    to_vips = tuple(f"{VIPS[f]} via {APPLIANCE_OUTSIDE[f]} dev {clients}" for f in (4, 6))
    outside = Leg(clients, (f"{APPLIANCE_OUTSIDE[4]}/24", f"{APPLIANCE_OUTSIDE[6]}/64"), to_far)
    return (
        replace(client, device=clients, routes=to_vips),
        replace(appliance, device=backends, routes=(), more=(outside,)),
        *(replace(host, device=backends, routes=(), more=(
            Leg(clients, (f"198.18.0.24{n}/24", f"2001:db8:18::f{n}/64"), to_far),))
          for n, host in enumerate(hosts, 1)))


def layout(nodes, *interfaces):
    """Its services change their mode by `apply`: the hosts are made for any."""
    return replace(WORLDS["tunnel"], nodes=nodes, interfaces=interfaces)


LAYOUTS = {
    "two-arms": layout(two_sides("eth0", "eth1"), "eth0", "eth1"),
    "vlan": layout(tuple(replace(node, device="eth0.100", routes=on("eth0.100", node.routes))
                         for node in NODES_THAT_ANSWER_DIRECTLY), "eth0.100"),
    # One cable: clients behind two tags, backends behind one.
    "trunk": layout(two_sides("eth0.100.200", "eth0.100"), "eth0.100.200", "eth0.100"),
}
WITH_TLS = {"tls": replace(WORLDS["nat"], config=TLS_CONFIG, has_tls=True)}
ALL = {**WORLDS, **LAYOUTS, **WITH_TLS}
NAME_FILE = RUN / "world"  # which of them is up


def current():
    """The world that is up."""
    return ALL[NAME_FILE.read_text(encoding="ascii")]
