# SPDX-License-Identifier: Apache-2.0
"""What no file says."""

import re

from tidy.sources import programs, sources

THIS = "tests/tidy/test_words.py"


def lines_with(pattern, files):
    return [f"{source.where(number)}: {line.strip()}" for source in files if source.path != THIS
            for number, line in enumerate(source.lines, 1) if re.search(pattern, line)]


def test_nothing_is_put_off():
    """`TODO(who): why` is a sentence that gives the reason; a bare one is not."""
    found = lines_with(r"\b(TODO|FIXME|XXX|HACK)\b(?!\(.+\): \w)", programs())
    assert not found, "\n".join(found)


def test_no_path_of_a_developers_machine_is_named():
    found = lines_with(r"(?<![\w.])/(work|home/\w+|Users/\w+)/", sources(""))
    assert not found, "\n".join(found)


def test_no_commented_out_code_is_left():
    found = lines_with(r"^\s*//.*(\);|[{}])$", sources(".c", ".cc", ".h"))
    assert not found, "\n".join(found)
