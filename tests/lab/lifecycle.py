# SPDX-License-Identifier: Apache-2.0
"""Brings the world up and takes it down, one at a time on a machine."""

import contextlib
import os
import shutil
import signal
import socket

from . import appliance, authority, decapsulators, netns, servers, world
from .netns import LabError

# A name in the kernel's abstract socket space: gone with its holder, whatever ends it.
LOCK_NAME = "\0penstock-lab"


@contextlib.contextmanager
def locked():
    """Only one process at a time changes the world."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces: run it as root")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        try:
            lock.bind(LOCK_NAME)
        except OSError as failure:
            raise LabError("another ./lab is at work: end it first") from failure
        yield


def is_up():
    return bool(netns.existing()) or world.RUN.exists()


def up(name="nat", with_servers=True):
    """One of world.ALL, with the daemon ready; nothing of it remains after a failure."""
    if is_up():
        raise LabError("a lab is up already: `./lab down` takes it down")
    try:
        make_run_directory()
        world.NAME_FILE.write_text(name, encoding="ascii")
        this = world.current()
        netns.create(this.nodes)
        if this.tunnel_sources:
            decapsulators.start(this)
        if this.has_tls:
            authority.prepare()
        if with_servers:
            servers.prepare()
            servers.start(this.instances)
        daemon = appliance.start(config_of(this))
        (appliance.wait_all_up if with_servers else appliance.wait_answering)(daemon)
    except BaseException:
        down()
        raise


@contextlib.contextmanager
def standing(name="nat"):
    """The world for the tests of a file, and nobody else's meanwhile."""
    with locked():
        up(name)
        try:
            yield
        finally:
            down()


def config_of(this):
    """The file to start with: the repository's own, where it says all."""
    text = this.config_text()
    if text == this.config.read_text(encoding="utf-8"):
        return this.config
    own = world.RUN / "lab.toml"
    own.write_text(text, encoding="utf-8")
    return own


@contextlib.contextmanager
def world_up():
    """The world with all that there is to see, for as long as the block lasts."""
    up("tls")
    try:
        yield
    finally:
        for impatient in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(impatient, signal.SIG_IGN)
        down()


def down():
    """Removes everything, after a crash too. What is not there is no failure."""
    netns.destroy()
    if os.path.ismount(world.BPFFS):
        netns.checked(["umount", world.BPFFS])
    shutil.rmtree(world.RUN, ignore_errors=True)


def make_run_directory():
    world.RUN.mkdir(mode=0o755)
    for directory in (world.BPFFS, world.STATE, world.RUN / "tmp"):
        directory.mkdir()
    netns.checked(["mount", "-t", "bpf", "bpf", world.BPFFS])
