# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs and phases as rows: read, written, never committed here. Rows of other databases do not exist."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._journal import control, tables
from ansible_collections.emailai.migration.plugins.module_utils._journal.view import PhaseRow, Run, View

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor


def read(connection: Connection) -> View:
    """All that the journal of this database knows of its runs; an empty view without a schema."""
    if not tables.exist(connection):
        return View()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, number, release_before, release_after, map_digest, state, owner, host,"
            "       started_at, finished_at FROM emailai_migration.run"
            " WHERE database = emailai_migration.here() ORDER BY started_at, number"
        )
        runs = tuple(Run(*row) for row in cursor.fetchall())
        cursor.execute(
            "SELECT run_id, name, state, started_at, finished_at, error, outcome"
            "  FROM emailai_migration.phase WHERE database = emailai_migration.here() ORDER BY started_at"
        )
        phases: dict[str, list[PhaseRow]] = {}
        for run_id, *columns in cursor.fetchall():
            phases.setdefault(run_id, []).append(PhaseRow(*columns))
        cursor.execute("SELECT clock_timestamp()")
        (now,) = t.cast("tuple[t.Any]", cursor.fetchone())
    wanted = control.read(connection)
    known = {key: tuple(rows) for key, rows in phases.items()}
    return View(runs, known, wanted.wanted, wanted.changed_by, now)


def lock(connection: Connection) -> None:
    """Until the commit nobody else changes a run's state: neither another host nor an operator who aborts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM emailai_migration.run WHERE database = emailai_migration.here() FOR UPDATE"
        )


def create(cursor: Cursor, run: Run) -> None:
    """A new run. An abort was meant for the one before it."""
    cursor.execute(
        "INSERT INTO emailai_migration.run"
        " (id, number, release_before, release_after, map_digest, state, owner, host)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            run.id, run.number, run.release_before, run.release_after,
            run.map_digest, run.state, run.owner, run.host,
        ),
    )  # fmt: skip
    cursor.execute(
        "UPDATE emailai_migration.control SET wanted = 'run', changed_at = now()"
        " WHERE database = emailai_migration.here() AND wanted = 'abort'"
    )


def set_state(cursor: Cursor, run_id: str, state: str, is_finished: bool, map_digest: str = "") -> None:
    """The run's state, and its map's digest if it was not known before."""
    cursor.execute(
        "UPDATE emailai_migration.run SET state = %s,"
        " finished_at = CASE WHEN %s THEN coalesce(finished_at, now()) END,"
        " map_digest = CASE WHEN map_digest = '' THEN %s ELSE map_digest END"
        " WHERE database = emailai_migration.here() AND id = %s",
        (state, is_finished, map_digest, run_id),
    )


def open_phase(cursor: Cursor, run_id: str, name: str) -> None:
    """Begun, or begun again: the first beginning is kept unless the phase had been completed."""
    cursor.execute(
        """
        INSERT INTO emailai_migration.phase AS p (run_id, name, state) VALUES (%s, %s, 'in_progress')
        ON CONFLICT (database, run_id, name) DO UPDATE
           SET state = 'in_progress', error = NULL, finished_at = NULL,
               started_at = CASE WHEN p.state = 'completed' THEN now() ELSE p.started_at END
        """,
        (run_id, name),
    )


def end_phase(
    cursor: Cursor,
    run_id: str,
    name: str,
    state: str,
    outcome: dict[str, t.Any] | None = None,
    error: str | None = None,
) -> None:
    """Completed with an outcome, or failed with an error; an outcome noted before a failure stays."""
    from psycopg2.extras import Json

    cursor.execute(
        "UPDATE emailai_migration.phase SET state = %s, finished_at = now(), error = %s,"
        " outcome = coalesce(%s, outcome)"
        " WHERE database = emailai_migration.here() AND run_id = %s AND name = %s",
        (state, error, None if outcome is None else Json(outcome), run_id, name),
    )


def stop_others(cursor: Cursor, run_id: str, name: str) -> None:
    """What was under way when the way back began did not fail by itself, and will not go on."""
    cursor.execute(
        "UPDATE emailai_migration.phase SET state = 'failed', finished_at = now(), error = %s"
        " WHERE database = emailai_migration.here() AND run_id = %s AND name <> %s AND state = 'in_progress'",
        (f"stopped by {name}", run_id, name),
    )


def note(
    cursor: Cursor, run_id: str, phase: str, kind: str, message: str, detail: dict[str, t.Any] | None = None
) -> None:
    """One line of the run's story."""
    from psycopg2.extras import Json

    cursor.execute(
        "INSERT INTO emailai_migration.event (run_id, phase, kind, message, detail)"
        " VALUES (%s, %s, %s, %s, %s)",
        (run_id, phase, kind, message, Json(detail or {})),
    )
