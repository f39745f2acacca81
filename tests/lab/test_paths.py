# SPDX-License-Identifier: Apache-2.0
"""Paths as they are: rough ones, in each mode, and tunnels too narrow for a full packet.

One world serves all: its hosts can be answered by in any mode, and `apply` changes the services'
mode, or the family of their backends. tests/vm runs this file on Debian's own kernel, which
brings netem and decapsulators of its own.
"""

import contextlib
import hashlib
import subprocess

import pytest

from . import appliance, clients, lifecycle, netns, servers, world

SOME = world.CLIENTS[4][:4] + world.CLIENTS[6][:4]
DOWNLOADING = SOME[3:5]  # one of each family
HOLD_S = 5
ROUGH = ("netem", "delay", "5ms", "1ms", "loss", "1%", "duplicate", "1%", "reorder", "5%")
VARIANTS = ("nat", "dsr", "tunnel", "crossed")  # crossed: tunnels to the other family
TUNNELS = VARIANTS[2:]


def kernel_has_netem():
    tried = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "root", *ROUGH]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def crossed(text):
    """A configuration whose backends have changed their families."""
    for host in world.NODES_THAT_ANSWER_DIRECTLY[2:]:
        ipv4, ipv6 = (address.split("/")[0] for address in host.addresses)
        for port in (world.HTTP_PORT, world.ECHO_PORT):
            text = text.replace(f'"{ipv4}:{port}"', '"@"')
            text = text.replace(f'"[{ipv6}]:{port}"', f'"{ipv4}:{port}"')
            text = text.replace('"@"', f'"[{ipv6}]:{port}"')
    return text


def config_of(variant):
    """Patient with probes, which go by the same paths: a backend that is given up breaks
    connections."""
    text = world.TUNNEL_CONFIG.read_text(encoding="utf-8")
    text = text.replace('"300ms"', '"2s"').replace('"250ms"', '"2s"')
    if variant == "crossed":
        return crossed(text)
    return text.replace('mode = "tunnel"', f'mode = "{variant}"')


@pytest.fixture(scope="module", name="standing")
def standing_fixture(machine):
    with lifecycle.standing("tunnel"):
        yield


@pytest.fixture(name="variant")
def variant_fixture(request, standing, tmp_path):
    config = tmp_path / "lab.toml"
    config.write_text(config_of(request.param), encoding="utf-8")
    appliance.penstock("apply", config)
    appliance.wait_all_up()
    return request.param


@contextlib.contextmanager
def every_path_is(qdisc):
    """Of what clients and instances send."""
    nodes = [node.name for node in world.NODES if node.name != "appliance"]
    for node in nodes:
        netns.run(node, "tc", "qdisc", "add", "dev", "eth0", "root", *qdisc)
    try:
        yield
    finally:
        for node in nodes:
            netns.run(node, "tc", "qdisc", "del", "dev", "eth0", "root")


def given_up():
    """What the daemon has said so far of backends that take no clients any more."""
    return [line for line in appliance.LOG.read_text(encoding="utf-8").splitlines()
            if " is down: " in line or " is unresolved: " in line]


def assert_connections_last():
    """One connection a client, and downloads meanwhile; then new connections, to the same host."""
    before = given_up()
    hold = clients.begin("hold", SOME, seconds=HOLD_S)
    fetched = clients.send("fetch", DOWNLOADING, seconds=60)
    held = clients.finish(hold)
    asked = clients.send("http", SOME, requests=2)
    assert given_up() == before  # or its clients' connections would break, rightly
    whole = hashlib.sha256(servers.big_content()).hexdigest()
    assert {seen.get("sha256") for seen in fetched.values()} == {whole}, fetched
    assert clients.errors(asked) == []
    assert clients.wanderers(asked) == []
    for client, home in clients.homes(asked).items():
        assert {answer for _, _, answer in held[client]} == {home}, client


each_variant = pytest.mark.parametrize("variant", VARIANTS, indirect=True)


@each_variant
def test_on_a_smooth_path_connections_last(variant):
    assert_connections_last()
    assert clients.errors(clients.send("udp", SOME, requests=2)) == [], variant


@pytest.mark.skipif(not kernel_has_netem(), reason="this kernel has no netem")
@each_variant
def test_on_a_rough_path_connections_last(variant):
    """What is sent comes late, out of order, twice, or not at all."""
    with every_path_is(ROUGH):
        assert_connections_last()


@pytest.mark.parametrize("variant", TUNNELS, indirect=True)
@pytest.mark.parametrize("family", [4, 6])
def test_the_client_is_told_of_a_tunnel_too_narrow_and_its_upload_arrives(variant, family):
    body = world.RUN / "upload"
    body.write_bytes(bytes(500_000))
    url = f"http://{world.endpoint(world.VIPS[family], world.HTTP_PORT)}/"
    netns.run("client", "ip", f"-{family}", "route", "flush", "cache")  # what it was told before
    before = told(family)
    said = netns.run("client", "curl", "-sSg", "-m", "20", "--data-binary", f"@{body}", url)
    assert said.stdout.strip() in {"host1", "host2"}
    assert told(family) > before


def told(family):
    """How many packets of the family's HTTP service were answered with the size that fits."""
    service = next(entry for entry in appliance.status()["services"]
                   if entry["name"] == world.HTTP_SERVICES[family])
    return sum(counted["count"] for counted in service["answered"]
               if counted["reason"] == "packet_too_big")
