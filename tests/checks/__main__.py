# SPDX-License-Identifier: Apache-2.0
"""Builds and runs the tests. The last line is `N passed, N failed, N skipped`."""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from checks.fuzz import FUZZ_RUN
from checks.process import REPORTS
from checks.results import Tally
from checks.stages import ALL, BENCH, MODEL_RUN, QUICK, STAGES, USUAL

LOG_TAIL_LINES = 60


def parse():
    parser = argparse.ArgumentParser(prog="./check", description=__doc__)
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", dest="extent", action="store_const", const=QUICK,
                        default=USUAL, help="leave out the lab")
    extent.add_argument("--all", dest="extent", action="store_const", const=ALL,
                        help="also what takes an hour: sanitizers, fuzzers, the VM, clang-tidy")
    parser.add_argument("--stage", metavar="NAME", help="that stage, and what it needs")
    parser.add_argument("--bench", action="store_true", help="the benchmark too")
    parser.add_argument("--model-packets", type=int, metavar="N", default=MODEL_RUN.packets,
                        help="how many random packets the stages of the reference model play")
    parser.add_argument("--model-seed", type=int, metavar="N", help="the same ones as then")
    parser.add_argument("--fuzz-seconds", metavar="N", type=int, default=FUZZ_RUN.seconds,
                        help="how long each fuzzer runs")
    parser.add_argument("--fuzz-seed", metavar="N", type=int, default=FUZZ_RUN.seed,
                        help="what their chance begins from")
    parser.add_argument("--list", action="store_true", help="name the stages")
    return parser.parse_args()


def chosen(options):
    stages = (*STAGES, BENCH)
    if options.stage is None:
        chosen_stages = [stage for stage in STAGES if stage.extent <= options.extent]
        return chosen_stages + ([BENCH] if options.bench else [])
    if options.stage not in (stage.name for stage in stages):
        sys.exit(f"check: no stage {options.stage!r}: see ./check --list")
    needs = {options.stage, *(stage.after for stage in stages if stage.name == options.stage)}
    return [stage for stage in stages if stage.needed or stage.name in needs]


def together(stages):
    """The stages, those in one list that are to run beside each other."""
    groups = []
    for stage in stages:
        if groups and stage.beside and groups[-1][-1].name == stage.beside:
            groups[-1].append(stage)
        else:
            groups.append([stage])
    return groups


def perform(stages):
    """Returns the tally of each. The figures of the second one are those from when both began."""
    for stage in stages:
        log_of(stage).unlink(missing_ok=True)
    began = time.monotonic()
    with ThreadPoolExecutor(len(stages)) as pool:
        print(f"{stages[0].name:<11}", end="", flush=True)
        tallies = [pool.submit(stage.action, log_of(stage)) for stage in stages]
        for stage, tally in zip(stages, tallies):
            if stage is not stages[0]:
                print(f"{stage.name:<11}", end="", flush=True)
            tell(stage, tally.result(), time.monotonic() - began)
    return [tally.result() for tally in tallies]


def log_of(stage):
    return REPORTS / f"{stage.name}.log"


def tell(stage, tally, seconds):
    log = log_of(stage)
    print(f"{seconds:7.1f} s  {tally}", flush=True)
    for name, reason in tally.skips:
        print(f"    skipped {name}: {reason}")
    if tally.failures:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        print("\n".join(f"    | {line}" for line in lines[-LOG_TAIL_LINES:]))
        print("\n".join(f"    failed {name}" for name in tally.failures))
        print(f"    the whole log: {log}", flush=True)


def main():
    options = parse()
    if options.list:
        for stage in (*STAGES, BENCH):
            option = " (--bench)" if stage is BENCH else " (--all)" if stage.extent == ALL else ""
            print(f"{stage.name:<11} {stage.what}{option}")
        return 0
    MODEL_RUN.packets, MODEL_RUN.seed = options.model_packets, options.model_seed
    REPORTS.mkdir(parents=True, exist_ok=True)
    FUZZ_RUN.seconds, FUZZ_RUN.seed = options.fuzz_seconds, options.fuzz_seed
    total = Tally()
    for group in together(chosen(options)):
        tallies = perform(group)
        for tally in tallies:
            total += tally
        if group[0].needed and tallies[0].failures:
            print(f"the stages after {group[0].name} need it")
            break
    print(total)
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
