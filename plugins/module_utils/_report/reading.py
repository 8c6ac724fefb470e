# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one run out of the journal, as one document. Writes nothing, locks nothing."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import tables
from ansible_collections.emailai.migration.plugins.module_utils._report.redact import redact

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

Document = t.Dict[str, t.Any]

# Enough to tell the story of a run; more would make a page nobody can read.
MOST_ROWS: t.Final = 2000

_HERE: t.Final = "database = emailai_migration.here() AND run_id = %(run)s"
# Texts of quarantined rows are left out: the server's message repeats the row.
_QUERIES: t.Final[dict[str, str]] = {
    "phases": f"""
        SELECT name, state, started_at, finished_at, error, outcome
          FROM emailai_migration.phase WHERE {_HERE} ORDER BY started_at, name""",
    # What later parts rely on first, then the newest.
    "events": f"""
        SELECT id, phase, at, kind, message, detail
          FROM emailai_migration.event WHERE {_HERE}
         ORDER BY (kind = 'next_step' OR detail ? 'proves') DESC, id DESC LIMIT {MOST_ROWS}""",
    "progress": f"""
        SELECT task, state, done, total, counters, reason, error, started_at, updated_at, finished_at
          FROM emailai_migration.progress WHERE {_HERE} ORDER BY started_at, task""",
    "messages": f"""
        SELECT name, channel, sent_at FROM emailai_migration.message
         WHERE {_HERE} ORDER BY sent_at, name, channel""",
    "confirmations": f"""
        SELECT item, confirmed_by, at FROM emailai_migration.confirmation WHERE {_HERE} ORDER BY at, item""",
    "baselines": f"""
        SELECT name, taken_at, figures FROM emailai_migration.baseline WHERE {_HERE} ORDER BY name""",
    "artifacts": f"""
        SELECT host, release_before, release_after, state, updated_at, detail
          FROM emailai_migration.artifact WHERE {_HERE} ORDER BY host""",
    "quarantine": f"""
        SELECT table_name, row_key, sqlstate, at
          FROM emailai_migration.quarantine WHERE {_HERE} ORDER BY table_name, row_key LIMIT {MOST_ROWS}""",
    "ledger": f"""
        SELECT kind, count(*) AS entries, min(at) AS first_at, max(at) AS last_at
          FROM emailai_migration.ledger WHERE {_HERE} GROUP BY kind ORDER BY kind""",
}


def read_document(connection: Connection, run_id: str = "") -> Document:
    """The run with that id, or the newest one of this database, from one snapshot."""
    connection.rollback()
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
    if not tables.exist(connection):
        raise MigrationError(
            "read", "the journal", "this database has none", "Start a run first", kind="database"
        )
    run = _read_run(connection, run_id)
    document: Document = {"run": run}
    for part, query in _QUERIES.items():
        document[part] = _rows(connection, query, {"run": run["id"]})
    document["is_whole"] = len(document["events"]) < MOST_ROWS and len(document["quarantine"]) < MOST_ROWS
    document["events"].sort(key=lambda event: event["id"])
    connection.rollback()
    return t.cast(Document, redact(document))


def _read_run(connection: Connection, run_id: str) -> dict[str, t.Any]:
    rows = _rows(
        connection,
        "SELECT id, number, release_before, release_after, map_digest, state, owner, host,"
        "       started_at, finished_at, detail, database, current_database() AS database_name,"
        "       version() AS server"
        "  FROM emailai_migration.run WHERE database = emailai_migration.here()"
        "   AND (%(run)s = '' OR id = %(run)s) ORDER BY started_at DESC, number DESC LIMIT 1",
        {"run": run_id},
    )
    if not rows:
        thing = f"run {run_id}" if run_id else "the newest run"
        raise MigrationError("read", thing, "the journal of this database knows no such run", kind="database")
    return rows[0]


def _rows(connection: Connection, query: str, values: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, map(_plain, row))) for row in cursor.fetchall()]


def _plain(value: t.Any) -> t.Any:
    """Times as text, so that the document is JSON."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value
