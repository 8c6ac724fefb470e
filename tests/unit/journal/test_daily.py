# SPDX-License-Identifier: GPL-3.0-or-later
"""The days after a conclusion: one is due, once."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._journal.daily import FAILED, PASSED, Days

OVER = "The 7 days are over. went well: 7. not looked at: 1, 2, 3, 4, 5, 6."
FIRST = datetime.date(2030, 5, 7)


def days(after: int, looks: t.Optional[dict[int, str]] = None) -> Days:
    return Days(FIRST, FIRST + datetime.timedelta(days=after), 7, looks or {})


@pytest.mark.parametrize(
    ("found", "is_due", "is_over", "text"),
    [
        (days(0), False, False, "The first of 7 days is 2030-05-08."),
        (days(1), True, False, "Day 1 of 7."),
        (days(1, {1: PASSED}), False, False, "Day 1 of 7 was looked at and went well. went well: 1."),
        (days(1, {1: FAILED}), True, False, "Day 1 of 7. failed: 1."),
        (days(3, {1: PASSED}), True, False, "Day 3 of 7. went well: 1. not looked at: 2."),
        (
            days(7, {7: PASSED}),
            False,
            True,
            OVER,
        ),
        (days(8), False, True, "The 7 days are over. not looked at: 1, 2, 3, 4, 5, 6, 7."),
        # A clock that goes back.
        (days(-3), False, False, "The first of 7 days is 2030-05-08."),
    ],
)
def test_a_day_says_what_it_is(found: Days, is_due: bool, is_over: bool, text: str) -> None:
    assert (found.is_due, found.is_over, found.text()) == (is_due, is_over, text)


@given(after=st.integers(0, 30), looks=st.dictionaries(st.integers(1, 7), st.sampled_from([PASSED, FAILED])))
def test_each_day_that_went_by_is_told_once(after: int, looks: dict[int, str]) -> None:
    found = days(after, {day: how for day, how in looks.items() if day <= after})
    told = found.ended(PASSED) + found.ended(FAILED) + found.missed
    gone_by = {day for day in range(1, 8) if day < after}
    assert len(told) == len(set(told))
    assert gone_by <= set(told)
    assert found.is_due == (1 <= after <= 7 and looks.get(after) != PASSED)
    assert not (found.is_due and found.is_over)
