# SPDX-License-Identifier: Apache-2.0
"""What an operator does under load harms nobody, and a failure harms only its own clients."""

import time

import pytest

from . import appliance, clients, load, servers, world

LOAD_S = 6
VICTIM = world.INSTANCES[0]
FIFTH = world.FIFTH_INSTANCE

# configs/lab.toml's health check: fall x interval + timeout, and 100 ms more.
FOUND_DOWN_S = 3 * 0.3 + 0.25 + 0.1

pytestmark = pytest.mark.usefixtures("lab")


def homes_now():
    seen = clients.send("http", clients.EVERYONE)
    assert clients.errors(seen) == []
    return clients.homes(seen)


def answers_since(watched, moment):
    """{client: [answer, ...]} of the requests that began after a moment of time.monotonic()."""
    return {client: [answer for start, _, answer in answers if start > moment]
            for client, answers in watched.items()}


def add_fifth():
    for service, address in zip(world.HTTP_SERVICES.values(), FIFTH.addresses):
        appliance.penstock("add", service, world.endpoint(address, FIFTH.http_port),
                           "--name", FIFTH.name)


def test_apply_of_an_unchanged_file_is_not_noticed():
    before = homes_now()
    with load.steady(LOAD_S) as seen:
        for _ in range(10):
            appliance.penstock("apply", world.CONFIG)
            time.sleep(0.2)
    seen.assert_unharmed()
    for client, answers in seen.watched.items():
        assert {answer for _, _, answer in answers} == {before[client]}


def test_a_fifth_backend_takes_its_share_and_no_connection():
    before = homes_now()
    servers.start([FIFTH])
    with load.steady(LOAD_S) as seen:
        add_fifth()
        appliance.wait_health(FIFTH.name, "up")
        added = time.monotonic()
    seen.assert_unharmed()
    after = homes_now()
    moved = clients.moved(before, after)
    assert {after[client] for client in moved} == {FIFTH.name}
    assert 0.1 < len(moved) / len(before) < 0.3  # a fifth is expected of 400 clients
    for client, answers in answers_since(seen.watched, added).items():
        assert set(answers) <= {after[client]}


def test_a_drained_backend_keeps_its_connections_and_gets_no_new_ones():
    before = homes_now()
    drained_name = before[world.CLIENTS[4][0]]  # wrk's own, so that it matters to the load
    with load.steady(LOAD_S) as seen:
        for service in world.HTTP_SERVICES.values():
            appliance.penstock("drain", service, drained_name)
        drained = time.monotonic()
    seen.assert_unharmed()
    kept = [client for client in load.HOLDING if before[client] == drained_name]
    assert kept, "no held connection was at the drained backend: choose other clients"
    for client in kept:
        assert seen.held[client][-1][2] == drained_name
    for client, answers in answers_since(seen.watched, drained).items():
        assert answers and drained_name not in answers
        if before[client] != drained_name:
            assert set(answers) == {before[client]}
    for service in world.HTTP_SERVICES.values():
        appliance.penstock("undrain", service, drained_name)
    assert clients.moved(before, homes_now()) == set()


def test_a_removed_backend_keeps_its_connections():
    before = homes_now()
    with load.steady(LOAD_S) as seen:
        for service in world.HTTP_SERVICES.values():
            appliance.penstock("remove", service, VICTIM.name)
        removed = time.monotonic()
    seen.assert_unharmed()
    for client in load.HOLDING:
        assert seen.held[client][-1][2] == before[client]
    for answers in answers_since(seen.watched, removed).values():
        assert answers and VICTIM.name not in answers


def test_a_killed_daemon_and_its_restart_are_not_noticed():
    before = homes_now()
    with load.steady(LOAD_S + 2) as seen:
        appliance.kill(appliance.pid())
        time.sleep(2)
        assert appliance.status() is None
        daemon = appliance.start()
        said = appliance.wait_all_up(daemon)
    assert said["dataplane"]["adopted"]
    seen.assert_unharmed()
    for client, answers in seen.watched.items():
        assert {answer for _, _, answer in answers} == {before[client]}


def test_a_killed_instance_moves_its_own_clients_in_time():
    before = homes_now()
    own = {client for client, home in before.items() if home == VICTIM.name}
    watch = clients.begin("watch", clients.EVERYONE, seconds=4, pause=0.1)
    clients.wait_under_way(watch)
    killed = time.monotonic()
    servers.kill(VICTIM)
    watched = clients.finish(watch)
    for client in set(clients.EVERYONE) - own:
        assert {answer for _, _, answer in watched[client]} == {before[client]}
    late = {client: answers for client, answers
            in answers_since({c: watched[c] for c in own}, killed + FOUND_DOWN_S).items()
            if any(clients.is_error(answer) or answer == VICTIM.name for answer in answers)}
    assert late == {}


def test_a_recovered_instance_gets_its_own_clients_back():
    before = homes_now()
    servers.kill(VICTIM)
    appliance.wait_health(VICTIM.name, "down")
    during = homes_now()
    with load.steady(LOAD_S) as seen:
        servers.start([VICTIM])
        appliance.wait_health(VICTIM.name, "up")
        back = time.monotonic()
    seen.assert_unharmed()
    for client, answers in seen.watched.items():
        assert {answer for _, _, answer in answers} <= {before[client], during[client]}
    for client, answers in answers_since(seen.watched, back).items():
        assert set(answers) == {before[client]}
