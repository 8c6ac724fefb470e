# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of migration_log and of our ledger. A stage's rows are committed in transactions of their own."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._journal import tables
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    row,
    rows,
    run,
    value,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SCHEMA: t.Final = "multi_tenant_schema"
DATA: t.Final = "multi_tenant_data"


def state_of(connection: Connection, name: str) -> str:
    """Status of the latest row of a stage; empty without one. Reads only."""
    there = row(connection, compose("SELECT to_regclass('public.migration_log') IS NOT NULL"))[0]
    if not there:
        return ""
    found = rows(
        connection,
        compose(
            "SELECT status FROM public.migration_log WHERE migration_name = {name} ORDER BY id DESC LIMIT 1",
            name=value(name),
        ),
    )
    return str(found[0][0]) if found else ""


def begin(connection: Connection, name: str) -> None:
    """Open a row, unless an interrupted attempt left one open; commits."""
    if state_of(connection, name) != "in_progress":
        run(
            connection,
            compose(
                "INSERT INTO public.migration_log (migration_name, status) VALUES ({name}, 'in_progress')",
                name=value(name),
            ),
        )
    connection.commit()


def end(connection: Connection, name: str, status: str, error: str | None = None) -> None:
    """Close what is open of a stage: completed, or failed with its sentence; commits."""
    run(
        connection,
        compose(
            "UPDATE public.migration_log SET status = {status}, completed_at = clock_timestamp(),"
            " error_message = {error} WHERE migration_name = {name} AND status = 'in_progress'",
            status=value(status),
            error=value(error),
            name=value(name),
        ),
    )
    connection.commit()


def note(
    connection: Connection,
    run_id: str,
    kind: str,
    thing: str,
    before: t.Any = None,
    after: t.Any = None,
) -> None:
    """A ledger row, in the caller's transaction."""
    run(
        connection,
        compose(
            "INSERT INTO emailai_migration.ledger (run_id, kind, object, before, after)"
            " VALUES ({run}, {kind}, {thing}, {before}, {after})",
            run=value(run_id),
            kind=value(kind),
            thing=value(thing),
            before=value(json.dumps(before)),
            after=value(json.dumps(after)),
        ),
    )


def made(connection: Connection) -> list[tuple[str, str, str]]:
    """Schema objects that we made in this database and that stand: thing, table, name; oldest first."""
    if not tables.exist(connection):
        return []
    found = rows(
        connection,
        compose(
            "SELECT object, after->>'table', after->>'name' FROM (SELECT DISTINCT ON (object) id,"
            " object, kind, after"
            " FROM emailai_migration.ledger WHERE database = emailai_migration.here()"
            " AND kind IN ('schema', 'schema withdrawn') ORDER BY object, id DESC) latest"
            " WHERE kind = 'schema' ORDER BY id"
        ),
    )
    return list(found)


def noted(connection: Connection, kind: str) -> list[str]:
    """Objects of one kind of ledger row in this database, without those withdrawn since; oldest first."""
    if not tables.exist(connection):
        return []
    found = rows(
        connection,
        compose(
            "SELECT object FROM (SELECT DISTINCT ON (object) id, object, kind FROM emailai_migration.ledger"
            " WHERE database = emailai_migration.here() AND kind IN ({kind}, {kind} || ' withdrawn')"
            " ORDER BY object, id DESC) latest WHERE kind = {kind} ORDER BY id",
            kind=value(kind),
        ),
    )
    return [str(thing) for (thing,) in found]
