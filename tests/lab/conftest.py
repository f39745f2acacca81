# SPDX-License-Identifier: Apache-2.0
"""Fixtures: one world for each test file, and for each test what configs/lab.toml says."""

import os

import pytest

from . import appliance, lifecycle, servers, world
from .netns import LabError

# Rewritten asserts show the values that were compared; helpers hold asserts too.
pytest.register_assert_rewrite(f"{__package__}.load")


@pytest.fixture(scope="session", name="machine")
def machine_fixture():
    """A machine that the lab can run on: root, and everything built."""
    if os.geteuid() != 0:
        pytest.skip("the lab makes network namespaces, which needs root")
    for path in (world.PENSTOCK, world.PASS_PROGRAM):
        assert path.exists(), f"{path} is not built: run ./lab or ./check"


@pytest.fixture(scope="module", name="standing_lab")
def standing_lab_fixture(machine):
    with lifecycle.standing():
        yield


@pytest.fixture(name="lab")
def lab_fixture(standing_lab):
    """The lab as configs/lab.toml has it, whatever the test before did."""
    restore()
    return standing_lab


def restore():
    if servers.is_up(world.FIFTH_INSTANCE):
        servers.kill(world.FIFTH_INSTANCE)
    servers.start([instance for instance in world.INSTANCES if not servers.is_up(instance)])
    daemon = None if appliance.status() else appliance.start()
    appliance.wait_answering(daemon)
    appliance.penstock("apply", world.CONFIG, "--discard-changes")
    appliance.wait_all_up(daemon)


@pytest.fixture(name="variant")
def variant_fixture(tmp_path):
    """Makes a configuration file out of the lab's by replacing texts in it."""
    def make(*replacements):
        text = world.CONFIG.read_text(encoding="utf-8")
        for old, new in replacements:
            if old not in text:
                raise LabError(f"{world.CONFIG} has no {old!r} to replace")
            text = text.replace(old, new)
        path = tmp_path / "variant.toml"
        path.write_text(text, encoding="utf-8")
        return path
    return make
