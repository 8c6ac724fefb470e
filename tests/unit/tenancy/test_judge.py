# SPDX-License-Identifier: GPL-3.0-or-later
"""From counted answers to one word."""

from __future__ import annotations

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._tenancy.judge import Verdict, judge, verdict


def one(result: str, name: str = "x") -> Verdict:
    return Verdict(name, "Title", result, count=2, cause="things wrong", repair="do this")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([], "ok"),
        (["ok", "pending"], "ok"),
        (["ok", "finding"], "findings"),
        (["finding", "inconclusive"], "inconclusive"),
        (["inconclusive", "failed", "ok"], "failed"),
    ],
)
def test_the_worst_counts(results: list[str], expected: str) -> None:
    assert judge([one(result) for result in results], {}).result == expected


def test_only_a_name_makes_a_finding_acceptable() -> None:
    findings = [one("finding", "seats"), one("finding", "premiums")]
    assert judge(findings, {"seats": "Ada", "premiums": ""}).unacknowledged == ("premiums",)
    assert judge(findings, {"seats": "Ada", "premiums": "Ada"}).may_go_on
    assert not judge([one("failed", "users")], {"users": "Ada"}).may_go_on
    assert not judge([one("inconclusive", "users")], {"users": "Ada"}).may_go_on


def test_what_was_known_before_is_a_finding() -> None:
    answer = {"failed": (2, ["old", "new"])}
    assert verdict("x", "t", answer, "c", "r", ["old", "new"]).result == "finding"
    mixed = verdict("x", "t", answer, "c", "r", ["old"])
    assert (mixed.result, mixed.count, mixed.ids, mixed.known) == ("failed", 1, ("new",), 1)


def test_pending_is_counted_apart() -> None:
    found = verdict("x", "All there", {"pending": (3, ["a"])}, "c", "r")
    assert (found.result, found.count, found.pending) == ("pending", 0, 3)
    assert found.line() == "✓ All there (3 pending)"


def test_the_text_ends_in_one_word() -> None:
    text = judge([one("ok"), one("finding"), one("failed")], {}).summary()
    assert "Passed: 1\nFailed: 1\nWarnings: 1" in text
    assert text.endswith("Migration verification FAILED")
    assert "✗ Title: 2 things wrong" in text
