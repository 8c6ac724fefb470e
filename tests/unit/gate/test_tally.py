# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests are counted right however they come in."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._gate.tally import Tally, total, unpacked

requests = st.lists(st.tuples(st.booleans(), st.integers(0, 999)), max_size=300)


def tally_of(sample: list[tuple[bool, int]]) -> Tally:
    tally = Tally()
    for is_error, milliseconds in sample:
        tally.count(is_error, milliseconds)
    return tally


@given(requests.filter(bool))
def test_p95_is_the_nearest_rank(sample: list[tuple[bool, int]]) -> None:
    ordered = sorted(milliseconds for _error, milliseconds in sample)
    assert tally_of(sample).p95 == ordered[math.ceil(0.95 * len(ordered)) - 1]


@given(requests, requests)
def test_parts_add_up_to_the_whole(one: list[tuple[bool, int]], other: list[tuple[bool, int]]) -> None:
    assert total([tally_of(one), tally_of(other)]) == tally_of(one + other)


@given(requests)
def test_it_survives_the_way_from_host_to_controller(sample: list[tuple[bool, int]]) -> None:
    tally = tally_of(sample)
    assert unpacked(json.loads(json.dumps(tally.packed()))) == tally


@given(st.floats(0, 1e7))
def test_a_duration_keeps_three_digits(milliseconds: float) -> None:
    tally = Tally()
    tally.count(False, milliseconds)
    assert tally.p95 is not None
    assert abs(tally.p95 - milliseconds) <= max(0.5, milliseconds / 100)
    assert milliseconds >= 1000 or tally.p95 == round(milliseconds)


told = st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 5), st.integers(0, 999)), min_size=1)


@given(told)
def test_of_several_percentiles_that_were_told_the_mean_by_requests_is_taken(
    windows: list[tuple[int, int, int]],
) -> None:
    tally = Tally()
    for requests_told, errors, p95 in windows:
        tally.take(requests_told, min(errors, requests_told), p95)
    assert tally.requests == sum(number for number, _errors, _p95 in windows)
    assert tally.p95 is not None
    assert min(p95 for *_rest, p95 in windows) <= tally.p95 <= max(p95 for *_rest, p95 in windows)
    assert unpacked(json.loads(json.dumps(tally.packed()))) == tally


def test_a_percentile_of_no_requests_is_none() -> None:
    tally = Tally()
    tally.take(0, 0, 40.0)
    assert tally.p95 is None


def test_p95_of_twenty_is_the_nineteenth() -> None:
    assert tally_of([(False, number) for number in range(1, 21)]).p95 == 19


def test_nothing_has_no_rate_and_no_p95() -> None:
    assert Tally().rate is None
    assert Tally().p95 is None
    assert Tally().figures() == {"requests": 0, "errors": 0, "error_percent": None, "p95_ms": None}
