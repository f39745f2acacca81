# SPDX-License-Identifier: Apache-2.0
"""The stages of ./check, in their order. Each takes the path of its log and returns a Tally."""

import json
import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from typing import Callable

from checks import fuzz, tidy
from checks.process import ASAN_BUILD, BUILD, FUZZ_BUILD, PYTHON, REPORTS, ROOT, run
from checks.results import Tally, read_junit
from lab import packages
from lab.netns import LabError

SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


# The least that a stage is part of: --quick, ./check as it is, or --all.
QUICK, USUAL, ALL = range(3)


@dataclass(frozen=True)
class Stage:
    name: str
    what: str
    action: Callable
    extent: int = QUICK
    needed: bool = False  # the stages after it are pointless if it fails
    after: str = ""  # the stage that this one is pointless without
    beside: str = ""  # the stage right before, which leaves a processor idle: both at once


def install(log):
    missing = packages.missing()
    if not missing:
        return Tally()
    if os.geteuid() != 0:
        log.write_text(f"run as root, or install: {' '.join(missing)}\n")
        return Tally(failures=["the packages of configs/debian-packages.txt are there"])
    try:
        packages.install(missing)
    except LabError as failure:
        log.write_text(f"{failure}\n")
        return Tally(failures=["the packages of configs/debian-packages.txt are there"])
    return Tally()


def build(log):
    return build_in(BUILD, [], log)


def build_in(directory, options, log, environment=None, targets=()):
    if not (directory / "build.ninja").exists():
        if run(["meson", "setup", directory, ROOT, *options], log, environment) != 0:
            shutil.rmtree(directory, ignore_errors=True)  # half a set-up would not be tried again
            return Tally(failures=[f"meson sets {directory.name} up"])
    done = run(["ninja", "-C", directory, *targets], log, limit_s=1800)
    return Tally() if done == 0 else Tally(failures=[f"{directory.name} builds"])


def format_check(log):
    tracked = subprocess.run(["git", "ls-files", "*.cc", "*.h", "*.c"], cwd=ROOT,
                             capture_output=True, text=True, check=True).stdout.split()
    done = run(["clang-format-16", "--dry-run", "-Werror", *tracked], log)
    return Tally.of("every file is as clang-format-16 writes it", done == 0)


def gtest_suites(*suites, directory=BUILD, environment=None):
    def stage(log):
        listed = subprocess.run(["meson", "introspect", "--tests", directory], check=True,
                                capture_output=True, text=True).stdout
        tally = Tally()
        for test in json.loads(listed):
            if set(suites) & {name.split(":")[-1] for name in test["suite"]}:
                report = REPORTS / f"{directory.name}-{test['name'].replace(' ', '-')}.xml"
                tally += run_reporting(test["name"], test["cmd"], f"--gtest_output=xml:{report}",
                                       report, log, {**test["env"], **(environment or {})})
        return tally
    return stage


def pytest_suite(folder, *options, name=None, environment=None):
    def stage(log):
        report = REPORTS / f"{name or folder}.xml"
        command = [PYTHON, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short",
                   f"tests/{folder}", *options]
        return run_reporting(f"tests/{folder}", command, f"--junitxml={report}", report, log,
                             environment)
    return stage


def run_reporting(name, command, report_option, report, log, environment=None):
    report.unlink(missing_ok=True)
    status = run([*command, report_option], log, environment)
    return read_junit(report, name, status)


def asan_build(log):
    # Unoptimised: with the sanitizers' checks in it, optimising takes six times as long.
    return build_in(ASAN_BUILD, ["-Dbuildtype=debug", "-Db_sanitize=address,undefined",
                                 "-Db_lundef=false"], log,
                    targets=["meson-test-prereq", "tests/model/model_executor"])


@dataclass
class ModelRun:
    """What the options of ./check say about it; without a seed every run has another one."""

    packets: int = 50_000
    seed: int | None = None


MODEL_RUN = ModelRun()


def model(directory=BUILD, dataplanes=(), environment=None, share=1):
    """`share`: it plays so much less than the options say."""
    def stage(log):
        packets = MODEL_RUN.packets // share
        seed = random.randrange(1 << 32) if MODEL_RUN.seed is None else MODEL_RUN.seed
        print(f"seed {seed:<10} ", end="", flush=True)
        command = [ROOT / "tests" / "model" / "run", "--packets", str(packets),
                   "--seed", str(seed), "--executor", directory / "tests/model/model_executor",
                   *dataplanes]
        done = run(command, log, environment, limit_s=120 + MODEL_RUN.packets // 500)
        tally = Tally.of(f"random packets of seed {seed} are forwarded as by the model", done == 0)
        if os.geteuid() != 0 and not dataplanes:
            tally.skips.append(("the BPF program under the model", "needs root"))
        return tally
    return stage


def fuzz_build(log):
    # Optimised a little: three to seven times as many inputs in the same time.
    return build_in(FUZZ_BUILD, ["-Dfuzzers=true", "-Doptimization=1", "-Dtests=disabled",
                                 "-Db_sanitize=address,undefined", "-Db_lundef=false"], log,
                    {"CC": "ccache clang-16", "CXX": "ccache clang++-16"})


def bench(log):
    done = run([BUILD / "tests" / "bench" / "walk_bench"], log)
    print(log.read_text(errors="replace"), end="")
    return Tally.of("walk_bench runs", done == 0)


STAGES = (
    Stage("packages", "install the Debian packages that are missing", install, needed=True),
    Stage("build", "build everything", build, needed=True),
    Stage("format", "clang-format", format_check),
    Stage("style", "tests/tidy: lengths, include direction, headers", pytest_suite("tidy")),
    Stage("unit", "unit tests", gtest_suites("unit")),
    Stage("golden", "golden packets: the core in process, the BPF program, the DPDK worker",
          gtest_suites("golden")),
    Stage("model", "random packets: the core, the BPF program and the reference model", model()),
    Stage("lab", "the daemon in the lab", pytest_suite("lab"), USUAL),
    Stage("lab-dpdk", "the same with penstock-dpdk",
          pytest_suite("lab", name="lab-dpdk", environment={"PENSTOCK_LAB_DRIVER": "dpdk"}), USUAL),
    Stage("asan-build", "build the tests with address and UB sanitizers", asan_build, ALL),
    Stage("asan", "the unit and golden tests with them",
          gtest_suites("unit", "golden", directory=ASAN_BUILD, environment=SANITIZERS), ALL,
          after="asan-build"),
    Stage("asan-model", "random packets through the core with them, and the reference model",
          model(ASAN_BUILD, ("--core-only",), SANITIZERS, share=10), ALL, after="asan-build"),
    Stage("fuzz-build", "build the fuzzers with clang, coverage and those sanitizers", fuzz_build,
          ALL),
    Stage("fuzz", "the packet walk and the configuration, 30 s each", fuzz.stage, ALL,
          after="fuzz-build"),
    Stage("vm", "Debian 12's stock kernel under emulation", pytest_suite("vm"), ALL),
    Stage("clang-tidy", "clang-tidy, one test a source", tidy.stage, ALL, after="fuzz-build",
          beside="vm"),
)
BENCH = Stage("bench", "ns per packet, next to bare XDP_TX", bench)
