# SPDX-License-Identifier: Apache-2.0
"""Bad input: one clear line with a way out, a failing exit status, and what ran before runs on."""

import socket

import pytest

from . import appliance, clients, netns, world

pytestmark = pytest.mark.usefixtures("lab")

OWN_PATHS = (
    (str(world.SOCKET), str(world.RUN / "second.sock")),
    (str(world.PIN_PATH), str(world.BPFFS / "second")),
    (str(world.SEGMENT), str(world.RUN / "second-segment")),
    (str(world.STATE), str(world.RUN / "second-state")),
)


@pytest.fixture(autouse=True, name="what_ran_before")
def what_ran_before_fixture(lab):
    """Each test here leaves the daemon, its state and the traffic as they were."""
    before, homes = appliance.status(), homes_now()
    yield
    after = appliance.status()
    assert after["pid"] == before["pid"]
    assert appliance.health(after) == appliance.health(before)
    assert homes_now() == homes


def homes_now():
    seen = clients.send("http", clients.EVERYONE)
    assert clients.errors(seen) == []
    return clients.homes(seen)


def refusal(done):
    """The one line that a command failed with."""
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("penstock: "), done.stderr
    return lines[0]


def refused_run(config, *prefix):
    """`penstock run` of a configuration that it must refuse."""
    return refusal(netns.run("appliance", *prefix, world.PENSTOCK, "run", config, check=False,
                             timeout=20, env=appliance.environment()))


def test_a_missing_interface_is_named_with_those_there_are(variant):
    said = refused_run(variant(*OWN_PATHS, ('["eth0"]', '["eth9"]')))
    assert "eth9" in said and "eth0" in said


def test_missing_privileges_are_named():
    # Root's user without root's capabilities: it can still read a configuration in root's home.
    said = refused_run(world.CONFIG, "setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert "CAP_NET_ADMIN" in said


def test_a_second_daemon_at_the_same_socket_is_refused():
    said = refused_run(world.CONFIG)
    assert str(appliance.pid()) in said and str(world.SOCKET) in said


def test_a_second_daemon_on_the_same_interface_is_refused(variant):
    said = refused_run(variant(*OWN_PATHS))
    assert "eth0" in said


def test_a_port_range_that_overlaps_the_kernels_is_refused_with_a_way_out(variant):
    said = refused_run(variant(*OWN_PATHS, ("20000-32767", "30000-40000")))
    assert "30000-40000" in said and "32768" in said and "ip_local_port_range" in said


@pytest.mark.parametrize("replacement, words", [
    (('path = "/healthz"', 'paht = "/healthz"'), ["paht", 'did you mean "path"']),
    (('name = "web6"', 'name = "web"'), ["web"]),
    (('"10.0.0.1:3000"', '"[2001:db8:10::1]:3999"'), ["IPv6"]),
    (("port = 7\n", "port = 70000\n"), ["70000", "65535"]),
    ((f'driver = "{world.DRIVER}"', f'driver = "{world.DRIVER}'), ["while parsing string"]),
], ids=["unknown key", "duplicate service", "family mismatch", "number out of range", "not TOML"])
def test_apply_of_an_invalid_file_changes_nothing(variant, replacement, words):
    path = variant(replacement)
    done = appliance.penstock("apply", path, check=False)
    assert done.returncode == 1
    assert str(path) in done.stderr
    for word in words:
        assert word in done.stderr


def test_apply_refuses_what_needs_a_restart(variant):
    path = variant(("262_144", "524_288"))
    said = refusal(appliance.penstock("apply", path, check=False))
    assert "flow_table_entries" in said


def test_an_unknown_backend_is_named_with_those_there_are():
    said = refusal(appliance.penstock("drain", "web", "h9-z", check=False))
    assert "h9-z" in said and "h1-a" in said


def test_a_socket_nobody_listens_at_is_reported(tmp_path):
    path = stale_socket(tmp_path / "stale.sock")
    said = refusal(appliance.penstock("--socket", path, "status", check=False))
    assert str(path) in said and "penstock run" in said


def stale_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    return path
