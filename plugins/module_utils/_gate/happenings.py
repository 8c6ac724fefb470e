# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened once or stayed so, beside the rates: fatal errors, lost connections, failed logins."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits
from ansible_collections.emailai.migration.plugins.module_utils._gate.policy import Finding
from ansible_collections.emailai.migration.plugins.module_utils._gate.record import Record

# Once is enough.
_HAPPENED: t.Final = ("fatal_log", "billing")
# A state seen in passing is not one that stays.
_STAYED: t.Final = ("connections_high", "server_down")
_STAYED_LOOKS: t.Final = 3


def findings(record: Record, limits: Limits) -> list[Finding]:
    found = []
    seen: dict[tuple[str, str, str], int] = {}
    for _at, event in record.events:
        if event.trigger in _HAPPENED + _STAYED:
            key = (event.trigger, event.text, event.server)
            seen[key] = seen.get(key, 0) + event.count
    for (trigger, text, server), count in seen.items():
        if trigger in _HAPPENED or count >= _STAYED_LOOKS:
            found.append(Finding(trigger, f"{text} ({count} times)" if count > 1 else text, server=server))
    return found + _connection_failures(record, limits)


def _connection_failures(record: Record, limits: Limits) -> list[Finding]:
    events = [(at, event) for at, event in record.events if event.trigger == "connection_failures"]
    seconds = limits.connection_failures_seconds
    worst = most_within([(at, event.count) for at, event in events], seconds)
    if not events or worst < limits.connection_failures:
        return []
    texts = "; ".join(sorted({event.text for _at, event in events}))
    return [
        Finding("connection_failures", f"{worst} database connections failed within {seconds} s: {texts}")
    ]


def failed_logins(record: Record, limits: Limits) -> list[str]:
    seen = [(at, event.count) for at, event in record.events if event.trigger == "failed_logins"]
    worst = most_within(seen, limits.alert_failed_logins_seconds)
    if worst <= limits.alert_failed_logins:
        return []
    return [f"{worst} failed logins within {limits.alert_failed_logins_seconds} s"]


def most_within(seen: t.Sequence[tuple[float, int]], seconds: float) -> int:
    """The largest sum of counts that lie within so many seconds of each other."""
    return max((sum(n for at, n in seen if 0 <= at - start <= seconds) for start, _n in seen), default=0)


def integrity(answers: t.Sequence[t.Mapping[str, t.Any]]) -> list[Finding]:
    """What the verifier found in each database. Its findings are for a person; no release made them."""
    found = []
    for answer in answers:
        database = str(answer.get("item") or "the database")
        if "checks" not in answer:
            said = answer.get("msg") or "it gave no answer"
            found.append(Finding("inconclusive", f"{database} could not be verified: {said}", database))
        for check in answer.get("checks", []):
            if check["result"] in ("failed", "inconclusive"):
                trigger = "integrity" if check["result"] == "failed" else "inconclusive"
                found.append(Finding(trigger, _said_of(check, database), database))
    return found


def _said_of(check: t.Mapping[str, t.Any], database: str) -> str:
    """The check, how often and where first; the rest is for verify.yml to show."""
    ids = check.get("ids") or []
    number = f"{check['count']} " if check.get("count") else ""
    first = f" ({', '.join([ids[0], '…'][: len(ids)])})" if ids else ""
    return f"{check['name']} {check['result']} in {database}: {number}{check['cause']}{first}"


def complaints(number: int | None, limits: Limits) -> list[Finding]:
    """What users say, as somebody has entered it; that nobody has is not the same as none."""
    if number is None:
        return [Finding("inconclusive", "nobody has entered how many users complained", heals=False)]
    if number < limits.complaints:
        return []
    return [Finding("complaints", f"{number} users complained (limit {limits.complaints})")]
