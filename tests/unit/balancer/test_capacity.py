# SPDX-License-Identifier: GPL-3.0-or-later
"""How many must go on serving."""

from __future__ import annotations

import math
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.balancer.world import member

from ansible_collections.emailai.migration.plugins.module_utils._balancer import capacity

FLEET = [member(f"app-{number}") for number in range(1, 5)]


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 100))
def test_the_minimum_is_the_stricter_of_count_and_share(members: int, least: int, percent: int) -> None:
    found = capacity.minimum(members, least, percent)
    assert found == max(least, math.ceil(members * percent / 100 - 1e-9))


@given(st.sets(st.integers(1, 12)), st.integers(0, 100))
def test_a_drain_that_is_allowed_leaves_the_minimum(sick: set[int], percent: int) -> None:
    fleet = [member(f"app-{n}", health=1 if n in sick else 3) for n in range(1, 13)]
    for each in fleet:
        found = capacity.after_drain(fleet, [each.name], 1, percent)
        if found.is_enough and each.is_serving:
            assert found.healthy_after == 12 - len(sick) - 1
            assert found.healthy_after >= max(1, 12 * percent / 100)
        if not each.is_serving:
            assert found.is_enough


@pytest.mark.parametrize(
    "change",
    [{"health": 2}, {"is_running": False}, {"admission": "drained"}, {"weight": 0}, {"health": None}],
)
def test_who_gets_no_traffic_is_no_capacity(change: dict[str, t.Any]) -> None:
    fleet = [member("app-0", **change), *FLEET]
    assert capacity.after_drain(fleet, ["app-1"], 1, 50).healthy_after == 3


def test_the_plan_has_a_line_for_each_batch() -> None:
    steps = capacity.plan([FLEET], [["app-1"], ["app-2", "app-3", "app-4"]], 1, 50)
    assert [(step["healthy_after"], step["minimum"], step["enough"]) for step in steps] == [
        (3, 2, True),
        (1, 2, False),
    ]
