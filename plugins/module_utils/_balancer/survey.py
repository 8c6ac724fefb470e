# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the balancers say before anything is done, as lines of the readiness table."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._balancer import capacity as room
from ansible_collections.emailai.migration.plugins.module_utils._balancer.member import Balancer, Member
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

Line = t.Dict[str, str]


@dataclass(frozen=True)
class Question:
    """Who should be known, and which batches are to be drained together."""

    backend: str
    members: t.Sequence[str]
    batches: t.Sequence[t.Sequence[str]]
    min_healthy: int
    min_healthy_percent: int


@dataclass(frozen=True)
class View:
    """One balancer's answer, or the sentence why there is none."""

    balancer: str
    members: t.Sequence[Member] = ()
    may_write: bool = False
    failure: str = ""


def look(balancer: Balancer, backend: str) -> View:
    """Ask one balancer; what cannot be asked becomes an open line, not the end."""
    try:
        return View(balancer.name, balancer.members(backend), balancer.may_write())
    except MigrationError as exc:
        return View(balancer.name, failure=str(exc))


def _line(item: str, required: str, found: str, read_by: str, is_met: bool) -> Line:
    return {
        "item": item,
        "kind": "balancer",
        "required": required,
        "found": found,
        "read_by": read_by,
        "state": "met" if is_met else "open",
    }


def _reachable(view: View) -> Line:
    found = view.failure or ("answers and takes orders" if view.may_write else "answers, but takes no orders")
    return _line(
        f"{view.balancer} reachable",
        "answers and takes orders (level admin)",
        found,
        "show servers state, show cli level",
        view.may_write and not view.failure,
    )


def _known(view: View, members: t.Sequence[str]) -> Line:
    missing = sorted(set(members) - {member.name for member in view.members})
    return _line(
        f"{view.balancer} knows every app server",
        f"{len(members)} servers by name",
        f"missing: {', '.join(missing)}" if missing else f"{len(members)} known",
        "show servers state",
        not missing,
    )


def _healthy(view: View) -> Line:
    sick = [f"{member.name} ({member.status})" for member in view.members if not member.is_serving]
    return _line(
        f"{view.balancer} sees every app server healthy",
        "all checked and fully healthy",
        f"not serving: {', '.join(sick)}" if sick else f"{len(view.members)} of {len(view.members)} serve",
        "show stat",
        bool(view.members) and not sick,
    )


def _roomy(steps: t.Sequence[t.Mapping[str, t.Any]], backend: str) -> Line:
    worst = min(steps, key=lambda step: (step["enough"], step["healthy_after"] - step["minimum"]))
    return _line(
        f"capacity of {backend} for the largest batch",
        f"at least {worst['minimum']} of {worst['members']} go on serving",
        f"{worst['healthy_after']} would, with {', '.join(worst['drains'])} drained",
        "show stat",
        bool(worst["enough"]),
    )


def survey(balancers: t.Sequence[Balancer], question: Question) -> dict[str, t.Any]:
    """Members, the steps of a rollout with their capacity, and the readiness lines."""
    views = [look(balancer, question.backend) for balancer in balancers]
    answered = [view for view in views if not view.failure]
    steps = (
        room.plan(
            [view.members for view in answered],
            question.batches,
            question.min_healthy,
            question.min_healthy_percent,
        )
        if answered
        else []
    )
    lines = [_reachable(view) for view in views]
    for view in answered:
        lines += [_known(view, question.members), _healthy(view)]
    if steps:
        lines.append(_roomy(steps, question.backend))
    return {
        "changed": False,
        "members": [member.as_row() for view in answered for member in view.members],
        "steps": steps,
        "readiness": lines,
    }
