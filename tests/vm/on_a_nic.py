# SPDX-License-Identifier: Apache-2.0
"""Runs in the guest: penstock-dpdk has a real NIC by vfio-pci, in the lab's world, in each mode."""

import hashlib
import os
import signal
from pathlib import Path

import pytest

from lab import appliance, clients, lifecycle, netns, servers, world

appliance.LOG = Path("/report/penstock")  # which outlives the lab
SOME = world.CLIENTS[4][:20] + world.CLIENTS[6][:20]
DOWNLOADING = SOME[19:21]  # one of each family


@pytest.fixture(scope="module", name="mode", params=world.WORLDS)
def mode_fixture(request, tmp_path_factory):
    """A world that is up: the health checks, which go by the TAP, have found every instance."""
    config = tmp_path_factory.mktemp("config") / "patient.toml"
    with lifecycle.locked():
        lifecycle.up(request.param)
        try:
            config.write_text(patient(world.current().config_text()), encoding="utf-8")
            appliance.penstock("apply", config)
            appliance.wait_all_up()
            # The appliance itself is none of a client's business in the lab.
            for address in world.APPLIANCE.values():
                netns.run("client", "ip", "route", "add", address, "dev", "eth0")
            yield request.param
        finally:
            lifecycle.down()


def patient(config):
    """With probes: an emulator is slow, and a forwarder that dies takes its time to come back."""
    return config.replace('"300ms"', '"2s"').replace('"250ms"', '"2s"')


def test_status_names_the_nics_driver(mode):
    assert "eth0: dpdk net_virtio" in appliance.penstock("status").stdout, mode


@pytest.mark.parametrize("kind", ["http", "udp"])
def test_clients_are_answered_each_by_one_instance(mode, kind):
    seen = clients.send(kind, SOME, requests=5)
    assert clients.errors(seen) == []
    assert clients.wanderers(seen) == []
    names = {instance.name for instance in world.WORLDS[mode].instances}
    assert set(clients.homes(seen).values()) == names


def test_a_download_arrives_whole(mode):
    seen = clients.send("fetch", DOWNLOADING, seconds=60)
    sums = {fetched.get("sha256") for fetched in seen.values()}
    assert sums == {hashlib.sha256(servers.big_content()).hexdigest()}, (mode, seen)


def test_full_packets_and_fragments_arrive(mode):
    """In mode tunnel the upload teaches the client how narrow the path is."""
    body = world.RUN / "upload"
    body.write_bytes(bytes(500_000))
    for family in (4, 6):
        url = f"http://{world.endpoint(world.VIPS[family], world.HTTP_PORT)}/"
        said = netns.run("client", "curl", "-sSg", "-m", "60", "--data-binary", f"@{body}", url)
        names = {instance.name for instance in world.WORLDS[mode].instances}
        assert said.stdout.strip() in names, mode
    assert clients.errors(clients.send("large", DOWNLOADING)) == [], mode


def test_echo_requests_are_answered(mode):
    """Those to the appliance's own addresses by its kernel, over the TAP."""
    for address in (*world.APPLIANCE.values(), *world.VIPS.values()):
        said = netns.run("client", "ping", "-c", "2", "-i", "0.2", "-W", "5", address).stdout
        assert "2 received" in said, (mode, address)


def test_connections_outlive_a_forwarder(mode):
    before = clients.homes(clients.send("http", SOME))
    holding = clients.begin("hold", SOME, seconds=10, patience=20)
    clients.wait_under_way(holding)
    os.kill(appliance.status()["dataplane"]["forwarder"]["pid"], signal.SIGKILL)
    appliance.wait_until(lambda said: said["dataplane"]["forwarder"]["restarts"] == 1,
                         "another forwarder")
    seen = {client: [answer for _, _, answer in held]
            for client, held in clients.finish(holding).items()}
    assert clients.errors(seen) == [], mode
    assert clients.wanderers(seen) == []
    assert clients.homes(seen) == before
