# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many members must go on serving, and whether a drain leaves that many. Touches nothing."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import Member


@dataclass(frozen=True)
class Capacity:
    """The narrowest balancer's view of one step: who serves now, and who would afterwards."""

    balancer: str
    members: int
    healthy: int
    healthy_after: int
    minimum: int

    @property
    def is_enough(self) -> bool:
        # Who does not serve takes nothing away by leaving: a sick member can always be drained.
        return self.healthy_after >= self.minimum or self.healthy_after == self.healthy

    def as_row(self) -> dict[str, t.Any]:
        return {**asdict(self), "enough": self.is_enough}


def minimum(members: int, least: int, percent: int) -> int:
    """The stricter of a count and a share, the share rounded up in whole numbers."""
    return max(least, -(-members * percent // 100))


def after_drain(
    members: t.Sequence[Member], leaving: t.Collection[str], least: int, percent: int
) -> Capacity:
    """What one balancer would have left without ``leaving``."""
    serving = {member.name for member in members if member.is_serving}
    return Capacity(
        balancer=members[0].balancer if members else "",
        members=len(members),
        healthy=len(serving),
        healthy_after=len(serving - set(leaving)),
        minimum=minimum(len(members), least, percent),
    )


def narrowest(capacities: t.Sequence[Capacity]) -> Capacity:
    """Of several balancers the one with the least to spare decides."""
    return min(capacities, key=lambda each: (each.is_enough, each.healthy_after - each.minimum))


def plan(
    views: t.Sequence[t.Sequence[Member]],
    batches: t.Sequence[t.Sequence[str]],
    least: int,
    percent: int,
) -> list[dict[str, t.Any]]:
    """Each batch as a step: who would be drained together and what would go on serving meanwhile."""
    return [
        {
            "batch": number,
            "drains": list(batch),
            **narrowest([after_drain(view, batch, least, percent) for view in views]).as_row(),
        }
        for number, batch in enumerate(batches, start=1)
    ]
