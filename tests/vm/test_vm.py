# SPDX-License-Identifier: Apache-2.0
"""What the users' kernel makes of penstock: it loads, decides every golden packet alike, attaches,
and in the lab's world gets on with that kernel's tunnels and on rough paths.

One boot serves all tests. Under emulation nothing here says how fast anything is.
"""

import json
import re
import shutil

import pytest

from lab import world
from vm import machine, root
from vm.verdicts import verdicts_of

CORPUS = world.ROOT / "tests" / "golden" / "corpus.json"
GOLDEN = world.BUILD / "tests" / "golden" / "golden_bpf_test"
UNIT = [world.BUILD / "tests" / "unit" / f"netlink_{subject}" for subject in ("stacks", "offloads")]
VERIFIER = world.BUILD / "tests" / "vm" / "verifier_test"
CASES = [case["name"] for case in json.loads(CORPUS.read_text())["cases"]]
# Of tests/lab/test_paths.py, which the guest runs.
ROUGH_PATHS = [f"test_on_a_rough_path_connections_last[{variant}]"
               for variant in ("nat", "dsr", "tunnel", "crossed")]
NARROW_TUNNELS = [
    f"test_the_client_is_told_of_a_tunnel_too_narrow_and_its_upload_arrives[{family}-{variant}]"
    for family in (4, 6) for variant in ("tunnel", "crossed")]
# Of tests/lab/test_layouts.py, which it runs too.
OF_A_MODE = ("clients_are_answered_each_by_one_instance", "a_download_arrives_whole",
             "full_packets_and_fragments_arrive", "the_kernel_answers_what_is_passed_to_it",
             "frames_leave_by_the_drivers_own_xdp")
OF_A_LAYOUT = ("status_tells_each_interface_and_what_it_stands_on",
               "tags_that_do_not_reach_xdp_are_told_of")
VLANS = [f"test_{test}[{layout}{mode}]" for layout in ("vlan", "trunk")
         for tests, modes in ((OF_A_MODE, ("-nat", "-dsr", "-tunnel")), (OF_A_LAYOUT, ("",)))
         for test in tests for mode in modes]
# And of tests/lab/test_tls.py.
TLS = ["test_each_client_meets_one_instance_by_http_https_and_websockets",
       "test_a_download_arrives_whole",
       "test_a_client_behind_a_narrow_path_gets_its_download_whole",
       *(f"test_http2_is_spoken_and_backends_hear_of_the_client[{family}]" for family in (4, 6))]


def executor_name(sentence):
    """As the executor makes a test's name of a case's."""
    words = (word[0].upper() + word[1:] for word in sentence.split(" ") if word)
    return re.sub("[^A-Za-z0-9]", "", "".join(words))


@pytest.fixture(scope="module", name="report")
def report_fixture(stock, tmp_path_factory):
    directory = tmp_path_factory.mktemp("vm")
    tree = directory / "root"
    root.fill(tree, stock, [world.PENSTOCK, GOLDEN, VERIFIER, *UNIT],
              (root.HERE / "stock_job").read_text())
    root.add_lab(tree)
    for file in (CORPUS, root.HERE / "guest.toml"):
        shutil.copy(file, tree)
    return machine.boot(stock, tree, directory)


@pytest.fixture(scope="module", name="verdicts")
def verdicts_fixture(report):
    assert "golden.xml" in report, f"the executor ended early:\n{report['log'][-6000:]}"
    return verdicts_of(report["golden.xml"])


@pytest.fixture(scope="module", name="lab_verdicts")
def lab_verdicts_fixture(report):
    assert "lab.xml" in report, f"pytest ended early:\n{report['lab'][-6000:]}"
    return verdicts_of(report["lab.xml"])


def test_the_kernel_is_debian_12s(report):
    assert report["kernel"].startswith("6.1."), report["kernel"]


@pytest.mark.parametrize("case", CASES)
def test_the_program_decides_as_the_core_does(verdicts, case):
    assert verdicts.get(executor_name(case), "was not run") == ""


def test_the_executor_ends_well(report):
    assert report["golden.status"].strip() == "0", report["log"][-6000:]


def test_the_verifier_has_steps_to_spare(report):
    (verdict,) = verdicts_of(report["verifier.xml"]).values()
    assert verdict == ""


def test_the_daemon_attaches_native_xdp_to_virtio_net(report):
    assert report["status.json"], report["log"][-6000:]
    (interface,) = json.loads(report["status.json"])["dataplane"]["interfaces"]
    assert (interface["name"], interface["attach_mode"]) == ("eth0", "native")
    assert not interface["degraded"]


def test_stop_detaches_it(report):
    assert report["stop.status"].strip() == "0", report["log"][-6000:]
    assert "already has an XDP program" not in report["decap"]  # which would be refused beside it


def test_a_nic_without_an_iommu_stays_the_kernels(report):
    assert "no IOMMU" in report["bind"]
    assert "takes apart" in report["decap"]  # which has it after that


def test_the_decapsulator_attaches(report):
    assert "takes apart" in report["decap"]
    assert "degraded" not in report["decap"]


@pytest.mark.parametrize("case", ROUGH_PATHS)
def test_connections_last_under_netem(lab_verdicts, case):
    assert lab_verdicts.get(case, "was not run") == ""


@pytest.mark.parametrize("case", NARROW_TUNNELS)
def test_the_kernels_own_decapsulators_take_the_packets(lab_verdicts, case):
    assert lab_verdicts.get(case, "was not run") == ""


@pytest.mark.parametrize("case", VLANS)
def test_clients_reach_services_over_vlans(lab_verdicts, case):
    assert lab_verdicts.get(case, "was not run") == ""


@pytest.mark.parametrize("case", TLS)
def test_the_sidecar_is_reached_and_goes_on(lab_verdicts, case):
    assert lab_verdicts.get(case, "was not run") == ""


@pytest.mark.parametrize("report_name", ["stacks.xml", "offloads.xml"])
def test_vlan_devices_are_read_as_the_kernel_makes_them(report, report_name):
    verdicts = verdicts_of(report[report_name])
    assert {name: complaint for name, complaint in verdicts.items() if complaint} == {}
