# SPDX-License-Identifier: Apache-2.0
"""A client that is active keeps its instance, whatever is done to the set of instances."""

import http.client
import json
import socket
import time

import pytest

from . import appliance, clients, load, servers, world

LOAD_S = 14
VICTIM, DRAINED, DOUBLED = world.INSTANCES[:3]
SIXTH = world.Instance("h1-c", "host1", 3002, 3009)
ADDED = (world.FIFTH_INSTANCE, SIXTH)
SERVICES = {**{("http", f): name for f, name in world.HTTP_SERVICES.items()},
            **{("udp", f): name for f, name in world.ECHO_SERVICES.items()}}

pytestmark = pytest.mark.usefixtures("affinity")


class ControlSocket(http.client.HTTPConnection):
    """The daemon's socket, for many questions."""

    def __init__(self):
        super().__init__("localhost")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(world.SOCKET))

    def selected(self, service, client):
        """The instance that the lookup table alone leads the client to."""
        self.request("GET", f"/v1/explain?service={service}&client={client}")
        return json.loads(self.getresponse().read())["selected"]


def selected_now():
    """{(kind, client): instance} by the lookup tables."""
    daemon = ControlSocket()
    return {(kind, client): daemon.selected(service, client)
            for (kind, family), service in SERVICES.items() for client in world.CLIENTS[family]}


def homes_now(kinds=("http", "udp")):
    """{(kind, client): the instance that answers}: each client asks by each kind."""
    seen = {kind: clients.send(kind, clients.EVERYONE) for kind in kinds}
    assert not any(clients.errors(each) for each in seen.values())
    return {(kind, client): home for kind, each in seen.items()
            for client, home in clients.homes(each).items()}


def add(instances):
    servers.start(instances)
    for instance in instances:
        for (kind, family), service in SERVICES.items():
            port = instance.http_port if kind == "http" else instance.echo_port
            address = instance.addresses[0 if family == 4 else 1]
            appliance.penstock("add", service, world.endpoint(address, port),
                               "--name", instance.name)
    for instance in instances:
        appliance.wait_health(instance.name, "up")


def for_each_service(*words):
    verb, *rest = words
    for service in SERVICES.values():
        appliance.penstock(verb, service, *rest)


@pytest.fixture(name="affinity")
def affinity_fixture(lab, variant):
    """Every service of the standing lab with affinity; the sixth instance ends with the test."""
    file = variant(("[dataplane]", "[dataplane]\naffinity_tables = 32"),
                   ("[[service]]", '[[service]]\naffinity = { idle = "30m" }'),
                   ("fall = 3", "fall = 10"))  # a busy machine answers late
    appliance.stop()
    appliance.wait_all_up(appliance.start(file))
    yield
    servers.kill(SIXTH)
    appliance.stop()


def entries_in_use():
    return appliance.status()["dataplane"]["affinity_entries"]


def clients_left(backend):
    """How many clients each service's backend keeps, by `penstock status`."""
    said = appliance.status()
    kept = [appliance.backends(said, service)[backend]["kept_clients"]
            for service in SERVICES.values()]
    return sum(each["seen"] + each["unseen"] for each in kept)


def test_active_clients_stay_through_every_change_of_the_instances(capsys):
    before = homes_now()
    changed = set()

    def expect_all_stay():
        changed.update(who for who, name in selected_now().items() if name != before[who])
        assert clients.moved(before, homes_now()) == set()

    with load.steady(LOAD_S) as seen:
        add(ADDED)
        expect_all_stay()
        for_each_service("drain", DRAINED.name)
        expect_all_stay()
        for_each_service("weight", DOUBLED.name, "2")
        expect_all_stay()
    seen.assert_unharmed()
    for client, answers in seen.watched.items():
        assert {answer for _, _, answer in answers} == {before["http", client]}
    assert clients_left(DRAINED.name) == list(before.values()).count(DRAINED.name)
    used = entries_in_use()
    assert 0 < used <= len(changed)
    with capsys.disabled():
        print(f"\n{len(before)} active clients, the answer changed for {len(changed)}: "
              f"{used} entries")


def test_a_failure_moves_only_its_own_clients_and_a_recovery_none():
    before = homes_now(["http"])  # udp instances are not probed in this lab
    own = {who for who, home in before.items() if home == VICTIM.name}
    servers.kill(VICTIM)
    appliance.wait_health(VICTIM.name, "down")
    during = homes_now(["http"])
    assert clients.moved(before, during) == own
    with load.steady(6) as seen:
        servers.start([VICTIM])
        appliance.wait_health(VICTIM.name, "up")
        time.sleep(1)
        assert clients.moved(during, homes_now(["http"])) == set()
    seen.assert_unharmed()
    assert 0 < entries_in_use() <= len(own)
