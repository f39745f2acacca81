# SPDX-License-Identifier: Apache-2.0
"""Every client is answered, always by one instance, and the instances share the clients."""

import pytest

from . import appliance, clients, main_job, world

REQUESTS = 20

pytestmark = pytest.mark.usefixtures("standing_lab")


@pytest.fixture(scope="module", name="seen")
def seen_fixture(standing_lab):
    """What all clients saw, by HTTP and by UDP, each request from a new source port."""
    return {kind: clients.send(kind, clients.EVERYONE, requests=REQUESTS)
            for kind in ("http", "udp")}


both_families = pytest.mark.parametrize("family", [4, 6])
both_kinds = pytest.mark.parametrize("kind", ["http", "udp"])


@both_kinds
@both_families
def test_every_request_is_answered(seen, kind, family):
    answers = clients.of_family(seen[kind], family)
    assert len(answers) == 200
    assert all(len(of_one) == REQUESTS for of_one in answers.values())
    assert clients.errors(answers) == []


@both_kinds
@both_families
def test_a_client_stays_at_one_instance(seen, kind, family):
    assert clients.wanderers(clients.of_family(seen[kind], family)) == []


@both_kinds
@both_families
def test_all_instances_share_the_clients(seen, kind, family):
    counts, spread = clients.spread(clients.homes(clients.of_family(seen[kind], family)))
    assert sorted(counts) == main_job.NAMES
    assert spread <= main_job.LARGEST_SPREAD


def test_services_with_the_same_backend_names_send_a_client_to_the_same_one(seen):
    assert clients.moved(clients.homes(seen["http"]), clients.homes(seen["udp"])) == set()


@both_families
def test_explain_names_the_instance_that_answers(seen, family):
    homes = clients.homes(seen["http"])
    for client in world.CLIENTS[family][:10]:
        said = appliance.penstock("explain", client, world.HTTP_SERVICES[family]).stdout
        assert homes[client] in said


def test_a_hash_of_the_flow_spreads_one_clients_connections(lab, variant):
    appliance.penstock("apply", variant(('name = "web"\n', 'name = "web"\nhash = "flow"\n')))
    (client,) = seen = clients.send("http", [world.CLIENTS[4][0]], requests=REQUESTS)
    assert clients.errors(seen) == []
    assert len(set(seen[client])) > 1
    refused = appliance.penstock("explain", client, "web", check=False)
    assert "hashes the client's port too: name it, as 198.18.0.1:40000" in refused.stderr
    assert "port 40000" in appliance.penstock("explain", f"{client}:40000", "web").stdout
