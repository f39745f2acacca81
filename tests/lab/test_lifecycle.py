# SPDX-License-Identifier: Apache-2.0
"""The daemon's life: what outlives it, what it takes over, what it follows, what it leaves."""

import contextlib
import json
import os
import signal

import pytest

from . import appliance, clients, netns, world

pytestmark = pytest.mark.usefixtures("lab")


def all_answered():
    seen = clients.send("http", clients.EVERYONE)
    assert clients.errors(seen) == []
    return clients.homes(seen)


def link(node, device):
    return json.loads(netns.run(node, "ip", "-j", "link", "show", "dev", device).stdout)[0]


def traces():
    """What a daemon leaves in the kernel and in files while it forwards."""
    loopback = netns.run("appliance", "ip", "-j", "address", "show", "dev", "lo").stdout
    reserved = netns.run("appliance", "sysctl", "-n", "net.ipv4.ip_local_reserved_ports").stdout
    return {
        "XDP program": "xdp" in link("appliance", "eth0"),
        "tables": world.SEGMENT.exists() or
                  (world.PIN_PATH.exists() and any(world.PIN_PATH.iterdir())),
        "VIPs": [vip for vip in world.VIPS.values() if vip in loopback],
        "reserved ports": reserved.strip(),
        "socket": world.SOCKET.exists(),
    }


CLEAN = {"XDP program": False, "tables": False, "VIPs": [], "reserved ports": "", "socket": False}
FORWARDING = {"XDP program": True, "tables": True, "VIPs": list(world.VIPS.values()),
              "reserved ports": "20000-32767"}


def without_socket(found):
    return {name: value for name, value in found.items() if name != "socket"}


def test_the_daemon_goes_before_what_else_keeps_the_machine_busy():
    assert os.getpriority(os.PRIO_PROCESS, appliance.pid()) < 0


def test_the_program_is_attached_in_native_mode():
    (interface,) = appliance.status()["dataplane"]["interfaces"]
    assert (interface["name"], interface["attach_mode"]) == ("eth0", world.ATTACH_MODE)
    assert link("appliance", "eth0")["xdp"]["mode"] == 1  # driver mode, in the kernel's own words


TX_OFF = "ip netns exec ps-bridge ethtool -K appliance tx off"


@contextlib.contextmanager
def senders_offload_checksums():
    """The other end of the appliance's veth leaves them to hardware."""
    netns.run("bridge", *TX_OFF.split()[4:-1], "on")
    try:
        yield
    finally:
        netns.run("bridge", *TX_OFF.split()[4:])


def restarted():
    """What the log says from a daemon's start until it is ready."""
    appliance.kill(appliance.pid())
    before = len(appliance.LOG.read_text(encoding="utf-8"))
    appliance.wait_all_up(appliance.start())
    return appliance.LOG.read_text(encoding="utf-8")[before:]


def test_the_start_warns_of_an_offload_that_corrupts_with_the_line_that_ends_it():
    assert "ethtool" not in restarted()
    with senders_offload_checksums():
        assert f"run: {TX_OFF}\n" in restarted()


def test_status_and_check_warn_of_it_until_the_line_has_been_run():
    with senders_offload_checksums():
        (warning,) = appliance.status()["warnings"]
        assert warning.endswith(f"run: {TX_OFF}")
        (interface,) = appliance.status()["dataplane"]["interfaces"]
        assert [problem["command"] for problem in interface["offload_problems"]] == [TX_OFF]
        checked = appliance.penstock("check", world.CONFIG)
        assert checked.stderr.startswith("penstock: warning: eth0: appliance, its other end, ")
    assert appliance.status()["warnings"] == []
    assert appliance.penstock("check", world.CONFIG).stderr == ""


def test_the_line_that_the_warning_names_is_what_matters():
    """A client further off may leave its checksums open: they are filled in before the last hop."""
    netns.run("client", "ethtool", "-K", "eth0", "tx", "on")
    try:
        assert clients.errors(clients.send("http", world.CLIENTS[4][:5])) == []
        with senders_offload_checksums():
            assert len(clients.errors(clients.send("http", world.CLIENTS[4][:1]))) == 1
    finally:
        netns.run("client", "ethtool", "-K", "eth0", "tx", "off")


def test_stop_leaves_nothing_behind():
    assert without_socket(traces()) == FORWARDING
    appliance.stop()
    assert traces() == CLEAN


def test_stop_cleans_up_after_a_killed_daemon():
    appliance.kill(appliance.pid())
    assert without_socket(traces()) == FORWARDING
    appliance.penstock("stop", "--config", world.CONFIG)
    assert traces() == CLEAN


def test_a_killed_daemon_leaves_the_packets_flowing():
    before = all_answered()
    appliance.kill(appliance.pid())
    assert all_answered() == before
    assert appliance.status() is None


