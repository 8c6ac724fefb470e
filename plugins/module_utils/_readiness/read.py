# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a live database tells about its own fitness. Reads only; judges nothing."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres import disk as space
from ansible_collections.emailai.migration.plugins.module_utils._readiness.lines import (
    Connections,
    Disk,
    Server,
    Session,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Modes that conflict with the writes of an application, and so never are an application's own.
_STRONG: t.Final = ["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"]


def server(connection: Connection) -> Server:
    return Server(
        *_row(
            connection,
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
            " current_database()::text, pg_is_in_recovery()",
        )
    )


def connections(connection: Connection) -> Connections:
    """Counted by pg_stat_database: pg_stat_activity hides from a plain role what the others are."""
    return Connections(
        *_row(
            connection,
            """
            SELECT current_setting('max_connections')::int,
                   current_setting('superuser_reserved_connections')::int
                     + coalesce(current_setting('reserved_connections', true)::int, 0),
                   (SELECT sum(numbackends)::int FROM pg_stat_database),
                   current_user::text, r.rolconnlimit,
                   (SELECT count(*)::int FROM pg_stat_activity a WHERE a.usesysid = r.oid),
                   d.datconnlimit,
                   (SELECT numbackends FROM pg_stat_database s WHERE s.datid = d.oid)
              FROM pg_roles r, pg_database d
             WHERE r.rolname = current_user AND d.datname = current_database()
            """,
        )
    )


def failed_prisma_migrations(connection: Connection, schema: str) -> list[str] | None:
    """Names of migrations that began and neither ended nor were rolled back; None without Prisma's table."""
    from psycopg2 import sql

    table = sql.Identifier(schema, "_prisma_migrations")
    if _row(connection, "SELECT to_regclass(%s) IS NULL", (table.as_string(connection),))[0]:
        return None
    query = sql.SQL(
        "SELECT migration_name FROM {} WHERE finished_at IS NULL AND rolled_back_at IS NULL"
        " ORDER BY started_at"
    )
    return [name for (name,) in _rows(connection, query.format(table))]


def long_transactions(connection: Connection, most_seconds: float) -> list[Session]:
    """Open and prepared transactions of others in this database; autovacuum gives way by itself."""
    found = _rows(
        connection,
        """
        SELECT pid, coalesce(usename, '?') || ' ' || coalesce(nullif(application_name, ''), 'unnamed'),
               extract(epoch FROM clock_timestamp() - xact_start)::float, coalesce(state, 'active')
          FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
           AND xact_start < clock_timestamp() - make_interval(secs => %(most)s)
         UNION ALL
        SELECT 0, owner || ' prepared ' || gid, extract(epoch FROM clock_timestamp() - prepared)::float,
               'prepared'
          FROM pg_prepared_xacts
         WHERE database = current_database()
           AND prepared < clock_timestamp() - make_interval(secs => %(most)s)
        """,
        {"most": most_seconds},
    )
    return [Session(*row) for row in found]


def sees_all_sessions(connection: Connection) -> bool:
    return bool(_row(connection, "SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')")[0])


def strong_locks(connection: Connection) -> list[Session]:
    found = _rows(
        connection,
        """
        SELECT l.pid, coalesce(a.usename, '?'),
               coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float,
               'holds ' || l.mode || ' on ' || c.relname
          FROM pg_locks l
          JOIN pg_class c ON c.oid = l.relation
          JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
          LEFT JOIN pg_stat_activity a ON a.pid = l.pid
         WHERE l.granted AND l.mode = ANY(%s) AND l.pid IS DISTINCT FROM pg_backend_pid()
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """,
        (_STRONG,),
    )
    return [Session(*row) for row in found]


def database_bytes(connection: Connection) -> int:
    return int(_row(connection, "SELECT pg_database_size(current_database())")[0])


def disk(connection: Connection, bytes_needed_for: int) -> Disk:
    """Free space where the database lies, if that is on this very host and may be looked at."""
    seen = space.look(connection)
    return Disk(seen.free_bytes, bytes_needed_for, seen.read_by, seen.why_not)


def _row(connection: Connection, query: t.Any, values: t.Any = None) -> tuple[t.Any, ...]:
    found: tuple[t.Any, ...] = _rows(connection, query, values)[0]
    return found


def _rows(connection: Connection, query: t.Any, values: t.Any = None) -> list[tuple[t.Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()
