# SPDX-License-Identifier: GPL-3.0-or-later
"""What leads from what a service holds to the three monitors of the runbook."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._gate import monitors
from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits, limits_from
from ansible_collections.emailai.migration.plugins.module_utils._gate.monitors import (
    Found,
    Step,
    holds,
    steps,
)

WANTED = {"errors": {"above": 10, "calls": ["page"]}, "logins": {"above": 5, "calls": ["tell"]}}


def _found(name: str, key: str = "1", **document: t.Any) -> Found:
    return Found(name, key, {"id": key, **WANTED.get(name, {}), **document})


def test_the_three_are_those_of_the_runbook() -> None:
    assert [(m.measure, m.above, m.minutes, m.calls) for m in monitors.three(Limits())] == [
        ("emailai.errors", 10, 1, "page"),
        ("emailai.db.query_time", 100, 5, "tell"),
        ("emailai.auth.failed", 5, 5, "tell"),
    ]
    assert [monitors.sentence(m) for m in monitors.three(Limits())] == [
        "more than 10 errors a minute",
        "organization queries above 100 ms",
        "more than 5 failed logins in 5 minutes",
    ]


def test_they_follow_the_limits_of_the_gate() -> None:
    given = limits_from({"alert_query_ms": 250, "alert_failed_logins": 7, "alert_failed_logins_seconds": 600})
    _errors, queries, logins = monitors.three(given)
    assert (queries.above, logins.above, logins.minutes) == (250, 7, 10)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], [Step("create", "errors"), Step("create", "logins")]),
        ([_found("errors"), _found("logins", "2")], []),
        ([_found("errors", above=11), _found("logins", "2")], [Step("change", "errors", "1")]),
        (
            [_found("errors"), _found("errors", "3"), _found("logins", "2")],
            [Step("remove", "errors", "3")],
        ),
        ([_found("errors"), _found("logins", "2"), _found("old", "4")], [Step("remove", "old", "4")]),
    ],
)
def test_the_steps(found: list[Found], expected: list[Step]) -> None:
    assert steps(WANTED, found) == expected


def test_without_wishes_all_of_ours_go() -> None:
    assert steps({}, [_found("errors"), _found("logins", "2")]) == [
        Step("remove", "errors", "1"),
        Step("remove", "logins", "2"),
    ]


@pytest.mark.parametrize(
    ("wanted", "found", "is_held"),
    [
        ({"a": 1}, {"a": 1.0, "more": 2}, True),
        ({"a": 1}, {}, False),
        ({"a": None}, {}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "id": 9}]}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": {"b": 1}}, {"a": "b"}, False),
        ({"a": []}, {"a": None}, False),
    ],
)
def test_only_what_is_asked_for_counts(wanted: t.Any, found: t.Any, is_held: bool) -> None:
    assert holds(wanted, found) is is_held
    assert (monitors.asked_for(wanted, found) == wanted) is is_held
