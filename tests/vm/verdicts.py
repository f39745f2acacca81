# SPDX-License-Identifier: Apache-2.0
"""Reads what tests in the guest had to say."""

import xml.etree.ElementTree as ElementTree


def verdicts_of(junit):
    """By the test's name: what it complained of, nothing if it passed."""
    return {case.get("name"): "".join(case.findtext(complaint) or "" for complaint in
                                      ("failure", "error", "skipped"))
            for case in ElementTree.fromstring(junit).iter("testcase")}
