# SPDX-License-Identifier: Apache-2.0
"""A steady load on the appliance, during which something happens that must not harm it.

wrk keeps connections busy in both families, and opens new ones as fast as it can; forty clients
hold one connection each; four download slowly; every client asks on new connections now and then.
"""

import contextlib
import hashlib
import re
import subprocess
from dataclasses import dataclass, field

from . import clients, netns, servers, world

HOLDING = world.CLIENTS[4][:20] + world.CLIENTS[6][:20]
FETCHING = world.CLIENTS[4][20:22] + world.CLIENTS[6][20:22]


@dataclass
class Seen:
    """What the load saw, filled in at its end."""
    watched: dict = field(default_factory=dict)
    held: dict = field(default_factory=dict)
    fetched: dict = field(default_factory=dict)
    wrk: list = field(default_factory=list)

    def assert_unharmed(self):
        """No request failed, no connection broke, no byte was lost."""
        for client, answers in (*self.watched.items(), *self.held.items()):
            assert answers, f"{client} made no request"
            failed = [answer for answer in answers if clients.is_error(answer[2])]
            assert not failed, f"{client}: {failed[0]}"
        for client, answers in self.held.items():
            names = {answer[2] for answer in answers}
            assert len(names) == 1, f"{client}: one connection, answers of {sorted(names)}"
        whole = hashlib.sha256(servers.big_content()).hexdigest()
        for client, fetched in self.fetched.items():
            assert fetched.get("sha256") == whole, f"{client}: {fetched}"
        for output in self.wrk:
            assert_all_answered(output)


def assert_all_answered(output):
    """By what wrk printed."""
    assert requests_of(output) > 0, output
    assert "Socket errors" not in output, output
    assert "Non-2xx" not in output, output


def requests_of(output):
    """How many requests wrk made."""
    found = re.search(r"(\d+) requests in", output)
    return int(found.group(1)) if found else 0


PATIENCE_S = 5  # with one answer


def start_wrk(family, seconds, *options, patience_s=PATIENCE_S, scheme="http"):
    vip = world.VIPS[4] if family == 4 else f"[{world.VIPS[6]}]"
    command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "--timeout", f"{patience_s}s", *options,
               f"{scheme}://{vip}/"]
    return subprocess.Popen(netns.in_namespace("client", command), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextlib.contextmanager
def steady(seconds, patience_s=PATIENCE_S):
    """The load lasts about `seconds`; the block runs meanwhile, from when all of it is under way.
    Yields what was seen, which is there once the block has ended."""
    seen = Seen()
    rate = int(servers.BIG_FILE_BYTES / seconds)
    wrk = [start_wrk(family, seconds, *options, patience_s=patience_s)
           for family, options in ((4, ()), (6, ()), (4, ("-H", "Connection: close")))]
    watch = clients.begin("watch", clients.EVERYONE, seconds=seconds, pause=0.5,
                          patience=patience_s)
    hold = clients.begin("hold", HOLDING, seconds=seconds, pause=0.1, patience=patience_s)
    fetch = clients.begin("fetch", FETCHING, rate=rate, seconds=4 * seconds)
    running = [*wrk, watch, hold, fetch]
    try:
        for process in (watch, hold, fetch):
            clients.wait_under_way(process)
        yield seen
        seen.watched, seen.held, seen.fetched = map(clients.finish, (watch, hold, fetch))
        seen.wrk = [process.communicate()[0] for process in wrk]
    finally:
        for process in running:
            process.kill()
            process.wait()
