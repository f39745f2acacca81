#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the corpus: `cases.py > corpus.json`. The same cases give the same bytes.

The cases are in the modules that end in _cases.py; README.md says what corpus.json holds.
"""
import json
import sys

import access_cases
import affinity_cases
import cookie_cases
import dnat_cases
import extension_cases
import forwarding_cases
import fragment_cases
import hostile_cases
import icmp_cases
import stateless_cases
import vlan_cases


def write(cases, out):
    """One step a line, so that a change of one packet is a change of one line."""
    names = set()
    out.write('{"version": 1, "cases": [\n')
    for number, case in enumerate(cases):
        assert case["name"] not in names, f"two cases are called {case['name']}"
        names.add(case["name"])
        steps = case.pop("steps")
        head = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in case.items())
        body = ",\n".join(json.dumps(step) for step in steps)
        out.write((",\n" if number else "") + "{" + head + ',\n"steps": [\n' + body + "]}")
    out.write("\n]}\n")


if __name__ == "__main__":
    MODULES = (access_cases, affinity_cases, cookie_cases, dnat_cases, extension_cases,
               forwarding_cases, fragment_cases, hostile_cases, icmp_cases, stateless_cases,
               vlan_cases)
    write([case.to_json() for module in MODULES for case in module.cases()], sys.stdout)
