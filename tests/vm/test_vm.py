# SPDX-License-Identifier: Apache-2.0
"""What the users' kernel makes of penstock: it loads, decides every golden packet alike, attaches.

One boot serves all tests. Under emulation nothing here says how fast anything is.
"""

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import pytest

from lab import world
from vm import kernel, machine

CORPUS = world.ROOT / "tests" / "golden" / "corpus.json"
GOLDEN = world.BUILD / "tests" / "golden" / "golden_bpf_test"
CASES = [case["name"] for case in json.loads(CORPUS.read_text())["cases"]]


def executor_name(sentence):
    """As the executor makes a test's name of a case's."""
    words = (word[0].upper() + word[1:] for word in sentence.split(" ") if word)
    return re.sub("[^A-Za-z0-9]", "", "".join(words))


@pytest.fixture(scope="module", name="report")
def report_fixture(tmp_path_factory):
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("there is no qemu-system-x86_64")
    try:
        stock = kernel.fetch()
    except kernel.KernelUnavailable as failure:
        pytest.skip(str(failure))
    return machine.boot(stock, [world.PENSTOCK, GOLDEN], [CORPUS, machine.HERE / "guest.toml"],
                        tmp_path_factory.mktemp("vm"))


@pytest.fixture(scope="module", name="verdicts")
def verdicts_fixture(report):
    """By the test's name: what it complained of, nothing if it passed."""
    assert "golden.xml" in report, f"the executor ended early:\n{report['log'][-6000:]}"
    return {case.get("name"): case.findtext("failure") or case.findtext("skipped") or ""
            for case in ElementTree.fromstring(report["golden.xml"]).iter("testcase")}


def test_the_kernel_is_debian_12s(report):
    assert report["kernel"].startswith("6.1."), report["kernel"]


@pytest.mark.parametrize("case", CASES)
def test_the_program_decides_as_the_core_does(verdicts, case):
    assert verdicts.get(executor_name(case), "was not run") == ""


def test_the_executor_ends_well(report):
    assert report["golden.status"].strip() == "0", report["log"][-6000:]


def test_the_daemon_attaches_native_xdp_to_virtio_net(report):
    assert report["status.json"], report["log"][-6000:]
    (interface,) = json.loads(report["status.json"])["dataplane"]["interfaces"]
    assert (interface["name"], interface["attach_mode"]) == ("eth0", "native")
    assert not interface["degraded"]


def test_stop_detaches_it(report):
    assert report["stop.status"].strip() == "0", report["log"][-6000:]
    assert "already has an XDP program" not in report["decap"]  # which would be refused beside it


def test_the_decapsulator_attaches(report):
    assert "takes apart" in report["decap"]
    assert "degraded" not in report["decap"]
