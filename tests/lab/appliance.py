# SPDX-License-Identifier: Apache-2.0
"""The appliance's daemon and its command line, as an operator would use them."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from . import netns, world
from .netns import LabError

LOG = world.RUN / "penstock.log"


def environment():
    """For commands in a node: `penstock` is on PATH and knows the lab's socket."""
    return {**os.environ, "PATH": f"{world.PENSTOCK.parent}:{os.environ['PATH']}",
            "PENSTOCK_SOCKET": str(world.SOCKET)}


def penstock(*words, check=True):
    """Runs `penstock WORDS` on the appliance."""
    return netns.run("appliance", world.PENSTOCK, *words, check=check, env=environment())


def start(config=world.CONFIG, under=()):
    """Starts the daemon, by the command `under` if there is one; returns it as a process. It need
    not be ready yet."""
    with open(LOG, "ab") as log:
        return subprocess.Popen(
            netns.in_namespace("appliance", [*under, world.PENSTOCK, "run", config]),
            start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=environment())


def status():
    """What `penstock status --json` says; None when no daemon answers."""
    done = penstock("status", "--json", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def pid():
    """The daemon's process id, or None."""
    said = status()
    return said and said["pid"]


def backends(said, service):
    """The backends of a service in a status, by name."""
    found = next(entry for entry in said["services"] if entry["name"] == service)
    return {backend["name"]: backend for backend in found["backends"]}


def health(said):
    """{(service, backend): health} of a status."""
    return {(service["name"], name): backend["health"]
            for service in said["services"]
            for name, backend in backends(said, service["name"]).items()}


# The verifier alone takes 40 s of it in an emulated machine, more where others are at work.
START_PATIENCE_S = 240.0


def wait_until(reached, what, process=None, patience_s=60.0):
    """Polls the status until reached(status) is true, and returns it."""
    deadline = time.monotonic() + patience_s
    while True:
        said = status()
        if said and reached(said):
            return said
        if process and process.poll() is not None:
            raise LabError(f"penstock ended: {last_log_line()}")
        if time.monotonic() > deadline:
            raise LabError(f"waited {patience_s:.0f} s in vain for: {what}; "
                           f"penstock's last words: {last_log_line()}")
        time.sleep(0.02)


def wait_answering(process=None):
    return wait_until(lambda said: True, "a daemon that answers", process, START_PATIENCE_S)


def wait_all_up(process=None):
    return wait_until(all_up, "every backend up", process, START_PATIENCE_S)


def wait_health(backend, wanted):
    """Until the HTTP services both find a backend "up" or "down"."""
    places = [(service, backend) for service in world.HTTP_SERVICES.values()]
    return wait_until(lambda said: all(health(said).get(place) == wanted for place in places),
                      f"{backend} {wanted}")


def all_up(said):
    return set(health(said).values()) == {"up"}


def stop():
    """`penstock stop`: forwarding ends and what it left in kernel and files goes."""
    penstock("stop")


def has_ended(process_id):
    """Whether nothing of the process is left but, perhaps, what its parent may ask."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def kill(process_id):
    """Ends the daemon as a crash would; returns when it is gone. It leaves its namespace a while
    before its sockets are closed."""
    os.kill(process_id, signal.SIGKILL)
    while not has_ended(process_id):
        time.sleep(0.002)


def last_log_line():
    lines = LOG.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
