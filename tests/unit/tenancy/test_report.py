# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of the data step, and the pace it keeps."""

from __future__ import annotations

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import estimate, report
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.counts import (
    Counts,
    LinkCounts,
    PremiumCounts,
    UserCounts,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.judge import Verdict
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.progress import line

COUNTS = Counts(
    UserCounts(1250, 0, 0),
    {"accounts": LinkCounts(3420, 0, 0, 0, 0), "premiums": LinkCounts(450, 0, 10, 2, 1)},
)


def test_the_plan_has_the_runbooks_three_phases() -> None:
    text, (low, high) = report.dry_run(COUNTS, {})
    for part in (
        "Phase 1: organizations\n  - Users found: 1,250\n  - Organizations to create: 1,250",
        "Phase 2: email accounts\n  - Email accounts found: 3,420\n  - To link: 3,420",
        "Phase 3: premium subscriptions\n  - Premium subscriptions found: 450\n  - To link: 437",
        "10 without owner",
        "2 whose owner does not exist",
        "not measured yet",
    ):
        assert part in text
    assert text.endswith("nothing was changed")
    assert high > 10 * low


def test_shared_premiums_are_told_apart_and_listed() -> None:
    premiums = PremiumCounts(100, 10, 5, 0, 1, shared=4, taken=2)
    assert premiums.due == 78
    text, _seconds = report.dry_run(Counts(COUNTS.users, {"premiums": premiums}), {}, ["p1: 3 users"])
    for part in ("- To link: 78", "4 shared by several users", "2 whose organization has another"):
        assert part in text
    assert "Premiums that several users share\n  - p1: 3 users\n" in text
    assert "share" not in report.dry_run(COUNTS, {})[0]


def test_a_measured_cost_narrows_the_time() -> None:
    text, (low, high) = report.dry_run(COUNTS, {"users": 1.0, "accounts": 1.0, "premiums": 1.0})
    assert low < (1250 + 3420 + 450) / 1000 < high
    assert "not measured" not in text


def test_the_plan_says_how_the_time_was_found() -> None:
    pages = estimate.Sample((estimate.Page(100, 100, 0.001),) * 4)
    costs = {"users": 1.0, "accounts": 1.0, "premiums": 1.0, "users read": 0.005}
    read = {"users": pages, "accounts": pages, "premiums": estimate.Sample(pages.pages[:1])}
    told = "from 800 rows in 8 pages read here, and what such rows took in the rehearsal"
    assert f"({told}; reading takes 2.0 times as long here)" in report.dry_run(COUNTS, costs, samples=read)[0]
    del costs["users read"]
    assert f"({told})" in report.dry_run(COUNTS, costs, samples=read)[0]
    assert "too few pages could be read here" in report.dry_run(COUNTS, costs)[0]
    assert "not measured yet" in report.dry_run(COUNTS, {}, samples=read)[0]


def test_what_was_measured_in_part_predicts_nothing() -> None:
    assert report.expected(COUNTS, {"users": 2.0, "accounts": 1.0, "premiums": 4.0}) == 2.5 + 3.42 + 1.8
    assert report.expected(COUNTS, {"users": 2.0, "accounts": 1.0}) is None
    assert report.expected(COUNTS, {}) is None
    # What there is none of needs no time.
    assert (
        report.expected(Counts(COUNTS.users, {"premiums": LinkCounts(0, 0, 0, 0, 0)}), {"users": 2.0}) == 2.5
    )


def test_the_block_at_the_end() -> None:
    done = Counts(UserCounts(1250, 1250, 0), {"accounts": LinkCounts(3420, 3419, 0, 0, 0)})
    text = report.summary(done, [Verdict("users", "All users have organizations", "ok")], 923)
    assert "Organizations created: 1,250 / 1,250 (100%)" in text
    assert "Email accounts linked: 3,419 / 3,420 (99%)" in text
    assert text.endswith("Migration completed successfully in 15m 23s")
    failed = report.summary(done, [Verdict("users", "t", "failed", 1)], 1)
    assert "ended with faults" in failed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (9.94, "9.9s"), (59.6, "1m 0s"), (923, "15m 23s"), (7384, "2h 3m 4s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text


def test_a_line_of_progress() -> None:
    figures = {
        "stage": "moving users",
        "done": 500,
        "total": 2000,
        "percent": 25.0,
        "rate": 250.0,
        "eta_seconds": 6.0,
    }
    assert line(figures) == "moving users: 500 / 2,000 (25%), 250 rows/s, 6 s left"
    assert line({**figures, "eta_seconds": None, "reason": "a reason"}).endswith(
        "time left unknown, slowed down: a reason"
    )
