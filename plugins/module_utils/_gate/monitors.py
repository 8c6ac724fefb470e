# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runbook's three monitors, and what there is to do until a service has exactly them. Touches nothing."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits

PAGE: t.Final = "page"
TELL: t.Final = "tell"

Document = dict[str, t.Any]


@dataclass(frozen=True)
class Monitor:
    """Above which value of which measure, within how many minutes, who is called."""

    name: str
    says: str
    measure: str
    above: float
    minutes: int
    # Whether happenings are counted or values averaged.
    is_count: bool
    calls: str

    @property
    def limit(self) -> str:
        return f"{self.above:g}"


def three(limits: Limits) -> list[Monitor]:
    """By the same limits that the gate counts against."""
    minutes = max(1, round(limits.alert_failed_logins_seconds / 60))
    return [
        Monitor(
            "errors", "more than %s errors a minute", "emailai.errors", limits.alert_errors_per_minute, 1,
            True, PAGE,
        ),
        Monitor(
            "queries", "organization queries above %s ms", "emailai.db.query_time", limits.alert_query_ms, 5,
            False, TELL,
        ),
        Monitor(
            "logins", f"more than %s failed logins in {minutes} minutes", "emailai.auth.failed",
            limits.alert_failed_logins, minutes, True, TELL,
        ),
    ]  # fmt: skip


def sentence(monitor: Monitor) -> str:
    return monitor.says % monitor.limit


@dataclass(frozen=True)
class Found:
    """One of ours as a service holds it."""

    name: str
    key: str
    document: Document


@dataclass(frozen=True)
class Step:
    """One thing to do: create, change or remove; nothing where ``act`` is empty."""

    act: str
    name: str
    key: str = ""


def steps(wanted: t.Mapping[str, Document], found: t.Sequence[Found]) -> list[Step]:
    """What leads from what is there to what is wanted. A second one of the same name goes."""
    seen: dict[str, Found] = {}
    result = []
    for one in found:
        if one.name in wanted and one.name not in seen:
            seen[one.name] = one
        else:
            result.append(Step("remove", one.name, one.key))
    for name, document in wanted.items():
        if name not in seen:
            result.append(Step("create", name))
        elif not holds(document, seen[name].document):
            result.append(Step("change", name, seen[name].key))
    return result


def asked_for(wanted: t.Any, found: t.Any) -> t.Any:
    """Of what is there only what we ask for: what a service adds changes by itself, and is no difference."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {key: asked_for(wanted[key], value) for key, value in found.items() if key in wanted}
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [asked_for(*pair) for pair in zip(wanted, found)]
    return found


def holds(wanted: t.Any, found: t.Any) -> bool:
    """Whether everything we ask for is there; what a service adds of its own does not count."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            key in found and holds(value, found[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(wanted) == len(found)
            and all(holds(*pair) for pair in zip(wanted, found))
        )
    return bool(wanted == found)
