# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a handful of requests proves, and what it does not."""

from __future__ import annotations

import math


def sequential_test(requests: int, errors: int, good: float, bad: float, false_alarm: float) -> bool:
    """Wald's sequential test: whether these requests prove the rate ``bad`` against ``good``.

    It may be asked after every request. If the true rate is ``good`` or less,
    the chance that it ever says yes is at most ``false_alarm``; a service that
    fails throughout is found within a handful of requests.
    """
    if requests <= 0:
        return False
    evidence = errors * math.log(bad / good) + (requests - errors) * math.log((1 - bad) / (1 - good))
    return evidence >= math.log(1 / false_alarm)


def tail(requests: int, errors: int, rate: float) -> float:
    """The chance of at least this many errors among the requests if the true rate is ``rate``."""
    if errors <= 0:
        return 1.0
    if errors > requests:
        return 0.0
    term = math.exp(
        math.lgamma(requests + 1)
        - math.lgamma(errors + 1)
        - math.lgamma(requests - errors + 1)
        + errors * math.log(rate)
        + (requests - errors) * math.log1p(-rate)
    )
    chance = 0.0
    odds = rate / (1 - rate)
    for count in range(errors, requests + 1):
        chance += term
        term *= (requests - count) / (count + 1) * odds
        # Past the peak the terms only shrink: the rest cannot be seen any more.
        if count > requests * rate and term < chance * 1e-12:
            break
    return min(1.0, chance)


def wilson(requests: int, errors: int, z: float = 1.96) -> tuple[float, float]:
    """The interval in which the true rate lies with 95 % confidence (Wilson's score)."""
    if requests <= 0:
        return 0.0, 1.0
    rate = errors / requests
    middle = rate + z * z / (2 * requests)
    spread = z * math.sqrt(rate * (1 - rate) / requests + z * z / (4 * requests * requests))
    scale = 1 + z * z / requests
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def difference(new: tuple[int, int], old: tuple[int, int]) -> tuple[float, float]:
    """By how much the rate of (requests, errors) ``new`` exceeds that of ``old`` (Newcombe's interval)."""
    new_rate, old_rate = (errors / requests if requests else 0.0 for requests, errors in (new, old))
    new_low, new_high = wilson(*new)
    old_low, old_high = wilson(*old)
    gap = new_rate - old_rate
    low = gap - math.hypot(new_rate - new_low, old_high - old_rate)
    high = gap + math.hypot(new_high - new_rate, old_rate - old_low)
    return low, high
