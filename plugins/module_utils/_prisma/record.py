# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prisma's own record in the database: what was applied, what failed, who holds its lock."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    row,
    rows,
    run,
    value,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Prisma takes this advisory lock for the time of a migrate command, and waits ten seconds for it.
LOCK: t.Final = 72707369
_TABLE: t.Final = "_prisma_migrations"


def is_kept(connection: Connection, schema: str) -> bool:
    query = compose(
        "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = {schema} AND c.relname = {table})",
        schema=value(schema),
        table=value(_TABLE),
    )
    return bool(row(connection, query)[0])


def applied(connection: Connection, schema: str) -> set[str]:
    return {name for name, _log in _rows(connection, schema, "finished_at IS NOT NULL")}


def failed(connection: Connection, schema: str) -> dict[str, str]:
    """Migrations that began and neither ended nor were rolled back, with what the server said."""
    return {name: log or "" for name, log in _rows(connection, schema, "finished_at IS NULL")}


def forget(connection: Connection, schema: str, names: t.Sequence[str]) -> None:
    """Remove all that is said of these migrations, in the caller's transaction.

    Marked as rolled back, one would be applied again by a deploy, and yet Prisma's status would call the
    schema up to date: it does not ask whether what stands in its record was rolled back.
    """
    run(
        connection,
        compose(
            "DELETE FROM {table} WHERE migration_name = ANY({names})",
            table=(schema, _TABLE),
            names=value(list(names)),
        ),
    )


def refuse_failed(connection: Connection, schema: str) -> None:
    torn = failed(connection, schema)
    if torn:
        name, log = next(iter(torn.items()))
        raise MigrationError(
            "let Prisma work on",
            "the database",
            f"{name} failed before" + (f": {' '.join(log.split())[:300]}" if log else ""),
            f"Repair it, then run prisma migrate resolve --rolled-back {name}",
            failed_migrations=sorted(torn),
        )


def refuse_locked(connection: Connection) -> None:
    """Who holds the lock may be a deploy that runs, or one that was killed behind a pooler."""
    holders = rows(
        connection,
        compose(
            "SELECT l.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(a.state, 'unknown')"
            "  FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = 0"
            "   AND l.objid = {lock}"
            "   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            lock=value(LOCK),
        ),
    )
    if holders:
        who = "; ".join(f"pid {pid} ({name}, {state})" for pid, name, state in holders)
        raise MigrationError(
            "let Prisma work on",
            "the database",
            f"its lock {LOCK} is held by {who}",
            "Wait for that migration, or end the session if nobody is behind it",
            blockers=who,
        )


def _rows(connection: Connection, schema: str, condition: str) -> list[t.Any]:
    if not is_kept(connection, schema):
        return []
    query = compose(
        f"SELECT migration_name, logs FROM {{table}} WHERE rolled_back_at IS NULL AND {condition}"
        " ORDER BY started_at",
        table=(schema, _TABLE),
    )
    return rows(connection, query)
