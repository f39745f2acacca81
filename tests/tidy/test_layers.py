# SPDX-License-Identifier: Apache-2.0
"""Who may include whom. A rule is a folder, and what its files may include."""

import re

from tidy.sources import sources

KERNEL_BASICS = r"<linux/types\.h>"
CORE = r'"dataplane/core/[^"]+"'
TABLES = r'"dataplane/tables/[^"]+"'
VALUES = r'"dataplane/[^/"]+"'  # the interface and its value types
STANDARD = r"<[^>]+>"
LIBBPF = r"<bpf/[^>]+>"
DPDK = r"<rte_[^>]+>"
NOTHING = r"(?!)"


def strangers(folder, *allowed):
    """Includes below the folder that none of the patterns allows."""
    return [f"{source.where(number)}: {target}" for source in sources(".c", ".cc", ".h")
            if source.is_below(folder) for number, target in source.includes()
            if not any(re.fullmatch(pattern, target) for pattern in allowed)]


def users(pattern, *homes):
    """Includes of a library outside the folders that may."""
    return [f"{source.where(number)}: {target}" for source in sources(".c", ".cc", ".h")
            if not source.is_below(*homes) for number, target in source.includes()
            if re.fullmatch(pattern, target)]


def test_the_core_uses_nothing_but_itself():
    found = strangers("dataplane/core", CORE, KERNEL_BASICS)
    assert not found, "\n".join(found)


def test_the_bpf_programs_use_the_core_only():
    found = strangers("bpf", CORE, '"bpf/[^"]+"', r"<linux/[^>]+>", LIBBPF)
    assert not found, "\n".join(found)


def test_the_tables_use_the_core_only():
    found = strangers("dataplane/tables", CORE, TABLES, VALUES, STANDARD)
    assert not found, "\n".join(found)


def test_a_driver_knows_neither_the_other_driver_nor_the_control_plane():
    """AF_XDP is the kernel's part of DPDK's."""
    found = [line for driver, more in (("xdp", NOTHING), ("af_xdp", NOTHING),
                                       ("dpdk", r'"dataplane/af_xdp/[^"]+"'))
             for line in strangers(f"dataplane/{driver}", f'"dataplane/{driver}/[^"]+"', more, CORE,
                                   TABLES, VALUES, STANDARD, r'"[a-z_]+\.skel\.h"')]
    assert not found, "\n".join(found)


def test_the_control_plane_sees_the_dataplane_by_its_interface():
    """But for what a verb of the command line starts, and the hash that both sides use."""
    found = strangers("controlplane", '"controlplane/[^"]+"', VALUES, STANDARD,
                      r'"dataplane/core/(types|reasons|siphash)\.h"',
                      r'"dataplane/xdp/(xdp_dataplane|decapsulator)\.h"',
                      r'"dataplane/dpdk/dpdk_dataplane\.h"')
    assert not found, "\n".join(found)


def test_libbpf_is_known_to_xdp_and_af_xdp_only():
    found = users(LIBBPF, "bpf", "dataplane/xdp", "dataplane/af_xdp", "tests")
    assert not found, "\n".join(found)


def test_dpdk_is_known_to_its_driver_only():
    found = users(DPDK, "dataplane/dpdk", "tests")
    assert not found, "\n".join(found)
