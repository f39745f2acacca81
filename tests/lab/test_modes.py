# SPDX-License-Identifier: Apache-2.0
"""What holds in every mode; and what in those in which instances answer their clients directly."""

import hashlib
import json

import pytest

from . import appliance, clients, lifecycle, load, netns, servers, world

REQUESTS = 5


@pytest.fixture(scope="module", name="mode", params=world.WORLDS)
def mode_fixture(request, machine):
    """A world in each mode."""
    with lifecycle.standing(request.param):
        yield request.param


both_families = pytest.mark.parametrize("family", [4, 6])


@pytest.mark.parametrize("kind", ["http", "udp"])
@both_families
def test_clients_are_answered_each_by_one_instance(mode, kind, family):
    seen = clients.send(kind, world.CLIENTS[family], requests=REQUESTS)
    assert clients.errors(seen) == []
    assert clients.wanderers(seen) == []
    names = {instance.name for instance in world.WORLDS[mode].instances}
    assert set(clients.homes(seen).values()) == names


@both_families
def test_a_download_of_10_mb_arrives_whole(mode, family):
    seen = clients.send("fetch", world.CLIENTS[family][:5], seconds=60)
    sums = {fetched.get("sha256") for fetched in seen.values()}
    assert sums == {hashlib.sha256(servers.big_content()).hexdigest()}, (mode, seen)


@both_families
def test_an_instance_sees_its_client_but_in_mode_nat(mode, family):
    client = world.CLIENTS[family][6]
    url = f"http://{world.endpoint(world.VIPS[family], world.HTTP_PORT)}/client"
    said = netns.run("client", "curl", "-sSgf", "-m", "20", "--interface", client, url)
    assert said.stdout.strip() == (world.APPLIANCE[family] if mode == "nat" else client)


def test_answers_come_through_the_appliance_in_modes_nat_and_dnat(mode):
    clients.send("http", world.CLIENTS[4][:10])
    web = next(entry for entry in appliance.status()["services"] if entry["name"] == "web")
    assert web["mode"] == mode
    assert web["counters"]["packets_to_backend"] > 0
    assert (web["counters"]["packets_to_client"] > 0) == (mode in ("nat", "dnat"))


def test_a_failed_instance_loses_its_clients_only_and_gets_them_back(mode):
    victim = world.WORLDS[mode].instances[0]
    some = clients.EVERYONE[::10]
    before = clients.homes(clients.send("http", some))
    servers.kill(victim)
    appliance.wait_health(victim.name, "down")
    during = clients.homes(clients.send("http", some))
    assert clients.moved(before, during) == {client for client, home in before.items()
                                             if home == victim.name}
    servers.start([victim])
    appliance.wait_health(victim.name, "up")
    assert clients.homes(clients.send("http", some)) == before


@both_families
def test_a_load_of_requests_breaks_nothing(mode, family):
    """Kept connections, then a new one a request."""
    for options in ((), ("-H", "Connection: close")):
        output, _ = load.start_wrk(family, 2, *options).communicate(timeout=60)
        load.assert_all_answered(output)
        print(f"mode {mode}, IPv{family}: {load.requests_of(output) // 2} requests/s")


@both_families
def test_an_upload_of_full_packets_arrives(mode, family):
    """In mode tunnel they do not fit at first: the client is told, and sends smaller ones."""
    body = world.RUN / "upload"
    body.write_bytes(bytes(500_000))
    url = f"http://{world.endpoint(world.VIPS[family], world.HTTP_PORT)}/"
    said = netns.run("client", "curl", "-sSg", "-m", "20", "--data-binary", f"@{body}", url)
    assert said.stdout.strip() in {instance.name for instance in world.WORLDS[mode].instances}
    service = next(entry for entry in appliance.status()["services"]
                   if entry["name"] == world.HTTP_SERVICES[family])
    answered = {counted["reason"] for counted in service["answered"]}
    assert ("packet_too_big" in answered) == (mode == "tunnel")


@both_families
def test_datagrams_of_1_to_60000_bytes_are_echoed_whole(mode, family):
    """Their fragments go where the first one goes, in both directions."""
    seen = clients.send("large", world.CLIENTS[family][:20])
    assert clients.errors(seen) == [], mode
    assert clients.wanderers(seen) == []


def packets_too_big(family):
    """How many the client node, as a router, could not send on."""
    name = {4: "IpFragFails", 6: "Ip6FragFails"}[family]
    return json.loads(netns.run("client", "nstat", "-aszj", name).stdout)["kernel"][name]


@both_families
def test_a_download_finds_its_way_through_a_narrower_path(mode, family):
    """The router before it tells the instance, through the appliance."""
    before = packets_too_big(family)
    url = f"http://{world.endpoint(world.VIPS[family], world.HTTP_PORT)}/big?rate=0"
    copy = world.RUN / "download"
    netns.run(world.FAR, "curl", "-sSgf", "-m", "20", "-o", copy, url)
    assert copy.read_bytes() == servers.big_content(), mode
    assert packets_too_big(family) > before


@both_families
def test_the_vip_answers_echo_requests(mode, family):
    said = netns.run("client", "ping", "-c", "2", "-i", "0.2", "-W", "2", world.VIPS[family])
    assert "2 received" in said.stdout, mode
