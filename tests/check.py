#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Installs what is missing, builds, runs every test, and counts them.

The last line is `N passed, N failed, N skipped`; the exit status is 0 when none failed. Each stage
writes a log to build/check/ and prints one line; a failing one shows the end of its log.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests"))
from lab import packages  # noqa: E402

BUILD = ROOT / "build"
SANITIZED = ROOT / "build-asan"
RESULTS = BUILD / "check"
PYTEST = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider"]


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: list = field(default_factory=list)  # a line each: the test and why

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def run(command, log, environment=None):
    """Runs a command with its output in the log file; returns its exit status."""
    with open(log, "ab") as out:
        return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                              env={**os.environ, **(environment or {})}, check=False).returncode


def one(succeeded):
    return Count(passed=1) if succeeded else Count(failed=1)


def count_gtest(path):
    count = Count()
    for suite in json.loads(path.read_text())["testsuites"]:
        for test in suite["testsuite"]:
            name = f"{suite['name']}.{test['name']}"
            if test.get("failures"):
                count.failed += 1
            elif test.get("result") == "SKIPPED":
                reasons = [note["message"].splitlines()[-1] for note in test.get("skipped", [])]
                count.skipped.append(f"{name}: {' '.join(reasons)}")
            else:
                count.passed += 1
    return count


def count_junit(path):
    count = Count()
    for case in xml.parse(path).getroot().iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed += 1
        elif skipped is not None:
            count.skipped.append(f"{case.get('name')}: {skipped.get('message')}")
        else:
            count.passed += 1
    return count


def gtests(build, log, environment=None):
    """Every GoogleTest program that meson knows, each test counted."""
    listed = subprocess.run(["meson", "introspect", "--tests", str(build)], check=True,
                            capture_output=True, text=True).stdout
    count = Count()
    for test in json.loads(listed):
        result = RESULTS / f"{build.name}-{test['name']}.json"
        result.unlink(missing_ok=True)
        status = run([*test["cmd"], f"--gtest_output=json:{result}"], log,
                     {**test["env"], **(environment or {})})
        found = count_gtest(result) if result.exists() else Count(failed=1)
        if status != 0 and found.failed == 0:
            found.failed = 1  # a crash, or a sanitizer's report at exit
        count.add(found)
    return count


def pytests(folder, log):
    result = RESULTS / f"{folder.replace('/', '-')}.xml"
    result.unlink(missing_ok=True)
    status = run([*PYTEST, folder, f"--junitxml={result}"], log)
    count = count_junit(result) if result.exists() else Count(failed=1)
    if status not in (0, 5) and count.failed == 0:
        count.failed = 1
    return count


def sources(*patterns):
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout
    return listed.split()


def stage_build(log):
    if not (BUILD / "build.ninja").exists() and run(["meson", "setup", str(BUILD)], log) != 0:
        return Count(failed=1)
    return one(run(["ninja", "-C", str(BUILD)], log) == 0)


def stage_format(log):
    return one(run(["clang-format-16", "--dry-run", "-Werror",
                    *sources("*.cc", "*.h", "*.c")], log) == 0)


def stage_tidy(log):
    return pytests("tests/tidy", log)


def stage_tests(log):
    return gtests(BUILD, log)


def stage_sanitizers(log):
    if not (SANITIZED / "build.ninja").exists() and run(
            ["meson", "setup", str(SANITIZED), "-Db_sanitize=address,undefined",
             "-Db_lundef=false", "-Dcpp_args=-fno-sanitize-recover=all"], log) != 0:
        return Count(failed=1)
    if run(["ninja", "-C", str(SANITIZED)], log) != 0:
        return Count(failed=1)
    return gtests(SANITIZED, log, {"ASAN_OPTIONS": "detect_stack_use_after_return=0"})


def stage_lint(log):
    """clang-tidy over every C++ file; one test a file."""
    files = [name for name in sources("*.cc") if not name.endswith("_bench.cc")]

    def lint(name):
        done = subprocess.run(["clang-tidy-16", "--quiet", "-p", str(BUILD), name], cwd=ROOT,
                              capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stdout + done.stderr

    count = Count()
    with ThreadPoolExecutor(os.cpu_count()) as pool, open(log, "a", encoding="utf-8") as out:
        for clean, said in pool.map(lint, files):
            count.add(one(clean))
            if not clean:
                out.write(said)
    return count


def stage_lab(log):
    return pytests("tests/lab", log)


def stage_vm(log):
    return pytests("tests/vm", log)


STAGES = {
    "build": stage_build, "format": stage_format, "tidy": stage_tidy, "tests": stage_tests,
    "lab": stage_lab, "sanitizers": stage_sanitizers, "vm": stage_vm, "lint": stage_lint,
}


def perform(name):
    log = RESULTS / f"{name}.log"
    log.unlink(missing_ok=True)
    started = time.monotonic()
    print(f"{name:12}", end="", flush=True)
    count = STAGES[name](log)
    print(f"{count.passed:5} passed {count.failed:4} failed {len(count.skipped):4} skipped "
          f"{time.monotonic() - started:7.1f} s", flush=True)
    for line in count.skipped:
        print(f"  skipped {line}")
    if count.failed and log.exists():
        print("  " + "\n  ".join(log.read_text(errors="replace").splitlines()[-60:]))
    return count


def main():
    parser = argparse.ArgumentParser(prog="./check", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", action="append", choices=STAGES, help="only this; may repeat")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    if missing := packages.missing():
        if os.geteuid() != 0:
            sys.exit(f"check: these packages are missing, and only root can install them: "
                     f"{' '.join(missing)}")
        print("installing " + " ".join(missing), flush=True)
        packages.install(missing)
    total = Count()
    for name in options.stage or STAGES:
        count = perform(name)
        total.add(count)
        if name == "build" and count.failed:
            break
    print(f"{total.passed} passed, {total.failed} failed, {len(total.skipped)} skipped")
    sys.exit(1 if total.failed else 0)


if __name__ == "__main__":
    main()
