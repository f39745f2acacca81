# SPDX-License-Identifier: Apache-2.0
"""What every file has: a licence, an opening, a bounded size, a place in the build."""

import ast
import re

from tidy.sources import ROOT, programs, sources

DUAL = "(GPL-2.0-only OR Apache-2.0)"  # what the kernel loads
FILE_LINES = 600
LINE_COLUMNS = 100
FUNCTION_LINES = 70


def test_a_file_names_its_licence():
    wrong = []
    for source in programs():
        expected = DUAL if source.is_below("bpf", "dataplane/core") else "Apache-2.0"
        if source.path.endswith(".bpf.c"):
            expected = DUAL
        if not any(line.endswith(f"SPDX-License-Identifier: {expected}")
                   for line in source.lines[:2]):
            wrong.append(f"{source.where(1)}: expected SPDX-License-Identifier: {expected}")
    assert not wrong, "\n".join(wrong)


def test_a_file_opens_by_saying_what_it_owns():
    silent = []
    for source in programs():
        after_licence = [line for line in source.lines[:4] if "SPDX" not in line
                         and not line.startswith("#!")]
        if not after_licence or not re.match(r'//|#|"""', after_licence[0]):
            silent.append(f"{source.where(2)}: no comment says what this file is")
    assert not silent, "\n".join(silent)


def test_a_header_is_included_once():
    bare = [source.where(1) for source in sources(".h") if "#pragma once" not in source.lines]
    assert not bare, "no #pragma once:\n" + "\n".join(bare)


def test_a_file_has_at_most_600_lines():
    long = [f"{source.path}: {len(source.lines)} lines" for source in programs()
            if len(source.lines) > FILE_LINES]
    assert not long, "\n".join(long)


def test_a_line_has_at_most_100_columns():
    long = [f"{source.where(number)}: {len(line)} columns" for source in programs()
            for number, line in enumerate(source.lines, 1) if len(line) > LINE_COLUMNS]
    assert not long, "\n".join(long)


def test_a_python_function_has_at_most_70_lines():
    """Those of C and C++ are clang-tidy's: readability-function-size."""
    long = [f"{source.where(node.lineno)}: {node.name} has {lines} lines"
            for source in sources(".py") for node in ast.walk(ast.parse("\n".join(source.lines)))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and (lines := node.end_lineno - node.lineno + 1) > FUNCTION_LINES]
    assert not long, "\n".join(long)


def test_every_compiled_file_is_named_by_a_meson_build():
    builds = {source.path.rpartition("/")[0]: "\n".join(source.lines)
              for source in sources("meson.build")}
    orphans = []
    for source in sources(".c", ".cc"):
        folder, _, name = source.path.rpartition("/")
        named = any(re.search(rf"'{re.escape(source.path.removeprefix(place).lstrip('/'))}'", text)
                    for place, text in builds.items() if (folder + "/").startswith(place))
        if not named:
            orphans.append(f"{source.path}: no meson.build names {name}")
    assert not orphans, "\n".join(orphans)


def test_every_folder_at_the_top_explains_itself():
    tops = {source.path.split("/")[0] for source in sources("") if "/" in source.path}
    bare = [top for top in sorted(tops) if not top.startswith(".") and top != "LICENSES"
            and not (ROOT / top / "README.md").exists()]
    assert not bare, "no README.md in: " + ", ".join(bare)
