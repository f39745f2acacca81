# SPDX-License-Identifier: Apache-2.0
"""TLS in front of a service in mode dnat, whose plain clients are answered by way of the appliance
under their own address."""

import pytest

from . import appliance, authority, clients, lifecycle, world

HUNDRED = world.CLIENTS[4][:100] + world.CLIENTS[6][:100]

pytestmark = pytest.mark.usefixtures("dnat_with_tls")


@pytest.fixture(scope="module", name="dnat_with_tls")
def dnat_with_tls_fixture(machine):
    with lifecycle.standing("dnat"):
        authority.prepare()
        appliance.penstock("stop")
        appliance.start(with_tls())
        appliance.wait_all_up()
        yield


def with_tls():
    text = world.DNAT_CONFIG.read_text(encoding="utf-8")
    for name in world.HTTP_SERVICES.values():
        head, _, tail = text.partition(f'name = "{name}"\n')
        tail = tail.replace("[service.health]", "[service.tls]\ncertificates = "
                            f'["{world.TLS}/lab.pem"]\n[service.health]', 1)
        text = f'{head}name = "{name}"\n{tail}'
    path = world.RUN / "dnat-tls.toml"
    path.write_text(f'sidecar_namespace = "ps-sidecar"\n{text}', encoding="utf-8")
    return path


def test_each_client_meets_one_instance_by_http_and_https():
    homes = {kind: clients.homes(clients.send(kind, HUNDRED, requests=3))
             for kind in ("http", "https")}
    assert len(homes["http"]) == len(HUNDRED)
    assert homes["http"] == homes["https"]
