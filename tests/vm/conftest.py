# SPDX-License-Identifier: Apache-2.0
"""The fixture that every guest needs."""

import shutil

import pytest

from vm import kernel


@pytest.fixture(scope="session", name="stock")
def stock_fixture():
    """Debian 12's kernel, where there is an emulator to boot it."""
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("there is no qemu-system-x86_64")
    try:
        return kernel.fetch()
    except kernel.KernelUnavailable as failure:
        pytest.skip(str(failure))
