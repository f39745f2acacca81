# SPDX-License-Identifier: Apache-2.0
"""The program that runs the dataplanes (executor.cc), at the other end of two pipes."""
import json
import struct
import subprocess

from model.outcomes import Outcome

FLOW_TABLE_ENTRIES = (64, 1024)
AFFINITY_PLACES = (80, 1376)  # of 48 entries and 1024
AFFINITY_TABLES = 6
MAX_SERVICES = 8
MAX_BACKENDS = 16


class ExecutorFailed(Exception):
    """It ended; what it said is in the log."""


class Executor:
    def __init__(self, program, dataplanes, log):
        self._process = subprocess.Popen([program, *dataplanes], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=log)
        self._log = log
        self.dataplanes = dataplanes
        self.names = json.loads(self._ask(b"H"))

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _ask(self, request):
        process = self._process
        try:
            process.stdin.write(struct.pack("<I", len(request)) + request)
            process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer is missing then
        length = process.stdout.read(4)
        if len(length) < 4:
            raise ExecutorFailed(f"{process.args[0]} ended with status {process.wait()}")
        return process.stdout.read(struct.unpack("<I", length)[0])

    def begin(self, appliance):
        entries = FLOW_TABLE_ENTRIES.index(appliance.flow_table_entries)
        self._ask(b"W" + bytes([entries]) + json.dumps(appliance.to_json()).encode())

    def configure(self, appliance):
        self._ask(b"C" + json.dumps(appliance.to_json()).encode())

    def play(self, frame, now_ns):
        """The outcomes: one if all dataplanes agree, else one of each in their order."""
        answer = self._ask(b"P" + struct.pack("<Q", now_ns) + frame)
        outcomes, at = [], 0
        while at < len(answer):
            interface, action, counted_bytes = struct.unpack_from("<IBI", answer, at)
            at += 9
            counted = frozenset(struct.iter_unpack("<BBHI", answer[at:at + counted_bytes]))
            at += counted_bytes
            frame_bytes, = struct.unpack_from("<I", answer, at)
            at += 4
            outcomes.append(Outcome(action, interface, counted, answer[at:at + frame_bytes]))
            at += frame_bytes
        return outcomes

    def flows(self, now_ns):
        """Live flows: {(0: by service, 1: by backend, state, id): how many}."""
        answer = self._ask(b"F" + struct.pack("<Q", now_ns))
        return {(table, state, number): count
                for table, state, number, count in struct.iter_unpack("<BBHQ", answer)}
