# SPDX-License-Identifier: GPL-3.0-or-later
"""Readings become medians and percentiles."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Figures, percentile


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_reading_that_enough_others_do_not_exceed(
    readings: list[float], share: float
) -> None:
    found = percentile(readings, share)
    assert found in readings
    assert sum(one <= found for one in readings) >= round(share * len(readings))


def test_a_figure_is_the_median_of_its_readings() -> None:
    figures = Figures()
    for reading in (3.0, 1.0, 200.0):
        figures.add("efficiency", reading)
    assert json.loads(figures.as_json()) == {"efficiency": 3.0}
    assert figures.table({"efficiency": "at least 2"}) == [
        "efficiency           3  (1 … 200, 3 readings)  at least 2"
    ]
