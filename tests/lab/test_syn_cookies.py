# SPDX-License-Identifier: Apache-2.0
"""SYN cookies: connections by them are like others, and floods of SYNs leave them alone."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from . import appliance, clients, load, netns, servers, world

FLOOD = Path(__file__).with_name("flood.py")
# Of each family. What comes by AF_XDP costs the kernel ten times as much: two processors that the
# senders and the load share are used up by a third of what they take in by XDP.
SENDERS = {"xdp": 500_000, "dpdk": 150_000}[world.DRIVER]
FLOOD_S = 15
GREETING_PORT = 25
GREETS = f"""
import socket
with socket.create_server(("10.0.0.1", {GREETING_PORT})) as server:
    print("listens", flush=True)
    stream, _ = server.accept()
    stream.sendall(b"220 ready")
    stream.close()
"""
GREETING_SERVICE = f"""[[service]]
name = "greeting"
address = "{world.VIPS[4]}"
port = {GREETING_PORT}
syn_cookies = true
health = {{ type = "none" }}
backend = [ {{ address = "10.0.0.1:{GREETING_PORT}" }} ]

"""
LISTENS = f"""
import socket
with socket.create_connection(("{world.VIPS[4]}", {GREETING_PORT}), 20) as stream:
    print(stream.recv(100).decode())
"""


@pytest.fixture(name="cookies")
def cookies_fixture(lab, variant):
    """Both HTTP services have them."""
    appliance.penstock("apply", variant(('protocol = "tcp"\n',
                                         'protocol = "tcp"\nsyn_cookies = true\n')))


pytestmark = pytest.mark.usefixtures("cookies")
both_families = pytest.mark.parametrize("family", [4, 6])


def web(service, what):
    return next(entry for entry in appliance.status()["services"]
                if entry["name"] == service)[what]


def answered_syns(family):
    answered = web(world.HTTP_SERVICES[family], "answered")
    return sum(entry["count"] for entry in answered if entry["reason"] == "syn_cookie")


@both_families
def test_every_client_reaches_its_instance(family):
    before = answered_syns(family)
    seen = clients.send("http", world.CLIENTS[family], requests=5)
    assert clients.errors(seen) == []
    assert clients.wanderers(seen) == []
    assert answered_syns(family) - before == 5 * len(world.CLIENTS[family])


@both_families
def test_downloads_and_uploads_arrive_whole(family):
    seen = clients.send("fetch", world.CLIENTS[family][:5], seconds=60)
    sums = {fetched.get("sha256") for fetched in seen.values()}
    assert sums == {hashlib.sha256(servers.big_content()).hexdigest()}, seen


@both_families
def test_a_path_narrower_than_the_links_is_discovered(family):
    """ICMP errors quote the sequence numbers that the instance knows."""
    url = f"http://{world.endpoint(world.VIPS[family], world.HTTP_PORT)}/big"
    said = netns.run(world.FAR, "sh", "-c", f"curl -sSgf -m 30 '{url}' | sha256sum")
    assert said.stdout.split()[0] == hashlib.sha256(servers.big_content()).hexdigest()


def segments_sent_again(node):
    """By the node's TCP, SYN-ACKs among them."""
    names, values = (line.split() for line in netns.run(node, "cat", "/proc/net/snmp")
                     .stdout.splitlines() if line.startswith("Tcp:"))
    return int(dict(zip(names, values))["RetransSegs"])


def test_an_instance_that_speaks_first_is_heard_at_once(variant):
    """Nobody else has anything to send: the client's acknowledgement has to be asked for."""
    appliance.penstock("apply", variant(("[[service]]\nname = \"web6\"\n",
                                         GREETING_SERVICE + "[[service]]\nname = \"web6\"\n")))
    server = subprocess.Popen(netns.in_namespace("host1", [sys.executable, "-c", GREETS]),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "listens\n"
        before = segments_sent_again("host1")
        said = netns.run("client", sys.executable, "-c", LISTENS)
        assert said.stdout == "220 ready\n"
        assert segments_sent_again("host1") == before
    finally:
        server.kill()
        server.wait()


def flood(family):
    mac = next(node.mac for node in world.NODES if node.name == "appliance")
    command = [sys.executable, FLOOD, family, SENDERS, FLOOD_S, mac]
    return subprocess.Popen(netns.in_namespace("client", command), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True)


def test_a_flood_of_a_million_senders_breaks_no_connection_and_keeps_no_client_out():
    """A machine that the flood keeps busy loses frames before they come to us: what TCP sends
    again until the patience ends has to get through."""
    before = sum(map(answered_syns, (4, 6)))
    with load.steady(FLOOD_S - 3, patience_s=20) as seen:
        floods = [flood(family) for family in (4, 6)]
        half_open = 0
        while any(each.poll() is None for each in floods):
            half_open = max(half_open, sum(web(service, "flows")["half_open"]
                                           for service in world.HTTP_SERVICES.values()))
    seen.assert_unharmed()
    assert [each.communicate()[0].strip() for each in floods] == [str(SENDERS)] * 2
    answered = sum(map(answered_syns, (4, 6))) - before
    print(f"{2 * SENDERS} forged SYNs, {answered} answered, {half_open} flows half-open at most")
    assert answered > SENDERS  # a busy machine loses some before they arrive
    assert half_open < 1000
