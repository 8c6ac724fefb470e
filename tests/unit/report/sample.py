# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as the journal keeps it, complete enough to tell every part of the report."""

from __future__ import annotations

import copy
import typing as t

RUN = "v1.9.0..v2.0.0-orgs#1"

_CHECKS = [
    {"name": "users_without_organization", "state": "passed", "count": 0, "expected": 0},
    {
        "name": "seats_differ",
        "title": "Seats are what the members are",
        "result": "finding",
        "count": 2,
        "ids": ["org-17", "org-23"],
        "cause": "2 organizations",
        "repair": "playbooks/repair.yml --tags billing",
    },
]
_GATE = {
    "verdict": "pass",
    "action": "pass",
    "trigger": "",
    "reasons": [],
    "alerts": [],
    "elapsed_seconds": 3600.0,
    "members": {
        "app-1": {
            "access_log": {"requests": 48120, "errors": 31, "error_percent": 0.064, "p95_ms": 43},
            "haproxy": {"requests": 48122, "errors": 29, "error_percent": 0.06},
        },
        "app-2": {"access_log": {"requests": 47990, "errors": 20, "error_percent": 0.042, "p95_ms": 41}},
    },
}


def _phase(
    name: str, start: str, end: str | None, state: str = "completed", **outcome: t.Any
) -> dict[str, t.Any]:
    day = "2030-05-07T"
    return {
        "name": name,
        "state": state,
        "error": None,
        "outcome": outcome,
        "started_at": f"{day}{start}.000000Z",
        "finished_at": f"{day}{end}.000000Z" if end else None,
    }


_DOCUMENT: dict[str, t.Any] = {
    "run": {
        "id": RUN,
        "number": 1,
        "release_before": "v1.9.0",
        "release_after": "v2.0.0-orgs",
        "map_digest": "ab12",
        "state": "concluding",
        "owner": "ada",
        "host": "control-1",
        "started_at": "2030-05-07T02:00:00.000000Z",
        "finished_at": None,
        "detail": {},
        "database": "7412/16384",
        "database_name": "emailai_prod",
        "server": "PostgreSQL 18.6",
    },
    "phases": [
        _phase("prepare", "02:00:00", "02:00:12"),
        _phase(
            "back_up",
            "02:00:12",
            "02:06:40",
            object="migrations/emailai_prod_backup_20300507",
            bytes=1234567890,
            proven=True,
            proof={"tables": 7, "rows": 5120, "digests": "equal", "restored_on": "staging-db"},
        ),
        _phase("rehearse", "02:06:40", "02:15:00", predicted={"seconds": 480}, actual={"seconds": 500}),
        _phase("expand", "02:15:00", "02:15:20", objects_made=11),
        _phase(
            "move",
            "02:15:20",
            "02:22:05",
            predicted={"seconds": 400, "organizations": 1250},
            actual={"seconds": 405, "organizations": 1250},
        ),
        _phase(
            "verify",
            "02:22:05",
            "02:23:00",
            checks=_CHECKS,
            findings=[{"name": "twins", "count": 1, "ids": ["org-99"]}],
        ),
        _phase("deploy", "02:23:00", "02:55:00", smoke={"passed": 19, "failed": 0, "not_applicable": 2}),
        _phase("watch", "02:55:00", "03:55:00", gate=_GATE),
        _phase("conclude", "03:55:00", None, "in_progress"),
    ],
    "events": [
        {
            "id": 1,
            "phase": "move",
            "at": "2030-05-07T02:18:00.000000Z",
            "kind": "throttled",
            "message": "replica lag 4 s",
            "detail": {"lag_seconds": 4},
        },
    ],
    "progress": [
        {
            "task": "users",
            "state": "completed",
            "done": 1250,
            "total": 1250,
            "counters": {"batches": 25, "retries": 1},
            "reason": "",
            "error": None,
            "started_at": "2030-05-07T02:15:20.000000Z",
            "updated_at": "2030-05-07T02:22:00.000000Z",
            "finished_at": "2030-05-07T02:22:00.000000Z",
        },
    ],
    "messages": [{"name": "complete", "channel": "mail", "sent_at": "2030-05-07T03:55:01.000000Z"}],
    "confirmations": [
        {"item": "team_notified", "confirmed_by": "Grace Hopper", "at": "2030-05-07T02:00:01.000000Z"}
    ],
    "baselines": [
        {
            "name": "service",
            "taken_at": "2030-05-07T02:00:05.000000Z",
            "figures": {"requests": 4120, "error_percent": 0.05, "p95_ms": 41},
        }
    ],
    "artifacts": [
        {
            "host": f"app-{number}",
            "release_before": "v1.9.0",
            "release_after": "v2.0.0-orgs",
            "state": "healthy",
            "updated_at": "2030-05-07T02:50:00.000000Z",
            "detail": {},
        }
        for number in (1, 2, 3, 4)
    ],
    "quarantine": [
        {
            "table_name": "EmailAccount",
            "row_key": "acc-9",
            "sqlstate": "23503",
            "at": "2030-05-07T02:20:00.000000Z",
        }
    ],
    "ledger": [],
    "is_whole": True,
}

NAMES = {
    "team_training": "Ada Lovelace",
    "documentation": "Ada Lovelace",
    "support_briefing": "Grace Hopper",
    "dashboards": "Grace Hopper",
    "retrospective": "Ada Lovelace",
}


def document() -> dict[str, t.Any]:
    """A fresh copy; a test may bend it."""
    return copy.deepcopy(_DOCUMENT)


def phase(of: dict[str, t.Any], name: str) -> dict[str, t.Any]:
    return next(row for row in of["phases"] if row["name"] == name)


def without(of: dict[str, t.Any], name: str) -> dict[str, t.Any]:
    of["phases"] = [row for row in of["phases"] if row["name"] != name]
    return of