def test_changes_at_the_socket_survive_a_restart():
    appliance.penstock("weight", "web", "h1-a", 5)
    appliance.penstock("drain", "web6", "h2-a")
    appliance.penstock("remove", "echo", "h2-b")
    appliance.penstock("add", "echo6", world.endpoint("2001:db8:10::2", 3009), "--name", "h2-c")
    before = appliance.status()
    appliance.kill(appliance.pid())
    after = appliance.wait_answering(appliance.start())
    assert before["pid"] != after["pid"]
    assert appliance.backends(after, "web")["h1-a"]["weight"] == 5
    assert appliance.backends(after, "web6")["h2-a"]["drain"] is True
    assert "h2-b" not in appliance.backends(after, "echo")
    assert "h2-c" in appliance.backends(after, "echo6")
    assert len(after["differences"]) == 4
    appliance.penstock("apply", "--discard-changes")
    assert appliance.status()["differences"] == []


def test_a_hangup_signal_has_the_file_read_again(variant):
    appliance.stop()
    path = variant()
    daemon = appliance.start(path)
    appliance.wait_all_up(daemon)
    path.write_text(path.read_text().replace('"10.0.0.1:3000" }', '"10.0.0.1:3000", weight = 3 }'))
    os.kill(appliance.pid(), signal.SIGHUP)
    appliance.wait_until(lambda said: appliance.backends(said, "web")["h1-a"]["weight"] == 3,
                         "the new weight", daemon)
    appliance.stop()


def test_a_client_on_the_wire_finds_the_vips_by_arp_and_neighbour_discovery():
    before = all_answered()
    client = world.namespace_of("client")
    with contextlib.ExitStack() as undo:
        for vip, router in zip(world.VIPS.values(), world.APPLIANCE.values()):
            undo.callback(netns.batch, f"route replace {vip} via {router} dev eth0 onlink",
                          namespace=client)
            netns.batch(f"route replace {vip} dev eth0", namespace=client)
        assert all_answered() == before
        known = netns.run("client", "ip", "neigh", "show").stdout
        for vip in world.VIPS.values():
            assert f"{vip} dev eth0 lladdr {link('appliance', 'eth0')['address']}" in known


def test_a_second_start_takes_the_tables_over():
    all_answered()
    appliance.kill(appliance.pid())
    assert world.SOCKET.exists(), "a killed daemon cannot remove its socket"
    said = appliance.wait_all_up(appliance.start())
    assert said["dataplane"]["adopted"] is True
    web = next(service for service in said["services"] if service["name"] == "web")
    assert web["counters"]["new_flows"] > 0, "the counters outlive the daemon"


@pytest.mark.parametrize("told", [True, False], ids=["announced", "unannounced"])
def test_a_backend_whose_mac_changes_keeps_working(told):
    before = all_answered()
    netns.run("host2", "sysctl", "-q", "-w", f"net.ipv4.conf.eth0.arp_notify={int(told)}",
              f"net.ipv6.conf.eth0.ndisc_notify={int(told)}")
    new, old = "02:00:00:00:00:22", link("host2", "eth0")["address"]
    with contextlib.ExitStack() as undo:
        undo.callback(netns.batch, f"link set dev eth0 address {old}", namespace="ps-host2")
        netns.batch(f"link set dev eth0 address {new}", namespace="ps-host2")
        appliance.wait_until(lambda said: next_hops_of_host2(said) == {new} and
                             appliance.all_up(said), "the new MAC")
        assert all_answered() == before
    appliance.wait_until(lambda said: next_hops_of_host2(said) == {old} and
                         appliance.all_up(said), "the old MAC")


def next_hops_of_host2(said):
    return {(backend["next_hop"] or {}).get("mac") for service in world.HTTP_SERVICES.values()
            for name, backend in appliance.backends(said, service).items()
            if name.startswith("h2-")}


@pytest.mark.skipif(world.DRIVER != "xdp", reason="DPDK's AF_XDP driver asks for native mode")
def test_where_native_xdp_is_refused_it_forwards_in_generic_mode_and_says_so():
    """A veth takes no native program while its peer has more queues to send from than it has."""
    before = all_answered()
    appliance.stop()
    if netns.run(world.BRIDGE, "ethtool", "-L", "appliance", "tx", "2", check=False).returncode:
        pytest.skip("a veth has one queue a CPU, and a second one is needed to refuse native XDP")
    with contextlib.ExitStack() as undo:
        undo.callback(netns.run, world.BRIDGE, "ethtool", "-L", "appliance", "tx", "1")
        said = appliance.wait_all_up(appliance.start())
        (interface,) = said["dataplane"]["interfaces"]
        assert interface["attach_mode"] == "generic"
        assert "native XDP was refused" in interface["degraded"]
        assert "degraded" in appliance.penstock("status").stdout
        assert all_answered() == before
        appliance.stop()
