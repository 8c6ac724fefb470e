# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a live database tells about its own fitness. Reads only; judges nothing."""

from __future__ import annotations

import os
import typing as t

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
    folder, why_not = _folder(connection)
    if why_not:
        return Disk(None, bytes_needed_for, "pg_settings", why_not)
    backend = int(_row(connection, "SELECT pg_backend_pid()")[0])
    if not _runs_here(backend):
        return Disk(
            None, bytes_needed_for, "/proc", "the server runs on another host, whose disk cannot be seen"
        )
    try:
        found = os.statvfs(folder)
    except OSError as exc:
        return Disk(None, bytes_needed_for, "statvfs", f"{folder} cannot be looked at: {exc.strerror}")
    return Disk(found.f_bavail * found.f_frsize, bytes_needed_for, f"statvfs of {folder}")


def _folder(connection: Connection) -> tuple[str, str]:
    """The folder of this database's tablespace, or why it cannot be known."""
    from psycopg2 import errors

    query = (
        "SELECT coalesce(nullif(pg_tablespace_location(dattablespace), ''),"
        "                current_setting('data_directory'))"
        " FROM pg_database WHERE datname = current_database()"
    )
    try:
        return str(_row(connection, query)[0]), ""
    except errors.InsufficientPrivilege:
        connection.rollback()
        return "", "the data directory may not be read: grant pg_read_all_settings, or it is a managed server"


def _runs_here(backend_pid: int) -> bool:
    """The process that serves our session is a process of this host, so no tunnel leads us astray."""
    try:
        with open(f"/proc/{backend_pid}/comm", encoding="ascii", errors="replace") as handle:
            return handle.read().startswith("postgres")
    except OSError:
        return False


def _row(connection: Connection, query: t.Any, values: t.Any = None) -> tuple[t.Any, ...]:
    found: tuple[t.Any, ...] = _rows(connection, query, values)[0]
    return found


def _rows(connection: Connection, query: t.Any, values: t.Any = None) -> list[tuple[t.Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()
