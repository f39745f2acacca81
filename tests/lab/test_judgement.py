# SPDX-License-Identifier: Apache-2.0
"""What the lab concludes from answers; every conclusion can turn out badly."""

from . import clients, load, main_job, packages

STAYS = {"198.18.0.1": ["h1-a", "h1-a"]}
WANDERS = {"198.18.0.2": ["h1-a", "h1-b"]}
FAILS = {"198.18.0.3": ["error: ConnectionResetError", "h2-a"]}
SILENT = {"198.18.0.4": ["error: TimeoutError"]}


def test_an_error_is_told_with_its_client():
    assert clients.errors({**STAYS, **FAILS}) == ["198.18.0.3: error: ConnectionResetError"]


def test_a_client_of_two_instances_wanders_and_a_failed_request_alone_does_not():
    assert clients.wanderers({**STAYS, **WANDERS, **FAILS}) == ["198.18.0.2"]


def test_a_client_without_an_answer_has_no_home_and_counts_as_moved():
    homes = clients.homes(SILENT)
    assert homes == {}
    assert clients.moved({"198.18.0.4": "h1-a"}, homes) == {"198.18.0.4"}


def test_the_spread_is_the_largest_share_over_the_mean_of_all_instances():
    counts, spread = clients.spread({"a": "h1-a", "b": "h1-a", "c": "h1-b", "d": "h2-a"})
    assert (counts["h1-a"], spread) == (2, 2.0)
    assert clients.spread({})[1] == 0.0


def test_a_report_names_what_was_not_seen():
    report = main_job.Report()
    report.claim("water flows downhill", True, "")
    report.claim("water flows uphill", set(), "")
    assert report.unseen() == ["water flows uphill"]


def test_a_load_that_lost_a_request_is_harmed():
    good = [0.0, 0.1, "h1-a"]
    load.Seen(watched={"198.18.0.1": [good]}).assert_unharmed()
    for harmed in (load.Seen(watched={"198.18.0.1": [good, [0.2, 0.3, "error: reset"]]}),
                   load.Seen(watched={"198.18.0.1": []}),
                   load.Seen(held={"198.18.0.1": [good, [0.2, 0.3, "h1-b"]]}),
                   load.Seen(wrk=["9 requests in 1s\n  Socket errors: connect 1, read 0"]),
                   load.Seen(wrk=["9 requests in 1s\n  Non-2xx or 3xx responses: 9"]),
                   load.Seen(wrk=["unable to connect"])):
        assert is_harmed(harmed)


def is_harmed(seen):
    try:
        seen.assert_unharmed()
    except AssertionError:
        return True
    return False


def test_the_package_list_may_hold_comments(tmp_path, monkeypatch):
    path = tmp_path / "packages.txt"
    path.write_text("# tools\nmeson\nwrk  # a load\n\n", encoding="utf-8")
    monkeypatch.setattr(packages, "LIST", path)
    assert packages.wanted() == ["meson", "wrk"]
