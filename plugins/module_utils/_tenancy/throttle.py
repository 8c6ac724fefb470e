# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large the next batch is and how long to rest before it; nothing of the world."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._postgres.signals import COMPANY

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._postgres.signals import Signal

SMALLEST: t.Final = 50
QUICK_SECONDS: t.Final = 0.02
SLOW_SECONDS: t.Final = 0.05
# A signal must be calm for this many readings before it stops slowing us down.
CALM_READINGS: t.Final = 3
# What is left of full speed where a signal cannot be read: silence is not health.
UNREAD_SHARE: t.Final = 0.5
# However bad it is, a batch now and then goes on, so that the work ends and its reason is seen.
LEAST_SHARE: t.Final = 0.02


def share_of(signal: Signal) -> float:
    """What a signal leaves of full speed: all below its upper mark, half at it, less in proportion above."""
    if signal.value is None:
        return UNREAD_SHARE
    if signal.value < signal.upper:
        return 1.0
    return max(LEAST_SHARE, signal.least, 0.5 * signal.upper / signal.value)


@dataclass
class _Raised:
    """A signal that slows us down: the sentence, the share it leaves, and for how long it has been calm."""

    reason: str
    share: float
    calm: int = 0


@dataclass
class Pace:
    """Additive in success, halving in trouble, between 50 rows and five times the start.

    The first batches are small: whoever waits for one waits as long as it takes, and nobody knows yet how
    long that is here.
    """

    start: int
    size: int = 0
    fixed: int | None = None
    share: float | None = None
    _raised: dict[str, _Raised] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = max(SMALLEST, self.start // 10)

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

    def heard(self, signals: t.Iterable[Signal]) -> None:
        """A reading of the signals. Trouble counts at once; its end only after some calm readings.

        A signal is raised at its upper mark and calm below its lower one; between them it stays what it was.
        """
        for signal in signals:
            share = share_of(signal)
            known = self._raised.get(signal.name)
            if share < 1.0:
                self._raised[signal.name] = _Raised(signal.sentence, share)
            elif known is not None:
                is_calm = signal.value is not None and signal.value < signal.lower
                known.calm = known.calm + 1 if is_calm else 0
                if known.calm >= CALM_READINGS:
                    del self._raised[signal.name]

    @property
    def reason(self) -> str:
        """The sentence of the signal that slows us most; empty at full speed."""
        return min(self._heeded(), key=lambda one: one.share, default=_Raised("", 1.0)).reason

    @property
    def given(self) -> float:
        """The share of full speed: the least that a signal leaves or an operator asked for."""
        return min([self.share or 1.0, *(one.share for one in self._heeded())])

    def _heeded(self) -> list[_Raised]:
        """An operator who asks for a pace has decided what others may feel; nobody decides what may break."""
        return [one for name, one in self._raised.items() if name != COMPANY or self.share is None]

    def rest(self, seconds: float) -> float:
        """How long to rest after a batch that took ``seconds``."""
        return min(5.0, seconds * (1 / max(self.given, 0.01) - 1))
