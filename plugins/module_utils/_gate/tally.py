# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that were counted: how many, how many failed, how long they took."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field

Packed = t.List[t.Any]


@dataclass
class Tally:
    """Counts that can be added up. A duration is kept as (milliseconds → how often).

    Below one second a duration is exact, above it has three digits: the
    quantiles stay true near every limit, and a busy minute stays small.
    """

    requests: int = 0
    errors: int = 0
    durations: t.Counter[int] = field(default_factory=Counter)

    def count(self, is_error: bool, milliseconds: float | None = None) -> None:
        self.requests += 1
        self.errors += is_error
        if milliseconds is not None:
            self.durations[_rounded(milliseconds)] += 1

    def merge(self, other: Tally) -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.durations.update(other.durations)

    @property
    def rate(self) -> float | None:
        """Failed share of all requests; None without a request, for nothing is not zero."""
        return self.errors / self.requests if self.requests else None

    @property
    def p95(self) -> int | None:
        """The duration that 95 of 100 requests did not exceed (nearest rank)."""
        total = sum(self.durations.values())
        seen = 0
        for milliseconds in sorted(self.durations):
            seen += self.durations[milliseconds]
            if 100 * seen >= 95 * total:
                return milliseconds
        return None

    def figures(self) -> dict[str, t.Any]:
        return {
            "requests": self.requests,
            "errors": self.errors,
            "error_percent": percent(self.rate),
            "p95_ms": self.p95,
        }

    def packed(self) -> Packed:
        return [self.requests, self.errors, {str(ms): often for ms, often in self.durations.items()}]


def unpacked(packed: Packed) -> Tally:
    requests, errors, durations = packed
    return Tally(
        int(requests), int(errors), Counter({int(ms): int(often) for ms, often in durations.items()})
    )


def total(tallies: t.Iterable[Tally]) -> Tally:
    result = Tally()
    for tally in tallies:
        result.merge(tally)
    return result


def percent(rate: float | None) -> float | None:
    return None if rate is None else round(100 * rate, 3)


def _rounded(milliseconds: float) -> int:
    value = max(0, round(milliseconds))
    step = 1
    while value >= 1000 * step:
        step *= 10
    return value // step * step
