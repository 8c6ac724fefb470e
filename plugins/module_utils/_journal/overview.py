# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that the journal knows of the latest run, in one look that writes nothing."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import (
    control,
    hold,
    lease,
    run,
    steer,
    tables,
)
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    cause_of,
    driver_error,
)

if t.TYPE_CHECKING:
    import datetime

    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._journal.view import Run, View

Fields = t.Dict[str, t.Any]

# The whole answer is wanted within two seconds, whatever the tables' sizes.
_COUNT_MILLISECONDS: t.Final = 200

_LISTS: t.Final[dict[str, str]] = {
    "confirmations": "SELECT item, confirmed_by, at"
    " FROM emailai_migration.confirmation WHERE {run} ORDER BY at",
    "messages": "SELECT name, channel, sent_at FROM emailai_migration.message WHERE {run} ORDER BY sent_at",
    "artifacts": "SELECT host, state, release_before, release_after, updated_at, detail"
    " FROM emailai_migration.artifact WHERE {run} ORDER BY host",
    "baselines": "SELECT name, taken_at, figures FROM emailai_migration.baseline WHERE {run} ORDER BY name",
    "progress": "SELECT task, state, done, total, reason, error, started_at, updated_at, finished_at"
    " FROM emailai_migration.progress WHERE {run} ORDER BY started_at",
}
_OWN: t.Final = "database = emailai_migration.here() AND run_id = %s"


def read(connection: Connection, releases: tuple[str, str] | None, model: Fields, events: int) -> Fields:
    """The run of the releases, or without them the latest of all, and everything noted under it."""
    try:
        return _read(connection, releases, model, events)
    except driver_error() as exc:
        raise MigrationError("read", "the journal", cause_of(exc), kind="database") from None


def _read(connection: Connection, releases: tuple[str, str] | None, model: Fields, events: int) -> Fields:
    found: Fields = {"run": None, "phases": [], "events": [], "holder": None, "now": _now(connection)}
    found.update({name: [] for name in _LISTS}, control=steer.control_fields(control.Control()))
    found["counts"] = _count(connection, model)
    if not tables.exist(connection):
        return found
    known = run.read(connection)
    chosen = _choose(known, releases)
    held = lease.read(connection, hold.LEASE)
    found["holder"] = hold.describe(held) if held and held.is_live else None
    found["control"] = steer.control_fields(control.read(connection))
    if chosen is None:
        return found
    found["run"] = dict(chosen.__dict__)
    found["phases"] = [dict(row.__dict__) for row in known.phases.get(chosen.id, ())]
    for name, query in _LISTS.items():
        found[name] = _rows(connection, query.format(run=_OWN), (chosen.id,))
    newest = _rows(
        connection,
        "SELECT at, phase, kind, message FROM emailai_migration.event"
        f" WHERE {_OWN} ORDER BY id DESC LIMIT %s",
        (chosen.id, events),
    )
    found["events"] = newest[::-1]
    return found


def _choose(known: View, releases: tuple[str, str] | None) -> Run | None:
    runs = [r for r in known.runs if releases is None or (r.release_before, r.release_after) == releases]
    return runs[-1] if runs else None


def _now(connection: Connection) -> datetime.datetime:
    row = _rows(connection, "SELECT clock_timestamp() AS now", ())[0]
    return t.cast("datetime.datetime", row["now"])


def _count(connection: Connection, model: Fields) -> list[Fields]:
    """The runbook's four counts. What is not there, or takes too long to count, is None, never 0."""
    from psycopg2 import sql

    schema, link = model["schema"], sql.Identifier(model["link"])
    names = {key: sql.Identifier(schema, model[key]) for key in ("users", "organizations", "members")}
    accounts, premiums = (sql.Identifier(schema, model[key]) for key in ("accounts", "premiums"))
    every = sql.SQL("SELECT count(*) FROM {}").format(names["users"])
    linked = sql.SQL("SELECT count(*) FROM {} WHERE {} IS NOT NULL")
    all_of = sql.SQL("SELECT count(*) FROM {}")
    asked = {
        "organizations": (all_of.format(names["organizations"]), every),
        "members": (all_of.format(names["members"]), every),
        "linked_accounts": (linked.format(accounts, link), all_of.format(accounts)),
        "linked_premiums": (linked.format(premiums, link), all_of.format(premiums)),
    }
    return [
        {"name": name, "done": _number(connection, done), "total": _number(connection, total)}
        for name, (done, total) in asked.items()
    ]


def _number(connection: Connection, query: t.Any) -> int | None:
    from psycopg2 import errors

    unknown = (
        errors.UndefinedTable,
        errors.UndefinedColumn,
        errors.InsufficientPrivilege,
        errors.QueryCanceled,
        errors.LockNotAvailable,
    )
    with connection.cursor() as cursor:
        cursor.execute("SAVEPOINT counting")
        try:
            cursor.execute(
                f"SET LOCAL statement_timeout = {_COUNT_MILLISECONDS}; SET LOCAL lock_timeout = 50"
            )
            cursor.execute(query)
            row = cursor.fetchone()
            number = int(row[0]) if row else None
        except unknown:
            number = None
        cursor.execute("ROLLBACK TO SAVEPOINT counting")
    return number


def _rows(connection: Connection, query: str, values: tuple[t.Any, ...]) -> list[Fields]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row)) for row in cursor.fetchall()]
