# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers that the gate judges by: the runbook's own, and ours where it is silent."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, fields

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError


@dataclass(frozen=True)
class Limits:
    # The runbook's.
    error_percent_roll_back: float = 5.0
    error_percent_ask: float = 2.0
    error_percent_hold: float = 1.0
    p95_ms: float = 500.0
    slower_percent: float = 50.0
    # Ours. A response that is slower by less than this is noise, whatever the percentage says.
    slower_floor_ms: float = 50.0
    windows_over: int = 3
    windows_of: int = 5
    # Fewer requests say nothing about a window: it is joined with the next one.
    window_requests: int = 20
    # How often a service that fails no more than error_percent_ask may be called one that fails more than
    # error_percent_roll_back, and one that fails no more than error_percent_hold one that fails more.
    hard_false_alarm: float = 0.001
    soft_false_alarm: float = 0.0001
    extensions: int = 3
    connection_failures: int = 3
    connection_failures_seconds: int = 60
    connections_percent: float = 80.0
    complaints: int = 3
    # The runbook's three alerts tell people; they hold a rollout only where this is true.
    alerts_hold: bool = False
    alert_errors_per_minute: float = 10.0
    alert_query_ms: float = 100.0
    alert_failed_logins: int = 5
    alert_failed_logins_seconds: int = 300


def limits_from(given: t.Mapping[str, t.Any]) -> Limits:
    """The defaults with what is given in their place; a name nobody knows is refused."""
    kinds = {field.name: type(field.default) for field in fields(Limits)}
    unknown = sorted(set(given) - set(kinds))
    if unknown:
        raise _refusal(f"{', '.join(unknown)} is not among them", f"Known are {', '.join(kinds)}")
    limits = Limits(**{name: _number(name, kinds[name], value) for name, value in given.items()})
    if not limits.error_percent_hold <= limits.error_percent_ask <= limits.error_percent_roll_back:
        raise _refusal("the three error percentages do not ascend", "Set hold <= ask <= roll_back")
    if not 0 < limits.error_percent_hold <= limits.error_percent_ask < limits.error_percent_roll_back < 100:
        raise _refusal("an error percentage is not between 0 and 100, or ask equals roll_back")
    if not (0 < limits.hard_false_alarm < 1 and 0 < limits.soft_false_alarm < 1):
        raise _refusal("a false alarm is not a probability")
    if not 1 <= limits.windows_over <= limits.windows_of:
        raise _refusal("windows_over is not between 1 and windows_of")
    return limits


def _number(name: str, kind: type, value: t.Any) -> t.Any:
    if kind is bool:
        if isinstance(value, bool) or str(value).lower() in ("true", "false", "yes", "no"):
            return str(value).lower() in ("true", "yes")
        raise _refusal(f"{name} is not true or false")
    try:
        number = kind(value)
    except (TypeError, ValueError):
        raise _refusal(f"{name} is not a number") from None
    if number < 0:
        raise _refusal(f"{name} is negative")
    return number


def _refusal(cause: str, cure: str = "") -> MigrationError:
    return MigrationError("use", "the limits of the gate", cause, cure, kind="gate")
