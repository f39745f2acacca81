# SPDX-License-Identifier: Apache-2.0
"""With driver = "dpdk" a process of its own forwards: it outlives the daemon, and is started anew
when it dies."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import appliance, clients, load, netns, servers, world

pytestmark = [pytest.mark.usefixtures("lab"),
              pytest.mark.skipif(world.DRIVER != "dpdk", reason="the kernel forwards: no process")]


needs_af_xdp = pytest.mark.skipif(bool(world.NIC), reason="the NIC is DPDK's: no AF_XDP")

QUEUE_HOLDER = Path(__file__).parent / "queue_holder.py"


def forwarder():
    return appliance.status()["dataplane"]["forwarder"]


def wait_forwarding(since, before, patience_s=10.0):
    """When another one than `before` has taken in packets, in seconds since then."""
    first = None  # what had been taken in when the other one was first seen
    while time.monotonic() < since + patience_s:
        now = forwarder()
        packets = now["workers"][0]["packets"]
        if now["pid"] not in (0, before["pid"]):
            if first is not None and packets > first:
                return time.monotonic() - since
            first = packets
        time.sleep(0.02)
    raise AssertionError(f"not forwarding again after {patience_s} s: {forwarder()}")


def test_a_killed_forwarder_is_started_anew_and_no_connection_breaks():
    before_homes = clients.homes(clients.send("http", clients.EVERYONE))
    before = forwarder()
    with load.steady(8) as seen:
        at_kill = forwarder()
        killed = time.monotonic()
        os.kill(at_kill["pid"], signal.SIGKILL)
        took = wait_forwarding(killed, at_kill)
    seen.assert_unharmed()
    print(f"forwards again after {took:.2f} s")
    assert forwarder()["restarts"] == before["restarts"] + 1
    for client, answers in seen.watched.items():
        assert {answer for _, _, answer in answers} == {before_homes[client]}


def test_a_new_daemon_takes_over_the_forwarder_that_runs():
    before = forwarder()
    appliance.kill(appliance.pid())
    daemon = appliance.start()
    appliance.wait_all_up(daemon)
    assert forwarder()["pid"] == before["pid"]
    assert appliance.status()["dataplane"]["adopted"]


def test_stop_ends_the_forwarder_and_removes_its_tables():
    pid = forwarder()["pid"]
    appliance.penstock("stop")
    assert pid not in netns.pids("appliance")
    assert not world.SEGMENT.exists()
    link = netns.run("appliance", "ip", "link", "show", "dev", "eth0").stdout
    assert "xdp" not in link


def test_stop_ends_a_forwarder_whose_daemon_has_died():
    pid = forwarder()["pid"]
    appliance.kill(appliance.pid())
    assert pid in netns.pids("appliance")
    appliance.penstock("stop", "--config", world.CONFIG)
    assert pid not in netns.pids("appliance")
    assert not world.SEGMENT.exists()


def test_a_worker_tells_what_it_has_done():
    before = forwarder()["workers"][0]
    clients.send("http", clients.EVERYONE)
    after = forwarder()["workers"][0]
    assert after["packets"] - before["packets"] > 400 * 10
    assert after["cycles_per_packet"] > 0
    assert (after["lost_in_rings"], after["unsent"]) == (0, 0)
    lines = appliance.penstock("status").stdout
    assert "penstock-dpdk: process" in lines and "cycles each" in lines


def test_a_build_without_the_forwarder_says_what_is_missing(tmp_path):
    alone = tmp_path / "penstock"
    shutil.copy(world.PENSTOCK, alone)
    said = netns.run("appliance", alone, "check", world.CONFIG, check=False)
    assert said.returncode == 1
    assert "-Ddpdk=enabled" in said.stderr and 'driver = "xdp"' in said.stderr


def test_a_kernels_own_connection_goes_by_the_same_interface():
    """In both directions: somebody asks the appliance, and it asks somebody."""
    for address in world.APPLIANCE.values():
        said = netns.run("host1", "ping", "-c", "3", "-i", "0.2", "-W", "2", address)
        assert "3 received" in said.stdout
    for node, url in (("appliance", "http://10.0.0.1:3000/big"),
                      ("appliance", "http://[2001:db8:10::1]:3000/big")):
        said = netns.run(node, "sh", "-c", f"curl -sSgf -m 30 '{url}' | sha256sum")
        assert said.stdout.split()[0] == hashlib.sha256(servers.big_content()).hexdigest()
    assert forwarder()["lost_to_kernel"] == 0


def test_other_options_start_another_forwarder_which_finds_the_flows(variant):
    before = forwarder()
    changed = variant(("memory_mb = 128\n", "memory_mb = 128\nburst = 16\n"))
    try:
        with load.steady(6) as seen:
            appliance.kill(appliance.pid())
            daemon = appliance.start(changed)
            appliance.wait_all_up(daemon)
        seen.assert_unharmed()
        assert forwarder()["pid"] != before["pid"]
    finally:
        appliance.penstock("stop", "--config", world.CONFIG)


@contextlib.contextmanager
def held_queue(seconds):
    """Another program's socket has the queue of eth0, for so long at most."""
    command = [sys.executable, QUEUE_HOLDER, "eth0", seconds]
    with subprocess.Popen(netns.in_namespace("appliance", map(str, command)),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "holds\n"
            yield holder
        finally:
            holder.kill()


@needs_af_xdp
def test_a_queue_that_is_free_in_a_moment_is_waited_for():
    """As the forwarder before has it, for some 30 ms after its end."""
    appliance.penstock("stop")
    with held_queue(1.5) as holder:
        daemon = appliance.start()
        appliance.wait_all_up(daemon)
        assert holder.poll() == 0, "it forwards by a queue that another program has"
    assert forwarder()["restarts"] == 0


@needs_af_xdp
def test_a_queue_of_another_programs_is_told_of():
    appliance.penstock("stop")
    with held_queue(60):
        daemon = appliance.start()
        assert daemon.wait(30) == 1
    assert "another program's AF_XDP socket has receive queue 0" in appliance.last_log_line()
