# SPDX-License-Identifier: Apache-2.0
"""The fuzzers, side by side, each from its committed corpus. What they find fails the stage."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from checks.process import FUZZ_BUILD, REPORTS, ROOT, run
from checks.results import Tally


@dataclass
class FuzzRun:
    """What the options of ./check say about it."""

    seconds: int = 30  # each
    seed: int = 1


FUZZ_RUN = FuzzRun()
FUZZERS = ("walk", "config")
FOLDER = ROOT / "tests" / "fuzz"
FINDINGS = REPORTS / "fuzz"  # inputs that a fuzzer ended with; they stay until they are deleted
LIMITS = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=4096"]
SYMBOLIZER = {"ASAN_SYMBOLIZER_PATH": "/usr/lib/llvm-16/bin/llvm-symbolizer"}


def stage(log):
    print(f"seed {FUZZ_RUN.seed:<10} ", end="", flush=True)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    tally = Tally()
    with ThreadPoolExecutor(len(FUZZERS)) as pool:
        for name, complaint in zip(FUZZERS, pool.map(fuzz, FUZZERS)):
            tally += Tally.of(f"{name}_fuzz finds nothing in {FUZZ_RUN.seconds} s", not complaint)
            with open(log, "a", encoding="utf-8") as out:
                out.write(complaint)
    return tally


def fuzz(name):
    """What there is to say of a finding; nothing when there was none."""
    program = FUZZ_BUILD / "tests" / "fuzz" / f"{name}_fuzz"
    own_log = REPORTS / f"fuzz-{name}.log"
    grown = FINDINGS / f"{name}-new"  # inputs that reach more; of no use after the run
    own_log.unlink(missing_ok=True)
    shutil.rmtree(grown, ignore_errors=True)
    grown.mkdir()
    dictionary = FOLDER / f"{name}.dict"
    options = [f"-dict={dictionary}"] if dictionary.exists() else []
    options += [f"-max_total_time={FUZZ_RUN.seconds}", f"-seed={FUZZ_RUN.seed}"]
    status = run([program, grown, FOLDER / f"{name}_corpus", *options, *LIMITS,
                  f"-artifact_prefix={FINDINGS}/{name}-"],
                 own_log, SYMBOLIZER, limit_s=FUZZ_RUN.seconds + 120)
    shutil.rmtree(grown)
    return "" if status == 0 else describe(name, program, own_log, status)


def describe(name, program, own_log, status):
    said = own_log.read_text(errors="replace")
    told = [line for line in said.splitlines() if not line.startswith(("#", "INFO"))][:40]
    told.append(f"{name}_fuzz ended with status {status}; all it said: {own_log}")
    for path in re.findall(r"Test unit written to (\S+)", said):
        told.append(f"the input: {path}")
        told.append(f"again: {program.relative_to(ROOT)} {path}")
    return "\n".join(told) + "\n"
