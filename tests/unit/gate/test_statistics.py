# SPDX-License-Identifier: GPL-3.0-or-later
"""Chance is computed right, and quickly."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits
from ansible_collections.emailai.migration.plugins.module_utils._gate.statistics import (
    difference,
    sequential_test,
    tail,
    wilson,
)

LIMITS = Limits()


def exact_tail(requests: int, errors: int, rate: float) -> float:
    return sum(
        math.comb(requests, k) * rate**k * (1 - rate) ** (requests - k) for k in range(errors, requests + 1)
    )


@given(st.integers(1, 300), st.integers(0, 300), st.floats(0.001, 0.3))
def test_tail_is_the_binomial_tail(requests: int, errors: int, rate: float) -> None:
    assert tail(requests, errors, rate) == pytest.approx(
        exact_tail(requests, errors, rate), rel=1e-6, abs=1e-12
    )


def test_tail_of_many_requests_is_quick_and_sane() -> None:
    assert tail(1_000_000, 10_000, 0.01) == pytest.approx(0.5, abs=0.01)
    assert tail(1_000_000, 11_000, 0.01) < 1e-20


@pytest.mark.parametrize(("rate", "most"), [(1.0, 8), (0.5, 18), (0.2, 50), (0.1, 120)])
def test_a_bad_service_is_found_within_a_handful(rate: float, most: int) -> None:
    found = next(
        n for n in range(1, 1000) if sequential_test(n, int(n * rate), 0.02, 0.05, LIMITS.hard_false_alarm)
    )
    assert found <= most


def test_less_than_a_handful_proves_nothing() -> None:
    assert not sequential_test(7, 7, 0.02, 0.05, LIMITS.hard_false_alarm)
    assert not sequential_test(0, 0, 0.02, 0.05, LIMITS.hard_false_alarm)


def test_the_test_keeps_its_promise_although_it_is_asked_after_every_request() -> None:
    """With a true rate of 1 % at most false_alarm of all runs may ever say yes."""
    chance, alarm, alarms, runs = random.Random(7), 0.02, 0, 1500
    for _run in range(runs):
        errors = 0
        for number in range(1, 501):
            errors += chance.random() < 0.01
            if sequential_test(number, errors, 0.01, 0.05, alarm):
                alarms += 1
                break
    # Three standard deviations above the promise.
    assert alarms / runs <= alarm + 3 * math.sqrt(alarm * (1 - alarm) / runs)
    assert alarms > 0


@given(st.integers(0, 500), st.integers(0, 500))
def test_intervals_hold_what_was_seen(requests: int, errors: int) -> None:
    errors = min(errors, requests)
    low, high = wilson(requests, errors)
    rate = errors / requests if requests else 0.0
    assert 0 <= low <= rate + 1e-9
    assert rate - 1e-9 <= high <= 1


def test_the_difference_of_two_rates() -> None:
    # Newcombe's own example, method 10: 56/70 against 48/80.
    low, high = difference((70, 56), (80, 48))
    assert (low, high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
