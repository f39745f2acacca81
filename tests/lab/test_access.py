# SPDX-License-Identifier: Apache-2.0
"""Who is denied gets nothing, at once or within two seconds; who opens too much is slowed down."""

import time
from ipaddress import ip_address
from random import Random

import pytest

from . import appliance, clients, world

DENIED = [world.CLIENTS[4][0], world.CLIENTS[6][0]]
OTHERS = [*world.CLIENTS[4][1:20], *world.CLIENTS[6][1:20]]
HOLD_S = 9
ENDED_S = 2.5  # established flows are looked at within 2 s

pytestmark = pytest.mark.usefixtures("lab")


def with_key(variant, key_of):
    """A variant of the lab's file in which each HTTP service has another key, by its family."""
    return variant(*((f'name = "{name}"\n', f'name = "{name}"\n{key_of(family)}\n')
                     for family, name in world.HTTP_SERVICES.items()))


def dropped(reason):
    """How often in each HTTP service, by its name."""
    counts = {service["name"]: {entry["reason"]: entry["count"] for entry in service["dropped"]}
              for service in appliance.status()["services"]}
    return {name: counts[name].get(reason, 0) for name in world.HTTP_SERVICES.values()}


def answers_after(answers, moment):
    return [answer for start, _, answer in answers if start > moment]


def test_a_denied_client_loses_its_connection_and_others_notice_nothing(variant):
    denying = with_key(variant, lambda f: f'deny = ["{DENIED[f == 6]}"]')
    hold = clients.begin("hold", DENIED + OTHERS, seconds=HOLD_S)
    watch = clients.begin("watch", OTHERS, seconds=HOLD_S)
    clients.wait_under_way(hold)
    clients.wait_under_way(watch)
    appliance.penstock("apply", denying)
    applied = time.monotonic()
    held, watched = clients.finish(hold), clients.finish(watch)
    for client in DENIED:
        assert clients.is_error(held[client][-1][2])
        assert held[client][-1][0] < applied + ENDED_S
        assert len(held[client]) > 1
    for seen in (watched, {client: held[client] for client in OTHERS}):
        for answers in seen.values():
            assert answers_after(answers, applied + ENDED_S)
            assert not any(clients.is_error(answer) for _, _, answer in answers)
    assert all(dropped("access_denied").values())


def test_a_denied_client_opens_nothing_until_it_is_let_in_again(variant):
    allowing = with_key(variant, lambda f: f'allow = ["{OTHERS[0] if f == 4 else OTHERS[-1]}"]')
    appliance.penstock("apply", allowing)
    seen = clients.send("http", [*DENIED, OTHERS[0], OTHERS[-1]])
    assert {client for client in seen if clients.errors({client: seen[client]})} == set(DENIED)
    said = appliance.penstock("explain", DENIED[0], world.HTTP_SERVICES[4]).stdout
    assert f"no prefix in allow of {world.HTTP_SERVICES[4]} has it" in said
    assert clients.errors(clients.send("udp", DENIED)) == []  # another service
    appliance.penstock("apply", world.CONFIG)
    assert clients.errors(clients.send("http", DENIED)) == []


def test_new_flows_past_the_limit_are_refused_and_come_later(variant):
    before = dropped("new_flow_limit")
    limit = "new_flows = { per_second = 1, prefix = { ipv6 = 128 } }"
    appliance.penstock("apply", with_key(variant, lambda f: limit))
    begun = time.monotonic()
    seen = clients.send("http", DENIED + OTHERS, requests=4)
    assert clients.errors(seen) == []  # TCP tries again
    assert time.monotonic() - begun > 2.5
    after = dropped("new_flow_limit")
    assert all(after[name] >= before[name] + 3 * len(DENIED) for name in before)


def test_access_lists_without_room_change_nothing(variant):
    appliance.penstock("apply", with_key(variant, lambda f: f'deny = ["{DENIED[f == 6]}"]'))
    host = Random(1).getrandbits
    scattered = ", ".join(f'"{ip_address(0x20010DB8 << 96 | host(96))}"' for _ in range(2000))
    refused = appliance.penstock(
        "apply", with_key(variant, lambda f: f"deny = [{scattered}]" if f == 6 else ""),
        check=False)
    assert refused.returncode != 0
    assert "raise dataplane.access_nodes above" in refused.stderr
    assert len(clients.errors(clients.send("http", DENIED))) == len(DENIED)
