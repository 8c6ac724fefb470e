# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large the next batch is and how long to rest before it; nothing of the world."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

SMALLEST: t.Final = 50
QUICK_SECONDS: t.Final = 0.02
SLOW_SECONDS: t.Final = 0.05
# A signal must be gone for this many readings before it stops slowing us down.
CALM_READINGS: t.Final = 3


@dataclass
class Pace:
    """Additive in success, halving in trouble, between 50 rows and five times the start."""

    start: int
    size: int = 0
    fixed: int | None = None
    share: float | None = None
    reason: str = ""
    _calm: int = 0

    def __post_init__(self) -> None:
        self.size = max(SMALLEST, self.start)

    @property
    def rows(self) -> int:
        return self.fixed or self.size

    def succeeded(self, seconds: float) -> None:
        if seconds < QUICK_SECONDS:
            self.size = min(max(SMALLEST, self.start * 5), self.size + max(1, self.start // 4))
        elif seconds > SLOW_SECONDS:
            self.size = max(SMALLEST, self.size // 2)

    def failed(self) -> None:
        self.size = max(SMALLEST, self.size // 2)

    def heard(self, reason: str) -> None:
        """A reading of the signals: the first reason counts at once, calm only after some readings."""
        if reason:
            self.reason, self._calm = reason, 0
        elif self.reason:
            self._calm += 1
            if self._calm >= CALM_READINGS:
                self.reason, self._calm = "", 0

    def rest(self, seconds: float) -> float:
        """How long to rest after a batch that took ``seconds``."""
        share = self.share or 1.0
        if self.reason:
            share = min(share, 0.5)
        return min(5.0, seconds * (1 / max(share, 0.01) - 1))
