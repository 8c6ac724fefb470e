# SPDX-License-Identifier: GPL-3.0-or-later
"""The time is predicted from pages that were read: narrow where they are alike, wide where they differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import estimate
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.estimate import Cost, Page, Sample

# A thousand rows took 100 ms in the rehearsal, of which 2 ms were reading.
COST = Cost(0.1 / 1000, 0.002 / 1000, 1.0)
FULL = Page(1000, 1000, 0.002)
IDLE = Page(1000, 0, 0.002)
PAGES = st.builds(
    lambda rows, part, seconds: Page(rows, int(rows * part), seconds),
    st.integers(1, 1000),
    st.floats(0, 1),
    st.floats(1e-6, 1),
)


def width(pages: list[Page], cost: Cost = COST) -> float:
    low, high = estimate.interval(10_000, cost, Sample(tuple(pages)), 1.0)
    return high / low


def test_like_pages_take_what_the_rehearsal_took() -> None:
    low, high = estimate.interval(10_000, COST, Sample((FULL,) * 6), 1.0)
    assert (low, high) == pytest.approx((0.4, 2.5))


def test_the_more_pages_differ_the_wider() -> None:
    alike, half, slow = [FULL] * 6, [FULL, IDLE] * 3, [*[FULL] * 5, Page(1000, 1000, 0.2)]
    assert width(alike) < width(half)
    assert width(alike) < width(slow)
    # The more of them there are the more is known of their mean.
    assert width([FULL, IDLE] * 10) < width(half)


def test_rows_with_nothing_to_do_are_only_read() -> None:
    low, high = estimate.interval(10_000, COST, Sample((IDLE,) * 6), 1.0)
    assert (low, high) == pytest.approx((0.4 * 0.02, 2.5 * 0.02))


def test_a_slower_machine_is_seen_by_its_reading() -> None:
    slow = Sample((Page(1000, 1000, 0.006),) * 6)
    costs = {"users": 0.1, "users read": 0.002, "accounts": 0.1, "accounts read": 0.001, "premiums": 0.1}
    assert estimate.slowness(costs, {"users": slow}) == pytest.approx(3)
    # A part that was not read on both machines, or of which too little was read, tells nothing.
    few = Sample((Page(1000, 1000, 9.0),))
    assert estimate.slowness(costs, {"users": slow, "premiums": slow, "accounts": few}) == pytest.approx(3)
    assert estimate.slowness(costs, {"premiums": slow}) is None
    assert estimate.slowness({}, {"users": slow}) is None
    low, high = estimate.interval(10_000, COST, slow, 3.0)
    assert (low, high) == pytest.approx((0.4 * 1.04, 7.5 * 1.04))
    assert estimate.interval(10_000, COST, slow, 1 / 3) == pytest.approx((0.4 / 3 * 1.04, 2.5 * 1.04))
    # Without the rehearsal's reading nothing is known of the other machine.
    assert estimate.interval(10_000, COST, Sample((FULL,) * 6)) == pytest.approx((0.5, 4.0))


@pytest.mark.parametrize("told", [0.5, None])
def test_a_rehearsal_that_had_to_do_half_of_the_rows(told: float | None) -> None:
    """A row takes here what it took there; where all have something to do, twice as long."""
    cost = Cost(COST.seconds, COST.read_seconds, told)
    low, high = estimate.interval(10_000, cost, Sample((Page(1000, 500, 0.002),) * 6), 1.0)
    assert (low, high) == pytest.approx((0.4, 2.5))
    if told:
        assert estimate.interval(10_000, cost, Sample((FULL,) * 6), 1.0)[0] == pytest.approx(0.4 * 1.98)


def test_too_few_pages_tell_no_spread() -> None:
    few = Sample((FULL, FULL))
    assert not few.is_enough
    assert estimate.interval(10_000, COST, few) == estimate.interval(10_000, COST) == (0.5, 4.0)
    assert Sample((FULL,), is_whole=True).is_enough
    assert not Sample((), is_whole=True).is_enough


def test_what_nobody_measured_is_wide() -> None:
    low, high = estimate.interval(10_000, None, Sample((FULL,) * 6))
    assert high / low == 100


def test_a_run_tells_what_the_next_one_needs() -> None:
    costs = estimate.as_costs("users", Sample((FULL,) * 3), done=2000, changed=1000, seconds=0.2)
    assert costs == {"users": 0.1 * 1000 / 1000, "users share": 0.5, "users read": 0.002}
    assert estimate.cost_of(costs, "users") == Cost(0.1 / 1000, 0.002 / 1000, 0.5)
    assert estimate.cost_of(costs, "accounts") is None
    assert estimate.as_costs("users", None, 0, 0, 0.0) == {}
    assert "users read" not in estimate.as_costs("users", None, 1, 1, 0.1)


@given(
    st.lists(PAGES, min_size=1, max_size=20),
    st.booleans(),
    st.floats(0, 1) | st.none(),
    st.floats(0.01, 100) | st.none(),
)
def test_from_is_never_more_than_to(
    pages: list[Page], is_whole: bool, share: float | None, slower: float | None
) -> None:
    cost = Cost(COST.seconds, COST.read_seconds, share)
    low, high = estimate.interval(1000, cost, Sample(tuple(pages), is_whole), slower)
    assert 0 <= low <= high
