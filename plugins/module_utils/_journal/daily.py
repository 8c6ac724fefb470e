# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The days after a run was concluded: which one is due, which went well, which nobody looked at."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass, field

PASSED: t.Final = "passed"
FAILED: t.Final = "failed"


@dataclass(frozen=True)
class Days:
    """Day 1 is the day after the conclusion, by the calendar of UTC; ``looks`` says how each look ended."""

    concluded: datetime.date
    today: datetime.date
    days: int
    looks: t.Mapping[int, str] = field(default_factory=dict)

    @property
    def day(self) -> int:
        """0 on the day of the conclusion; greater than ``days`` when the time is over."""
        return max(0, (self.today - self.concluded).days)

    @property
    def is_due(self) -> bool:
        return 1 <= self.day <= self.days and self.looks.get(self.day) != PASSED

    @property
    def is_over(self) -> bool:
        return self.day > self.days or (self.day == self.days and not self.is_due)

    def ended(self, verdict: str) -> list[int]:
        return sorted(day for day, how in self.looks.items() if how == verdict)

    @property
    def missed(self) -> list[int]:
        """Days that went by without a look: nobody knows how they were."""
        return [day for day in range(1, min(self.day - 1, self.days) + 1) if day not in self.looks]

    def text(self) -> str:
        head = f"Day {self.day} of {self.days}"
        if self.day == 0:
            head = f"The first of {self.days} days is {self.concluded + datetime.timedelta(days=1)}"
        elif self.is_over:
            head = f"The {self.days} days are over"
        elif not self.is_due:
            head += " was looked at and went well"
        kinds = (
            ("went well", self.ended(PASSED)),
            ("failed", self.ended(FAILED)),
            ("not looked at", self.missed),
        )
        rest = [f"{name}: {', '.join(map(str, found))}" for name, found in kinds if found]
        return ". ".join([head, *rest]) + "."
