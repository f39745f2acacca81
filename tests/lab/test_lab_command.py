# SPDX-License-Identifier: Apache-2.0
"""`./lab` itself: it shows the main job, and it leaves nothing behind."""

import signal
import subprocess
import time

import pytest

from . import lifecycle, netns, world

LAB = world.ROOT / "lab"

pytestmark = pytest.mark.usefixtures("machine", "no_world")


@pytest.fixture(name="no_world")
def no_world_fixture(machine):
    assert not lifecycle.is_up(), "a lab is up: `./lab down` takes it down"
    yield
    with lifecycle.locked():
        lifecycle.down()


def lab(*words):
    return subprocess.run([LAB, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)


def leftovers():
    mounts = [line.split()[1] for line in open("/proc/mounts", encoding="utf-8")]
    return (netns.existing(), [mount for mount in mounts if mount.startswith(str(world.RUN))],
            world.RUN.exists())


NOTHING = ([], [], False)


def test_it_shows_the_main_job_and_cleans_up():
    done = lab()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "claims were seen" in done.stdout
    assert leftovers() == NOTHING


def test_up_and_down():
    assert lab("up").returncode == 0
    assert "h1-a" in lab("status").stdout
    again = lab("up")
    assert (again.returncode, again.stderr) == (
        1, "lab: a lab is up already: `./lab down` takes it down\n")
    answer = lab("exec", "client", "curl", "-sf", "http://203.0.113.10/")
    assert answer.returncode == 0 and answer.stdout.strip() in {i.name for i in world.INSTANCES}
    assert lab("exec", "appliance", "penstock", "status").returncode == 0
    assert lab("down").returncode == 0
    assert leftovers() == NOTHING
    assert lab("down").returncode == 0


def test_bring_your_own_servers():
    assert lab("up", "--no-servers").returncode == 0
    answer = lab("exec", "client", "curl", "-s", "http://203.0.113.10/")
    assert answer.returncode == 7, "a service without a backend that is up refuses connections"


def test_exec_hands_on_the_exit_status_and_says_when_the_lab_is_down():
    down = lab("exec", "client", "true")
    assert (down.returncode, down.stderr) == (
        1, "lab: the lab is down: `./lab up` brings it up\n")
    lab("up", "--no-servers")
    assert lab("exec", "client", "sh", "-c", "exit 7").returncode == 7


def test_down_cleans_up_after_a_crash():
    with running_lab() as process:
        process.kill()
    assert lab("down").returncode == 0
    assert leftovers() == NOTHING


def test_a_termination_signal_cleans_up():
    with running_lab() as process:
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert leftovers() == NOTHING


def running_lab():
    """`./lab`, as soon as its daemon answers."""
    process = subprocess.Popen([LAB], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while not world.SOCKET.exists():
        assert process.poll() is None, f"./lab ended with status {process.returncode}"
        time.sleep(0.05)
    return process
