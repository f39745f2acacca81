# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over every compiled source, two at a time; what was clean and has not changed is not
looked at again. The fuzzers' own sources are of their own build.

A source is clean by the hash of all that its answer depends on: the rules, its command line, and
the files of this repository that the compiler read for it, as ninja knows them.
"""

import hashlib
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from checks.process import BUILD, FUZZ_BUILD, ROOT
from checks.results import Tally

CLEAN = BUILD / "check" / "clean"


def stage(log):
    CLEAN.mkdir(parents=True, exist_ok=True)
    keys = {**keys_in(BUILD, ""), **keys_in(FUZZ_BUILD, "../tests/fuzz/")}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(examine, keys, keys.values()))
    tally = Tally()
    with open(log, "a", encoding="utf-8") as out:
        for (_, source), complaint in zip(keys, answers):
            name = f"clang-tidy finds nothing in {source.removeprefix('../')}"
            tally += Tally.of(name, not complaint)
            out.write(complaint)
    for stale in set(CLEAN.iterdir()) - {CLEAN / key for key in keys.values()}:
        stale.unlink()
    return tally


def keys_in(build, prefix):
    """By build and source: those whose path from the build begins so."""
    commands = json.loads((build / "compile_commands.json").read_text())
    dependencies = read_dependencies(build)
    return {(build, entry["file"]): key_of(build, entry, dependencies) for entry in commands
            if entry["file"].startswith(prefix)}


def examine(place, key):
    """What clang-tidy complains of; nothing for a clean source."""
    if (CLEAN / key).exists():
        return ""
    build, source = place
    # Behind whatever else wants a processor, as the stage beside it does.
    done = subprocess.run(["chrt", "--idle", "0",
                           "clang-tidy-16", "--quiet", "-p", build, build / source],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        (CLEAN / key).touch()
        return ""
    return done.stdout or done.stderr or f"clang-tidy ended with status {done.returncode}\n"


def read_dependencies(build):
    """By object: the files of this repository, generated ones too, that it was made of."""
    listed = subprocess.run(["ninja", "-C", build, "-t", "deps"], capture_output=True, text=True,
                            check=True).stdout
    dependencies, current = {}, []
    for line in listed.splitlines():
        if line.startswith("    "):
            path = (build / line.strip()).resolve()
            if path.is_relative_to(ROOT):
                current.append(path)
        elif ": #deps" in line:
            current = dependencies.setdefault(line.split(":")[0], [])
    return dependencies


def key_of(build, entry, dependencies):
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes() + entry["command"].encode())
    own = (build / entry["file"]).resolve()
    for path in sorted({own, *dependencies.get(entry["output"], [])}):
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()
