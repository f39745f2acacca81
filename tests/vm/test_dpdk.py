# SPDX-License-Identifier: Apache-2.0
"""DPDK's own driver on a virtio NIC behind an (emulated) IOMMU, bound to vfio-pci as a README says,
under the users' kernel, with the lab's world at the other end of its cable.

One boot serves all tests. Under emulation nothing here says how fast anything is.
"""

import shutil

import pytest

from lab import world
from vm import machine, root
from vm.verdicts import verdicts_of

# Of on_a_nic.py, which the guest runs.
ON_A_NIC = [f"test_{test}[{mode}{variant}]" for mode in world.WORLDS for test, variant in (
    ("status_names_the_nics_driver", ""),
    ("clients_are_answered_each_by_one_instance", "-http"),
    ("clients_are_answered_each_by_one_instance", "-udp"),
    ("a_download_arrives_whole", ""),
    ("full_packets_and_fragments_arrive", ""),
    ("echo_requests_are_answered", ""),
    ("connections_outlive_a_forwarder", ""))]


@pytest.fixture(scope="module", name="report")
def report_fixture(stock, tmp_path_factory):
    if not world.PENSTOCK_DPDK.exists():
        pytest.skip("there is no penstock-dpdk: it was built without DPDK")
    directory = tmp_path_factory.mktemp("dpdk")
    tree = directory / "root"
    root.fill(tree, stock, [world.PENSTOCK, world.PENSTOCK_DPDK],
              (root.HERE / "dpdk_job").read_text())
    root.add_dpdk(tree)
    root.add_lab(tree)
    there = tree / "penstock" / "tests" / "vm"
    there.mkdir()
    for file in ("__init__.py", "on_a_nic.py"):
        shutil.copy(root.HERE / file, there)
    return machine.boot(stock, tree, directory, machine.BEHIND_IOMMU)


@pytest.fixture(scope="module", name="nic_verdicts")
def nic_verdicts_fixture(report):
    assert "nic.xml" in report, f"pytest ended early:\n{report['nic'][-6000:]}"
    return verdicts_of(report["nic.xml"])


def test_a_nic_is_bound_to_vfio_pci(report):
    assert report["bind.status"].strip() == "0", report["bind"]
    assert report["driver"].strip() == "vfio-pci"
    address = report["address"].strip()
    assert report["bind"].startswith(f"{address} (eth0, MAC 02:00:00:00:00:fe, before: virtio-pci)")
    assert "/dev/vfio/" in report["bind"]


def test_binding_it_again_changes_nothing(report):
    assert report["bind-again.status"].strip() == "0", report["bind-again"]
    assert "is vfio-pci's already" in report["bind-again"]


@pytest.mark.parametrize("attempt, reason", [
    ("bind-in-use", "eth0 is up"),
    ("bind-without-module", "has no module vfio-pci"),
])
def test_a_nic_stays_the_kernels(report, attempt, reason):
    assert report[f"{attempt}.status"].strip() == "1"
    assert reason in report[attempt]
    assert report["driver-before"].strip() == "virtio-pci"


@pytest.mark.parametrize("case", ON_A_NIC)
def test_penstock_dpdk_forwards_on_it(report, nic_verdicts, case):
    assert nic_verdicts.get(case, "was not run") == "", report.get("penstock", "")[-2000:]
