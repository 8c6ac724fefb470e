# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a pass will take, from pages that were read and from what a rehearsal took; nothing of the world.

A page takes what writing its rows took in the rehearsal, as far as they have something to do, and what
reading it takes here. The whole takes the mean of the pages, give or take twice the standard error: where
they are alike the interval is narrow, where they differ it is wide.
"""

from __future__ import annotations

import math
import statistics
import typing as t
from dataclasses import dataclass

# Seconds for a thousand rows when nothing was measured yet: a fast machine
# without load, and a slow one that is throttled all the time.
UNMEASURED: t.Final = (0.02, 2.0)
# A rehearsal runs on another machine without load; less is unknown where pages were read on both. Two runs on
# one busy machine are up to twice apart.
_OTHER_MACHINE: t.Final = (0.5, 4.0)
_KNOWN_MACHINE: t.Final = (0.4, 2.5)
# Two pages tell nothing of a spread.
ENOUGH: t.Final = 3
Interval = t.Tuple[float, float]


@dataclass(frozen=True)
class Page:
    """So many rows, those of them that have something to do, and the seconds that reading them took."""

    rows: int
    due: int
    seconds: float


@dataclass(frozen=True)
class Sample:
    """Pages of one table. ``is_whole``: they are all that there is."""

    pages: tuple[Page, ...] = ()
    is_whole: bool = False

    @property
    def is_enough(self) -> bool:
        return bool(self.pages) and (self.is_whole or len(self.pages) >= ENOUGH)

    @property
    def rows(self) -> int:
        return sum(page.rows for page in self.pages)

    @property
    def share(self) -> float:
        """Of the rows, the part that has something to do."""
        return sum(page.due for page in self.pages) / self.rows

    @property
    def row_seconds(self) -> float:
        """Reading a row, at best: of such short times the least says most about the machine."""
        return min(page.seconds / page.rows for page in self.pages)


# As a share is written down; of a smaller one, time by share would say nothing.
_LEAST_SHARE: t.Final = 1e-6


@dataclass(frozen=True)
class Cost:
    """What a rehearsal took, for a row: the whole, reading alone, and the part of the rows it wrote."""

    seconds: float
    read_seconds: float | None = None
    share: float | None = None

    def writing(self, share_here: float) -> float:
        """Seconds for writing a row. Where the share is not told it is ours, for a rehearsal is on a copy."""
        share = max(_LEAST_SHARE, min(1.0, self.share or share_here or 1.0))
        return max(0.0, self.seconds - (self.read_seconds or 0.0)) / share


def cost_of(costs: t.Mapping[str, float], name: str) -> Cost | None:
    """The part ``name`` of what ``as_costs`` gave, or of what a person wrote."""
    if name not in costs:
        return None
    read = costs.get(f"{name} read")
    return Cost(costs[name] / 1000, None if read is None else read / 1000, costs.get(f"{name} share"))


def as_costs(name: str, sample: Sample | None, done: int, changed: int, seconds: float) -> dict[str, float]:
    """Of a pass that is over: seconds for a thousand rows, for reading as many, and the share it touched."""
    if not done:
        return {}
    costs = {name: round(1000 * seconds / done, 6), f"{name} share": round(changed / done, 6)}
    if sample and sample.is_enough:
        costs[f"{name} read"] = round(1000 * sample.row_seconds, 6)
    return costs


def slowness(costs: t.Mapping[str, float], samples: t.Mapping[str, Sample]) -> float | None:
    """How many times as long reading takes here, over all parts; None where it was not measured on both."""
    found = []
    for name, sample in samples.items():
        cost = cost_of(costs, name)
        if cost and cost.read_seconds and sample.is_enough and sample.row_seconds:
            found.append(sample.row_seconds / cost.read_seconds)
    return statistics.median(found) if found else None


def interval(
    rows: int, cost: Cost | None, sample: Sample | None = None, slower: float | None = None
) -> Interval:
    """Seconds, from and to, for so many rows; ``slower`` is what ``slowness`` gives."""
    if cost is None:
        low, high = UNMEASURED
        return rows * low / 1000, rows * high / 1000
    if sample is None or not sample.is_enough:
        return rows * cost.seconds * _OTHER_MACHINE[0], rows * cost.seconds * _OTHER_MACHINE[1]
    low, high = _of_a_row(sample, cost)
    slack = _OTHER_MACHINE
    if slower is not None:
        slack = _KNOWN_MACHINE[0] * min(1.0, slower), _KNOWN_MACHINE[1] * max(1.0, slower)
    return rows * low * slack[0], rows * high * slack[1]


def _of_a_row(sample: Sample, cost: Cost) -> Interval:
    """The mean of the pages, give or take twice its standard error, within what was seen."""
    writing = cost.writing(sample.share)
    found = [(page.due * writing + page.seconds) / page.rows for page in sample.pages]
    mean = statistics.fmean(found)
    error = 0.0 if sample.is_whole or len(found) < 2 else 2 * statistics.stdev(found) / math.sqrt(len(found))
    return max(min(found), mean - error), min(max(found), mean + error)
