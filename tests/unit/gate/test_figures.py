# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitoring services tell is believed only as far as it goes; what they do not tell is no number."""

from __future__ import annotations

import math
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate.figures import (
    Figures,
    NoDataError,
    Told,
    number,
)
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import WHOLE


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), ("0", 0), ("4.5e1", 45), (None, None), ("", None), ("NaN", None), (math.nan, None)],
)
def test_a_figure_is_a_number_or_nothing(value: t.Any, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize("value", [True, [], {}, "many", "+Inf", math.inf, -1, "-0.5", 10**400])
def test_anything_else_is_refused(value: t.Any) -> None:
    with pytest.raises(ValueError, match="not a"):
        number(value)


values = st.one_of(st.none(), st.just("NaN"), st.just(""), st.floats(0, 1e9), st.integers(0, 10**9).map(str))


@given(requests=values, errors=values, p95=values)
def test_nothing_is_never_made_a_figure(requests: t.Any, errors: t.Any, p95: t.Any) -> None:
    told = Told("monitor")
    for measure, value in (("requests", requests), ("errors", errors), ("p95", p95)):
        told.add(measure, WHOLE, value)
    try:
        figures = told.figures()[WHOLE]
    except MigrationError:
        return
    assert number(requests) is not None
    assert figures.requests == round(number(requests) or 0)
    if figures.requests:
        assert number(errors) is not None
        assert number(p95) is not None
        assert figures.p95_ms == number(p95)
    assert figures.errors is not None
    assert 0 <= figures.errors <= figures.requests


def told_of(requests: t.Any, errors: t.Any = 0, may_be_absent: bool = False) -> Told:
    told = Told("monitor", may_be_absent)
    told.add("requests", WHOLE, requests)
    told.asked("errors")
    if errors != "absent":
        told.add("errors", WHOLE, errors)
    return told


def test_no_errors_are_none_only_where_that_was_declared() -> None:
    for errors in ("absent", None):
        with pytest.raises(NoDataError, match="no number of errors; that is not zero"):
            told_of(100, errors).figures()
        assert told_of(100, errors, may_be_absent=True).figures()[WHOLE] == Figures(100, 0)
        assert told_of(0, errors).figures()[WHOLE] == Figures(0, 0)


def test_no_requests_are_nothing_even_where_errors_may_be_absent() -> None:
    with pytest.raises(NoDataError, match="no number of requests; that is not zero"):
        told_of(None, "absent", may_be_absent=True).figures()


@pytest.mark.parametrize(("errors", "is_refused"), [(100, False), (105, False), (107, True), (5000, True)])
def test_more_errors_than_requests_are_of_something_else(errors: int, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(MigrationError, match=r"more errors than requests, .* count the same requests"):
            told_of(100, errors).figures()
    else:
        assert told_of(100, errors).figures()[WHOLE].errors == 100


def test_errors_of_a_server_without_requests_are_refused() -> None:
    told = told_of(100)
    told.add("errors", "app-9", 1)
    with pytest.raises(MigrationError, match="errors of app-9 without their requests"):
        told.figures()
