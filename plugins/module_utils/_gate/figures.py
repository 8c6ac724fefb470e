# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a monitoring service tells of one stretch of time, and whether that can be believed. Pure."""

from __future__ import annotations

import math
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import WHOLE

# By server; None where the service knows the series and has no number for it.
Series = t.Dict[str, t.Optional[float]]
REQUESTS: t.Final = "requests"
ERRORS: t.Final = "errors"
P95: t.Final = "p95"


class NoDataError(MigrationError):
    """Asked properly and answered properly, with nothing. That is not zero; it may come yet."""


@dataclass(frozen=True)
class Figures:
    """``errors`` and ``p95_ms`` are None where they are not asked for."""

    requests: int
    errors: int | None = None
    p95_ms: float | None = None


def number(value: t.Any) -> float | None:
    """A number, as it is or as a string; None for null, NaN and nothing. Anything else is a ValueError."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{type(value).__name__} is not a number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise ValueError("a word is not a number") from None
    if math.isnan(found):
        return None
    if math.isinf(found) or found < 0:
        raise ValueError(f"{found:g} is not a possible figure")
    return found


class Told:
    """The series of one stretch, put together. ``name`` is the provider's, for the sentences."""

    def __init__(self, name: str, errors_may_be_absent: bool = False) -> None:
        self.name = name
        self.errors_may_be_absent = errors_may_be_absent
        self.series: dict[str, Series] = {}

    def add(self, measure: str, server: str, value: t.Any, factor: float = 1.0) -> None:
        """One series of a measure; its factor makes milliseconds of a percentile."""
        series = self.series.setdefault(measure, {})
        if server in series:
            whose = "" if server == WHOLE else f" of {server}"
            raise self._error(
                f"it tells {measure}{whose} twice",
                "Let the query give one series"
                + ("" if whose else ", or set server_label to what tells the servers apart"),
            )
        try:
            found = number(value)
        except ValueError as exc:
            raise self._error(f"what it tells of {measure} is no figure: {exc}", "Check the query") from None
        series[server] = None if found is None else found * factor

    def asked(self, measure: str) -> None:
        """That the measure was asked for, whatever is told of it."""
        self.series.setdefault(measure, {})

    def figures(self) -> dict[str, Figures]:
        counted = {s: n for s, n in self.series.get(REQUESTS, {}).items() if n is not None}
        if not counted:
            raise self._no_data(
                "it tells no number of requests; that is not zero",
                "Check the query and whether the service is being used",
            )
        strangers = sorted(set(self.series.get(ERRORS, {})) - set(counted))
        if strangers:
            raise self._error(
                f"it tells errors of {', '.join(strangers)} without their requests",
                "Let both queries be of the same servers",
            )
        return {server: self._of(server, requests) for server, requests in counted.items()}

    def _of(self, server: str, requests: float) -> Figures:
        whose = "" if server == WHOLE else f" of {server}"
        errors = p95 = None
        if ERRORS in self.series:
            errors = self._errors(server, whose, requests)
        if P95 in self.series and round(requests):
            p95 = self.series[P95].get(server)
            if p95 is None:
                raise self._no_data(
                    f"it tells requests{whose} and no response time of theirs", "Check the query of p95"
                )
        return Figures(round(requests), errors, p95)

    def _errors(self, server: str, whose: str, requests: float) -> int:
        errors = self.series[ERRORS].get(server)
        if errors is None:
            if requests and not self.errors_may_be_absent:
                raise self._no_data(
                    f"it tells requests{whose} and no number of errors; that is not zero",
                    "Let the query give 0 where there are none, or prove it and set errors_may_be_absent",
                )
            return 0
        # Both are estimates at the edges of the stretch; by more than that they are of different things.
        if errors > requests * 1.05 + 1:
            raise self._error(
                f"it tells more errors{whose} than requests, {errors:g} of {requests:g}",
                "Let both queries count the same requests",
            )
        return min(round(errors), round(requests))

    def _error(self, cause: str, cure: str) -> MigrationError:
        return MigrationError("use", f"what {self.name} tells", cause, cure, kind="gate")

    def _no_data(self, cause: str, cure: str) -> NoDataError:
        return NoDataError("use", f"what {self.name} tells", cause, cure, kind="gate")
