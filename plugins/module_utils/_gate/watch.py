# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings every service to exactly the monitors that are wanted, and reads back what it then holds."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate import monitors
from ansible_collections.emailai.migration.plugins.module_utils._gate.watchmen import (
    datadog,
    prometheus,
    sentry,
)

Description = t.Mapping[str, t.Any]


class Watchman(t.Protocol):
    """A service that holds monitors: reads ours, and makes one step at a time."""

    wanted: dict[str, monitors.Document]

    def read(self) -> list[monitors.Found]:
        """Ours, and nobody else's. Raises MigrationError if that cannot be told."""

    def act(self, step: monitors.Step) -> None:
        """Create, change or remove one."""


_KINDS: t.Final[dict[str, tuple[t.Callable[..., Watchman], tuple[str, ...]]]] = {
    "datadog": (datadog.Datadog, ("api_key", "application_key", "page", "tell")),
    "sentry": (sentry.Sentry, ("token", "organization", "projects", "page", "tell")),
    "prometheus": (prometheus.Prometheus, ("path",)),
}
KINDS: t.Final = tuple(_KINDS)

_ALERTS: t.Final = "the runbook's three alerts"
_NOBODY: t.Final = {
    "item": "alerts call people",
    "kind": "gate",
    "required": _ALERTS,
    "found": "gate_monitors is empty: nobody would notice",
    "read_by": "the list of services",
    "state": "not_watched",
}


def name_of(description: Description) -> str:
    return str(description.get("name") or description["kind"])


def make(description: Description, wanted: t.Sequence[monitors.Monitor]) -> Watchman:
    factory, required = _KINDS[description["kind"]]
    missing = [name for name in required if not description.get(name)]
    if missing:
        raise MigrationError(
            "watch by",
            name_of(description),
            f"{', '.join(missing)} is not set",
            "See docs/gate.md",
            kind="gate",
        )
    return factory(description, wanted)


def ensure(
    descriptions: t.Sequence[Description], wanted: t.Sequence[monitors.Monitor], check_mode: bool
) -> dict[str, t.Any]:
    """All services are made out before the first is changed: a wrong description changes nothing."""
    watchmen = [(name_of(one), make(one, wanted)) for one in descriptions]
    rows = [_ensure(name, watchman, check_mode) for name, watchman in watchmen]
    return {
        "changed": any(row["steps"] for row in rows),
        "services": rows,
        "diff": [
            {"header": row["name"], "before": row.pop("before"), "after": row.pop("after")} for row in rows
        ],
    }


def _ensure(name: str, watchman: Watchman, check_mode: bool) -> dict[str, t.Any]:
    before = watchman.read()
    steps = monitors.steps(watchman.wanted, before)
    after = before
    if steps and not check_mode:
        for step in steps:
            watchman.act(step)
        after = watchman.read()
        left = monitors.steps(watchman.wanted, after)
        if left:
            words = ", ".join(f"{step.act} {step.name}" for step in left)
            raise MigrationError(
                "keep the monitors at", name, f"it does not hold what it was sent ({words})", kind="gate"
            )
    return {
        "name": name,
        "steps": [f"{step.act} {step.name}" for step in steps],
        "monitors": sorted(one.name for one in after),
        "before": _shown(before, watchman),
        "after": watchman.wanted if steps and check_mode else _shown(after, watchman),
    }


def _shown(found: t.Sequence[monitors.Found], watchman: Watchman) -> dict[str, t.Any]:
    return {
        one.name: monitors.asked_for(watchman.wanted.get(one.name, one.document), one.document)
        for one in found
    }


def lines(
    descriptions: t.Sequence[Description], wanted: t.Sequence[monitors.Monitor]
) -> list[dict[str, str]]:
    """A readiness line a service: whether it answers, and whether it has them or gets them in this run.

    Without a service there is one all the same: that nobody is called has to be somebody's decision.
    """
    return [_line(one, wanted) for one in descriptions] or [dict(_NOBODY)]


def _line(description: Description, wanted: t.Sequence[monitors.Monitor]) -> dict[str, str]:
    try:
        watchman = make(description, wanted)
        steps = monitors.steps(watchman.wanted, watchman.read())
        state = "due" if steps else "met"
        found = ", ".join(f"{step.act} {step.name}" for step in steps) or "as wanted"
    except MigrationError as exc:
        state, found = "open", str(exc)
    return {
        "item": f"alerts at {name_of(description)}",
        "kind": "gate",
        "required": _ALERTS,
        "found": found,
        "read_by": str(description["kind"]),
        "state": state,
    }
