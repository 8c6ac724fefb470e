# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows, by other people's clocks."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._readiness import window


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(f"{text}+00:00")


def holds(preset: str, moment: str, **more: t.Any) -> bool:
    chosen = window.choose({"preset": preset, **more})
    assert chosen is not None
    return chosen.holds(at(moment))


# 2026-03-02 is a Monday; New York is five hours behind UTC until 8 March, then four.
@pytest.mark.parametrize(
    ("preset", "moment", "inside"),
    [
        ("us", "2026-03-02T07:00", True),
        ("us", "2026-03-02T06:59", False),
        ("us", "2026-03-02T10:59", True),
        ("us", "2026-03-02T11:00", False),
        ("us", "2026-03-09T06:00", True),
        ("us", "2026-03-01T07:00", True),
        ("us", "2026-03-06T07:00", False),
        ("us", "2026-03-07T07:00", False),
        ("eu", "2026-03-02T01:00", True),
        ("eu", "2026-03-02T00:59", False),
        ("eu", "2026-03-02T05:00", False),
        ("eu", "2026-07-06T00:00", True),
        ("eu", "2026-03-06T02:00", False),
        ("eu", "2026-03-08T02:00", True),
    ],
)
def test_the_runbooks_windows(preset: str, moment: str, inside: bool) -> None:
    assert holds(preset, moment) is inside


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-03-02T21:59", False),
        ("2026-03-02T22:00", True),
        ("2026-03-03T03:59", True),
        ("2026-03-03T04:00", False),
        ("2026-03-02T03:00", False),
        ("2026-03-03T23:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_began_on(moment: str, inside: bool) -> None:
    assert holds("custom", moment, days=["monday"], begins="22:00", ends="04:00", timezone="UTC") is inside


def test_none_is_any_time() -> None:
    assert window.choose({}) is None
    assert window.choose({"preset": "none"}) is None


def test_the_quietest_hours_are_the_four_in_a_row_with_the_fewest_requests() -> None:
    hours = [100] * 24
    hours[23], hours[0], hours[1], hours[2] = 5, 1, 1, 5
    chosen = window.quietest(hours)
    assert (chosen.begins, chosen.ends) == (datetime.time(23), datetime.time(3))
    assert chosen.holds(at("2026-03-03T01:00"))
    assert not chosen.holds(at("2026-03-03T12:00"))


@given(st.lists(st.integers(0, 10**6), min_size=24, max_size=24))
def test_no_other_four_hours_are_quieter(hours: list[int]) -> None:
    chosen = window.quietest(hours)
    first = chosen.begins.hour

    def total(start: int) -> int:
        return sum(hours[(start + n) % 24] for n in range(4))

    assert total(first) == min(total(start) for start in range(24))
    assert (chosen.ends.hour - first) % 24 == 4


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"preset": "global"}, "0 of 24 hours were measured"),
        ({"preset": "global", "requests_by_hour": [1, 2]}, "2 of 24 hours"),
        ({"preset": "sometime"}, "none of none, us, eu, global, custom"),
        ({"preset": "custom", "begins": "7200", "ends": "06:00"}, "no time of day"),
        ({"preset": "custom", "begins": "24:00", "ends": "06:00"}, "no time of day"),
        ({"preset": "custom", "begins": "02:00"}, "no time of day"),
        (
            {"preset": "custom", "begins": "02:00", "ends": "06:00", "days": ["Caturday"]},
            "no day of the week",
        ),
        (
            {"preset": "custom", "begins": "02:00", "ends": "06:00", "timezone": "Mars/Base"},
            "time zone Mars/Base",
        ),
    ],
)
def test_what_cannot_be_known_is_an_error_and_never_any_time(wanted: dict[str, t.Any], words: str) -> None:
    with pytest.raises(MigrationError, match=words) as caught:
        window.choose(wanted)
    assert caught.value.facts["kind"] == "window"
