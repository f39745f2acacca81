# SPDX-License-Identifier: Apache-2.0
"""Other cables than one for all: clients on one NIC and backends on another, and VLANs, one tag and
two.

A layout serves all modes: `apply` changes them. Those with VLANs want a kernel that has them;
tests/vm runs this file on Debian's own.
"""

import hashlib
import os
import re
import subprocess

import pytest

from . import appliance, clients, lifecycle, netns, servers, world

SOME = world.CLIENTS[4][:6] + world.CLIENTS[6][:6]
DOWNLOADING = SOME[5:7]  # one of each family
MAKE_A_VLAN = "link add name a type veth peer name b\nlink add link a name v type vlan id 5\n"


def kernel_has_vlans():
    tried = ["unshare", "--net", "ip", "-batch", "-"]
    return subprocess.run(tried, input=MAKE_A_VLAN, text=True, capture_output=True,
                          check=False).returncode == 0


@pytest.fixture(scope="module", name="layout", params=world.LAYOUTS)
def layout_fixture(request, machine):
    this = world.LAYOUTS[request.param]
    if any("." in interface for interface in this.interfaces) and not kernel_has_vlans():
        pytest.skip("this kernel has no VLAN devices")
    with lifecycle.standing(request.param):
        yield this


@pytest.fixture(name="mode", params=["nat", "dsr", "tunnel"])
def mode_fixture(request, layout, tmp_path):
    config = tmp_path / "lab.toml"
    text = layout.config_text().replace('mode = "tunnel"', f'mode = "{request.param}"')
    # Patient with probes: an emulator is slow.
    text = text.replace('"300ms"', '"2s"').replace('"250ms"', '"2s"')
    config.write_text(text, encoding="utf-8")
    appliance.penstock("apply", config)
    appliance.wait_all_up()
    return request.param


def test_clients_are_answered_each_by_one_instance(mode):
    for kind in ("http", "udp"):
        seen = clients.send(kind, SOME, requests=3)
        assert clients.errors(seen) == [], mode
        assert clients.wanderers(seen) == []
        assert set(clients.homes(seen).values()) == {"host1", "host2"}


def test_a_download_arrives_whole(mode):
    seen = clients.send("fetch", DOWNLOADING, seconds=60)
    sums = {fetched.get("sha256") for fetched in seen.values()}
    assert sums == {hashlib.sha256(servers.big_content()).hexdigest()}, (mode, seen)


def test_full_packets_and_fragments_arrive(mode):
    body = world.RUN / "upload"
    body.write_bytes(bytes(500_000))
    for family in (4, 6):
        url = f"http://{world.endpoint(world.VIPS[family], world.HTTP_PORT)}/"
        said = netns.run("client", "curl", "-sSg", "-m", "20", "--data-binary", f"@{body}", url)
        assert said.stdout.strip() in {"host1", "host2"}, mode
    assert clients.errors(clients.send("large", DOWNLOADING)) == []


def test_the_kernel_answers_what_is_passed_to_it(mode):
    for vip in world.VIPS.values():
        said = netns.run("client", "ping", "-c", "2", "-i", "0.2", "-W", "2", vip)
        assert "2 received" in said.stdout, mode


def sent_by_xdp():
    """What the drivers count of the appliance's frames: {"tx": ..., "redirect": ...}."""
    text = "".join(netns.run("appliance", "ethtool", "-S", card).stdout
                   for card in ("eth0", "eth1")
                   if netns.run("appliance", "ip", "link", "show", card, check=False).stdout)
    return {what: sum(map(int, re.findall(rf"^ +rx_queue_\d+_xdp_{what}: (\d+)$", text,
                                          re.MULTILINE)))
            for what in ("tx", "redirect", "tx_errors", "drops")}


@pytest.mark.skipif(world.DRIVER != "xdp", reason="frames leave by a process's sockets")
def test_frames_leave_by_the_drivers_own_xdp(layout, mode):
    """One arm by XDP_TX, two by redirects; nothing is lost."""
    before = sent_by_xdp()
    assert clients.errors(clients.send("http", SOME, requests=2)) == []
    after = sent_by_xdp()
    moved = {what: count - before[what] for what, count in after.items()}
    way, other = ("redirect", "tx") if "eth1" in layout.interfaces else ("tx", "redirect")
    assert moved[way] > len(SOME) * 4, (mode, moved)
    assert moved[other] == moved["tx_errors"] == moved["drops"] == 0, (mode, moved)


@pytest.mark.skipif(world.DRIVER != "dpdk", reason="the kernel forwards: no workers")
def test_two_workers_serve_a_flow_and_hand_over_what_the_other_one_sends(layout, mode):
    """Each has an interface's queues: what comes in at the one and leaves by the other goes by a
    ring. In mode nat the two directions of a flow are two workers'."""
    if len(layout.interfaces) < 2 or os.cpu_count() < 2:
        pytest.skip("needs two interfaces and two processors")
    before = appliance.status()["dataplane"]["forwarder"]["workers"]
    assert clients.errors(clients.send("http", SOME, requests=2)) == []
    after = appliance.status()["dataplane"]["forwarder"]["workers"]
    handed_over = [b["handed_over"] - a["handed_over"] for a, b in zip(before, after)]
    assert handed_over[0] > len(SOME) * 4, (mode, handed_over)
    assert (handed_over[1] > len(SOME) * 4) == (mode == "nat"), (mode, handed_over)
    assert sum(worker["lost_in_rings"] for worker in after) == 0


def test_status_tells_each_interface_and_what_it_stands_on(layout):
    said = appliance.status()
    told = [(each["name"], each["device"], each["attach_mode"], each["degraded"])
            for each in said["dataplane"]["interfaces"]]
    assert told == [(name, name.split(".")[0], world.ATTACH_MODE, "")
                    for name in layout.interfaces]
    assert said["warnings"] == []
    lines = appliance.penstock("status").stdout.splitlines()
    for name in layout.interfaces:
        on_card = f" on {name.split('.')[0]}" if "." in name else ""
        assert f"{name}: {world.DRIVER} {world.ATTACH_MODE}{on_card}" in lines


def test_tags_that_do_not_reach_xdp_are_told_of(layout):
    """With the line that ends it, and only where there are VLANs."""
    on_eth0 = [name for name in layout.interfaces if name.startswith("eth0.")]
    port = "appliance"
    netns.run(world.BRIDGE, "ethtool", "-K", port, "txvlan", "on")
    try:
        warnings = appliance.status()["warnings"]
    finally:
        netns.run(world.BRIDGE, "ethtool", "-K", port, "txvlan", "off")
    assert len(warnings) == len(on_eth0), warnings
    for name, warning in zip(on_eth0, warnings):
        assert warning.startswith(f"{name}: ")
        assert warning.endswith(f"run: ip netns exec {world.namespace_of(world.BRIDGE)} "
                                f"ethtool -K {port} txvlan off")
