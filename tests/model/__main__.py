# SPDX-License-Identifier: Apache-2.0
"""Random packets through the dataplanes and the reference model: the same outcomes, or the first
difference and the command that shows it again."""
import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

from model import report
from model.executor import AFFINITY_PLACES, FLOW_TABLE_ENTRIES, Executor, ExecutorFailed
from model.flows import TICK_SHIFT
from model.reference import Model
from model.traffic import Traffic
from model.worlds import World

ROOT = Path(__file__).resolve().parents[2]
PACKETS_OF_A_WORLD = 500
COUNT_FLOWS_EVERY = 16
HALF_AN_HOUR_MS = 1_800_000  # for which a client's hop is known, in mode dnat
COOKIE_EPOCH_MS = 68_719


class Difference(Exception):
    """What was seen is not what the model allows."""


def parse():
    parser = argparse.ArgumentParser(prog="tests/model/run", description=__doc__)
    parser.add_argument("--packets", type=int, default=20_000)
    parser.add_argument("--seed", type=int, help="the same packets as another time")
    parser.add_argument("--world", type=int, help="that one of the seed's worlds only")
    parser.add_argument("--core-only", action="store_true", help="leave the BPF program out")
    parser.add_argument("--executor", type=Path,
                        default=ROOT / "build" / "tests" / "model" / "model_executor")
    return parser.parse_args()


class Play:
    """One world and its packets."""

    def __init__(self, executor, seed, number):
        self.executor = executor
        self.random = random.Random(f"{seed}/{number}")
        self.world = World(self.random)
        appliance = self.world.appliance
        sizes = FLOW_TABLE_ENTRIES.index(appliance.flow_table_entries)
        self.model = Model(executor.names, places=appliance.flow_table_entries // 8 * 10,
                           affinity_places=AFFINITY_PLACES[sizes])
        timeouts = (appliance.tcp_half_open, appliance.tcp_closing, appliance.udp_half_open,
                    appliance.tcp_established, appliance.udp_established, HALF_AN_HOUR_MS,
                    COOKIE_EPOCH_MS)
        self.traffic = Traffic(self.random, self.world, timeouts)
        self.now_ns = self._first_ns()
        self.packets = 0
        self.model_s = 0.0
        self.fates = Counter()

    def _first_ns(self):
        """Also shortly before one of the moments at which a count of ticks wraps."""
        tick = self.random.choice((self.random.randrange(1 << 20, 1 << 31),
                                   (self.random.randrange(1, 100) << 24) - 100))
        return (tick << TICK_SHIFT) + self.random.randrange(1 << TICK_SHIFT)

    def run(self, packets):
        self.executor.begin(self.world.appliance)
        self.model.configure(self.world.appliance)
        for _ in range(packets):
            if self.random.random() < 0.02:
                self.world.change()
                self.executor.configure(self.world.appliance)
                self.model.configure(self.world.appliance)
            self.now_ns += self.traffic.step_ms() * 1_000_000
            self._packet(self.traffic.next())

    def _packet(self, frame):
        self.packets += 1
        outcomes = self.executor.play(frame, self.now_ns)
        if len(outcomes) > 1:
            raise Difference(report.disagreement(self, frame, outcomes))
        before = time.perf_counter()
        flows = len(self.model.flows.by_return)
        expected = self.model.judge(frame, self.now_ns >> TICK_SHIFT, outcomes[0])
        self.model_s += time.perf_counter() - before
        if expected:
            raise Difference(report.difference(self, frame, expected, outcomes[0]))
        self.fates[report.fate(self.executor.names, outcomes[0])] += 1
        self.traffic.seen(outcomes[0])
        if flows != len(self.model.flows.by_return) or self.packets % COUNT_FLOWS_EVERY == 0:
            self._count_flows()

    def _count_flows(self):
        counted = self.executor.flows(self.now_ns)
        wrong = self.model.recount(counted, self.now_ns >> TICK_SHIFT)
        if wrong:
            raise Difference(report.miscount(self, wrong))


def main():
    options = parse()
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    dataplanes = ["core"] if options.core_only or os.geteuid() != 0 else ["core", "bpf"]
    worlds = range(-(-options.packets // PACKETS_OF_A_WORLD))
    print(f"seed {seed}: {options.packets} packets through {', '.join(dataplanes)} and the model",
          flush=True)
    if dataplanes == ["core"] and not options.core_only:
        print("the BPF program needs root: left out", flush=True)
    began, model_s, fates = time.monotonic(), 0.0, Counter()
    executor = Executor(options.executor, dataplanes, sys.stderr)
    for number in worlds if options.world is None else (options.world,):
        play = Play(executor, seed, number)
        try:
            play.run(PACKETS_OF_A_WORLD)
        except (Difference, ExecutorFailed) as failure:
            print(f"{failure}\nagain: tests/model/run --seed {seed} --world {number}"
                  + (" --core-only" if options.core_only else ""))
            return 1
        model_s += play.model_s
        fates += play.fates
    executor.close()
    seconds = time.monotonic() - began
    print("  ".join(f"{fate} {count}" for fate, count in fates.most_common()))
    print(f"{fates.total()} packets, {seconds:.1f} s: no difference; "
          f"the model itself: {fates.total() / model_s:.0f} packets/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
