# SPDX-License-Identifier: GPL-3.0-or-later
"""One table and one verdict from the lines of all hosts."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._readiness.judge import judge, merge, render


def a_line(state: str = "met", item: str = "disk", kind: str = "storage", **more: str) -> dict[str, str]:
    line = {
        "item": item,
        "kind": kind,
        "required": "20 GiB",
        "found": "1 GiB",
        "read_by": "statvfs",
        "state": state,
    }
    return {**line, **more}


def refusal(by_host: dict[str, t.Any], accepted: dict[str, t.Any] | None = None) -> str:
    return str(judge(by_host, accepted or {}, {"dba": "Ada", "product_manager": "Pam"}).refusal or "")


def test_met_and_due_lines_refuse_nothing() -> None:
    verdict = judge({"db1": [a_line(), a_line("due", "backup")]}, {}, {})
    assert verdict.refusal is None
    assert verdict.counts() == {"met": 1, "open": 0, "due": 1, "not_watched": 0, "accepted": 0}


def test_an_open_line_is_named_with_figures_cure_and_contact() -> None:
    said = refusal({"db1": [a_line("open")]})
    assert said == (
        "Cannot begin the migration: 1 of 1 readiness line is open: disk (found: 1 GiB; required: 20 GiB;"
        " ask the DBA on call, Ada). Put right what was found, and run it again."
    )


def test_the_cure_fits_the_kinds() -> None:
    lines = [a_line("open", "on_call", "person"), a_line("open", "window", "window"), a_line("not_watched")]
    said = refusal({"db1": lines})
    assert "3 of 3 readiness lines are open" in said
    assert "Confirm by name with migration_confirmations, accept by name with readiness_accepted" in said
    assert "wait for the window" in said
    assert "put right" not in said
    assert "the product manager, Pam" in said


def test_the_failure_carries_kind_and_items() -> None:
    verdict = judge({"db1": [a_line(), a_line("open", "free connections", "database")]}, {}, {})
    assert verdict.refusal is not None
    assert verdict.refusal.facts == {"kind": "database", "open_items": ["free connections"]}


@pytest.mark.parametrize("name", ["", " ", True, None, 1])
def test_what_is_not_watched_is_open_until_somebody_answers_for_it(name: object) -> None:
    assert "not watched" in refusal({"db1": [a_line("not_watched")]}, {"disk": name})
    assert refusal({"db1": [a_line("not_watched")]}, {"disk": "Joe"}) == ""


def test_accepting_does_not_cover_an_open_line() -> None:
    assert refusal({"db1": [a_line("open")]}, {"disk": "Joe"})


def test_a_host_that_gave_no_line_is_open() -> None:
    assert "app-1 was read (found: it gave none" in refusal({"db1": [a_line()], "app-1": []})
    assert refusal({})


@pytest.mark.parametrize("state", ["", "fine", "accepted", "MET"])
def test_a_state_that_is_not_known_is_open(state: str) -> None:
    assert refusal({"db1": [a_line(state)]})


def test_a_line_that_says_little_is_open_and_breaks_nothing() -> None:
    assert refusal({"db1": [{"item": "x"}]})
    assert "x" in render(judge({"db1": [{"item": "x"}]}, {}, {}).lines)


def test_hosts_that_speak_of_the_same_item_are_told_apart() -> None:
    items = [line["item"] for line in merge({"db1": [a_line()], "db2": [a_line(), a_line(item="own")]})]
    assert items == ["db1: disk", "db2: disk", "own"]
    assert refusal({"db1": [a_line("not_watched")], "db2": [a_line("not_watched")]}, {"disk": "Joe"}) == ""


def test_a_line_appended_twice_counts_once() -> None:
    assert len(merge({"db1": [a_line(), a_line()]})) == 1


LINES = st.lists(
    st.fixed_dictionaries(
        {
            "item": st.text(max_size=60),
            "kind": st.sampled_from(["database", "app", ""]),
            "required": st.text(max_size=90),
            "found": st.text(max_size=200),
            "read_by": st.text(max_size=60),
            "state": st.sampled_from(["met", "open", "due", "not_watched"]),
        }
    ),
    max_size=8,
)


@given(st.dictionaries(st.sampled_from(["db1", "app-1", "lb1"]), LINES))
def test_it_may_begin_only_if_every_line_is_met_or_due(by_host: dict[str, list[dict[str, str]]]) -> None:
    verdict = judge(by_host, {}, {})
    states = [line["state"] for lines in by_host.values() for line in lines]
    silent = not by_host or not all(by_host.values())
    assert (verdict.refusal is None) == (not silent and set(states) <= {"met", "due"})
    assert all(len(line) <= 160 for line in render(verdict.lines).splitlines())
