#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes inputs to begin from: `seeds.py DIRECTORY` fills DIRECTORY/walk and DIRECTORY/config.

The golden cases become scripts (steps.h) in the world that is nearest to theirs; for the
configuration there are the examples, and every text of its unit test.
"""
import hashlib
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TICK_MS = 268
NAT, SPREAD, DSR, LEFT_NAT, TUNNEL, TUNNEL_ACROSS, MIXED, REFUSING = 0, 1, 2, 3, 4, 5, 6, 8
SWAPS, ANSWERS = 4, 8  # of the arrival


def family_of(address):
    return 6 if ":" in address else 4


def world_of(configuration):
    """The place in kWorlds (worlds.cc)."""
    services = configuration["services"]
    modes = {service["mode"] for service in services}
    if not services or any(backend["next_hop"] is None for backend in configuration["backends"]):
        return REFUSING
    if len(modes) > 1:
        return MIXED
    if modes == {"nat"}:
        one_port = configuration["snat_port_first"] == configuration["snat_port_last"]
        return NAT if one_port and services[0]["hash"] == "client" else SPREAD
    if modes == {"dsr"}:
        return LEFT_NAT if services[0]["has_flows"] else DSR
    families = {family_of(backend["address"]) for backend in configuration["backends"]}
    return TUNNEL if families == {family_of(services[0]["address"])} else TUNNEL_ACROSS


def step_bytes(step):
    frame = bytes.fromhex(step["in"])[:2047]
    ticks = int(step.get("advance_ms", 0) / TICK_MS + 0.5)
    how = (SWAPS if "configuration" in step else 0) | (ANSWERS if step.get("snat_in") else 0)
    return bytes([min(ticks.bit_length(), 15), how]) + len(frame).to_bytes(2, "little") + frame


def scripts():
    corpus = json.loads((ROOT / "tests" / "golden" / "corpus.json").read_text("utf-8"))
    for case in corpus["cases"]:
        steps = b"".join(step_bytes(step) for step in case["steps"][:64])
        yield bytes([world_of(case["configuration"])]) + steps


def texts():
    for example in sorted((ROOT / "configs").glob("*.toml")):
        yield example.read_bytes()
    test = (ROOT / "tests" / "unit" / "config_test.cc").read_text("utf-8")
    for literal in re.findall(r'R"(\w*)\((.*?)\)\1"', test, re.DOTALL):
        yield literal[1].encode()


def write(directory, inputs):
    directory.mkdir(parents=True, exist_ok=True)
    for content in inputs:
        (directory / hashlib.sha1(content).hexdigest()).write_bytes(content)


if __name__ == "__main__":
    write(Path(sys.argv[1]) / "walk", scripts())
    write(Path(sys.argv[1]) / "config", texts())
