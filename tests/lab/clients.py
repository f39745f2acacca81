# SPDX-License-Identifier: Apache-2.0
"""Sets the clients to work (traffic.py in the client's namespace) and reads what they saw."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from . import netns, world
from .netns import LabError

TRAFFIC = Path(__file__).with_name("traffic.py")
EVERYONE = world.CLIENTS[4] + world.CLIENTS[6]


def begin(kind, clients, **options):
    """Starts clients in the background: traffic.py says which kinds and options there are."""
    flags = [word for name, value in options.items() for word in (f"--{name}", value)]
    command = [sys.executable, TRAFFIC, kind, *flags, *clients]
    return subprocess.Popen(netns.in_namespace("client", command), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True)


def wait_under_way(process):
    """Until each of the clients that begin() started has had its first answer."""
    process.stdout.readline()


def finish(process):
    """Waits for clients that begin() started, and returns what each of them saw."""
    output, _ = process.communicate()
    if process.returncode != 0:
        raise LabError(f"the clients failed with status {process.returncode}")
    return json.loads(output.splitlines()[-1])


def send(kind, clients, **options):
    return finish(begin(kind, clients, **options))


def is_error(answer):
    return answer.startswith("error")


def errors(seen):
    """What went wrong in the answers of http or udp clients, each with its client."""
    return [f"{client}: {answer}" for client, answers in seen.items()
            for answer in answers if is_error(answer)]


def wanderers(seen):
    """Clients that more than one instance answered."""
    return [client for client, answers in seen.items()
            if len({answer for answer in answers if not is_error(answer)}) > 1]


def homes(seen):
    """{client: the instance that answered it last}, without those that got no answer."""
    names = {client: [answer for answer in answers if not is_error(answer)]
             for client, answers in seen.items()}
    return {client: answers[-1] for client, answers in names.items() if answers}


def moved(before, after):
    """Clients whose home differs, or is there no more."""
    return {client for client, home in before.items() if after.get(client) != home}


def of_family(seen, family):
    return {client: seen[client] for client in world.CLIENTS[family] if client in seen}


def spread(home_of):
    """Clients per instance, and the largest number over the mean of all configured instances."""
    counts = Counter(home_of.values())
    mean = len(home_of) / len(world.INSTANCES)
    return counts, max(counts.values(), default=0) / mean if mean else 0.0
