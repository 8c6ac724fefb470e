# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of a benchmark: medians with their spread, a table for people, one line for machines."""

from __future__ import annotations

import json
import statistics
import typing as t
from dataclasses import dataclass, field


@dataclass
class Figures:
    """What was measured, by name, in the order in which it was named; several readings give a median."""

    readings: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, reading: float) -> None:
        self.readings.setdefault(name, []).append(reading)

    def median(self, name: str) -> float:
        return statistics.median(self.readings[name])

    def table(self, targets: t.Mapping[str, str]) -> list[str]:
        """A line a figure: median, lowest and highest reading, and what it should be."""
        width = max(map(len, self.readings))
        return [
            f"{name:<{width}}  {shown(self.median(name)):>10}  ({shown(min(seen))} … {shown(max(seen))},"
            f" {len(seen)} readings)  {targets.get(name, '')}".rstrip()
            for name, seen in self.readings.items()
        ]

    def as_json(self) -> str:
        return json.dumps({name: round(self.median(name), 4) for name in self.readings})


def shown(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def percentile(readings: t.Sequence[float], share: float) -> float:
    """The smallest reading that ``share`` of all do not exceed (nearest rank)."""
    ranked = sorted(readings)
    return ranked[max(0, min(len(ranked) - 1, round(share * len(ranked)) - 1))]
