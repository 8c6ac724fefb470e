# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches stay within their limits, and whatever suffers slows them down until it is well again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._postgres.signals import COMPANY, Signal
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.throttle import (
    CALM_READINGS,
    LEAST_SHARE,
    SMALLEST,
    UNREAD_SHARE,
    Pace,
    share_of,
)

VALUES = st.floats(0, 1e9) | st.none()


def lag(value: float | None) -> Signal:
    return Signal("replica lag", value, 16, 64, "a replica is {} MiB behind")


def waiting(value: float | None) -> Signal:
    return Signal("waiting sessions", value, 2, 3, "{} sessions wait for locks")


@given(st.integers(1, 20_000), st.lists(st.floats(0, 3) | st.none(), max_size=60))
def test_a_batch_stays_within_its_limits(start: int, times: list[float | None]) -> None:
    pace = Pace(start)
    for seconds in times:
        if seconds is None:
            pace.failed()
        else:
            pace.succeeded(seconds)
        assert SMALLEST <= pace.rows <= max(SMALLEST, 5 * start)
        assert 0 <= pace.rest(seconds or 0) <= 5


def test_quick_batches_grow_slow_ones_are_halved() -> None:
    pace = Pace(1000)
    assert pace.rows == 100
    for _batch in range(4):
        pace.succeeded(0.001)
    assert pace.rows == 1100
    pace.succeeded(0.2)
    assert pace.rows == 550
    pace.fixed = 10
    assert pace.rows == 10


def test_a_reason_slows_down_at_once_and_leaves_slowly() -> None:
    pace = Pace(1000)
    assert pace.rest(1) == 0
    pace.heard([lag(64)])
    assert (pace.rest(1), pace.reason) == (1, "a replica is 64 MiB behind")
    for _reading in range(CALM_READINGS - 1):
        pace.heard([lag(0)])
        assert pace.reason
    pace.heard([lag(0)])
    assert (pace.rest(1), pace.reason) == (0, "")
    pace.share = 0.25
    assert pace.rest(1) == 3


def test_between_its_marks_a_signal_stays_what_it_was() -> None:
    fresh, raised = Pace(1000), Pace(1000)
    raised.heard([lag(100)])
    for _reading in range(3 * CALM_READINGS):
        for pace in (fresh, raised):
            pace.heard([lag(40)])
    assert (fresh.reason, bool(raised.reason)) == ("", True)
    # One calm reading among restless ones is no calm.
    for value in (0, 0, 40) * 3:
        raised.heard([lag(value)])
    assert raised.reason


def test_the_worst_signal_decides_and_is_named() -> None:
    pace = Pace(1000)
    pace.heard([lag(80), waiting(12)])
    assert pace.reason == "12 sessions wait for locks"
    assert pace.given == 0.5 * 3 / 12
    pace.share = 0.05
    assert pace.given == 0.05


def test_company_leaves_a_part_and_yields_to_an_operator() -> None:
    company = Signal(COMPANY, 40, 0.1, 0.25, "{} sessions of others are at work on average", 0.2)
    pace = Pace(1000)
    pace.heard([company])
    assert (pace.given, pace.reason) == (0.2, "40 sessions of others are at work on average")
    pace.share = 1.0
    assert (pace.given, pace.reason) == (1.0, "")
    # What may break the server is nobody's choice.
    pace.heard([lag(128)])
    assert (pace.given, pace.reason) == (0.25, "a replica is 128 MiB behind")


@given(VALUES, VALUES)
def test_worse_is_never_faster_and_unread_is_never_full_speed(one: float | None, other: float | None) -> None:
    shares = [share_of(lag(value)) for value in (one, other)]
    assert all(LEAST_SHARE <= share <= 1 for share in shares)
    if one is not None and other is not None:
        assert (shares[0] >= shares[1]) == (one <= other) or shares[0] == shares[1]
    for value, share in zip((one, other), shares, strict=True):
        assert (share == 1) == (value is not None and value < 64)
        assert share == UNREAD_SHARE or value is not None


@given(st.lists(st.tuples(VALUES, VALUES), max_size=30))
def test_a_reason_is_shown_exactly_while_something_slows_us(readings: list[tuple[float | None, ...]]) -> None:
    pace = Pace(1000)
    for one, other in readings:
        pace.heard([lag(one), waiting(other)])
        assert bool(pace.reason) == (pace.given < 1)
        assert bool(pace.reason) == (pace.rest(1) > 0)
