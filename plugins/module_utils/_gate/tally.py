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

    A source that only tells its percentiles gives (milliseconds → requests for which
    it was told); of several the mean by requests is taken, for no better is to be had.
    """

    requests: int = 0
    errors: int = 0
    durations: t.Counter[int] = field(default_factory=Counter)
    told_p95s: t.Counter[int] = field(default_factory=Counter)

    def count(self, is_error: bool, milliseconds: float | None = None) -> None:
        self.requests += 1
        self.errors += is_error
        if milliseconds is not None:
            self.durations[_rounded(milliseconds)] += 1

    def take(self, requests: int, errors: int, p95_ms: float | None) -> None:
        """What a source has counted by itself."""
        self.requests += requests
        self.errors += errors
        if requests and p95_ms is not None:
            self.told_p95s[_rounded(p95_ms)] += requests

    def merge(self, other: Tally) -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.durations.update(other.durations)
        self.told_p95s.update(other.told_p95s)

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
        weight = sum(self.told_p95s.values())
        return round(sum(ms * n for ms, n in self.told_p95s.items()) / weight) if weight else None

    def figures(self) -> dict[str, t.Any]:
        return {
            "requests": self.requests,
            "errors": self.errors,
            "error_percent": percent(self.rate),
            "p95_ms": self.p95,
        }

    def packed(self) -> Packed:
        return [self.requests, self.errors, *(_words(c) for c in (self.durations, self.told_p95s))]


def unpacked(packed: Packed) -> Tally:
    requests, errors, durations, told_p95s = packed
    return Tally(int(requests), int(errors), _numbers(durations), _numbers(told_p95s))


def _words(counter: t.Mapping[int, int]) -> dict[str, int]:
    """JSON knows no number as a key."""
    return {str(ms): often for ms, often in counter.items()}


def _numbers(words: t.Mapping[str, int]) -> t.Counter[int]:
    return Counter({int(ms): int(often) for ms, often in words.items()})


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
