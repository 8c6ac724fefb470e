# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the database fares: connections, and the slowest queries on organizations."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import (
    Event,
    Look,
    Position,
    Reading,
)
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    session,
    target_from,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Counted without a filter on what a session does: without pg_monitor the
# columns that would tell are empty for the sessions of others.
_CONNECTIONS = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL),
       current_setting('max_connections')::int
       - current_setting('superuser_reserved_connections')::int
       - coalesce(current_setting('reserved_connections', true)::int, 0)
"""
_STATEMENTS = """
SELECT queryid::text, min(query), sum(calls)::bigint, sum({total}), max({longest})
  FROM {view}
 WHERE query LIKE %s AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY queryid
"""
# What libpq and the server say when no further connection is to be had.
_EXHAUSTED: t.Final = ("too many clients", "remaining connection slots", "too many connections")
_UNREACHABLE: t.Final = (
    "refused",
    "timeout expired",
    "timed out",
    "starting up",
    "shutting down",
    "in recovery mode",
    "closed the connection",
    "terminat",
    "no route to host",
    "does not exist on that",
    "no such file",
)


class Postgres:
    measures: tuple[str, ...] = ()

    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        self.target = target_from(description)

    def observe(self, reading: Reading, position: Position | None, look: Look) -> None:
        try:
            with session(self.target, "gate", autocommit=True) as connection:
                self._read(connection, reading, position or {}, look)
        except MigrationError as exc:
            failure = _connection_failure(str(exc))
            if failure:
                reading.events.append(Event("connection_failures", f"our own connection: {failure}"))
            raise

    def _read(self, connection: Connection, reading: Reading, position: Position, look: Look) -> None:
        import psycopg2

        try:
            self._connections(connection, reading, look)
            self._queries(connection, reading, position, look)
        except psycopg2.Error as exc:
            cause = " ".join(str(exc).split()) or type(exc).__name__
            raise MigrationError("read", f"database {self.target.label}", cause) from None

    def _connections(self, connection: Connection, reading: Reading, look: Look) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_CONNECTIONS)
            used, available = t.cast("tuple[int, int]", cursor.fetchone())
        share = 100 * used / available if available > 0 else 100.0
        reading.figures["connections"] = used
        reading.figures["connections_available"] = available
        reading.figures["connections_percent"] = round(share, 1)
        if used >= available:
            reading.events.append(Event("connection_failures", "every connection of the server is in use"))
        elif share > look.connections_percent:
            reading.events.append(
                Event(
                    "connections_high",
                    f"more than {look.connections_percent:g} % of the connections are in use",
                )
            )

    def _queries(self, connection: Connection, reading: Reading, position: Position, look: Look) -> None:
        rows, note = _statements(connection, look.queries_of)
        if note:
            reading.notes.append(note)
        if rows is None:
            reading.position = position
            return
        # What was called before the watch began, by the migration itself above all, is not its concern.
        start = position.get("queries")
        if start is None:
            start = {row[0]: [int(row[2]), float(row[3])] for row in rows}
        reading.position = {"queries": start}
        reading.figures["queries"] = slowest(rows, start)


def slowest(
    rows: t.Sequence[tuple[str, str, int, float, float]],
    start: t.Mapping[str, t.Sequence[float]],
    most: int = 10,
) -> list[dict[str, t.Any]]:
    """The queries called since the start that took longest in sum; times in milliseconds."""
    found: list[dict[str, t.Any]] = []
    for queryid, query, calls, total, longest in rows:
        calls_before, total_before = start.get(queryid, (0, 0.0))
        if calls < calls_before:
            # The statistics were reset meanwhile.
            calls_before, total_before = 0, 0.0
        new_calls, new_total = int(calls - calls_before), float(total) - total_before
        if new_calls > 0:
            found.append(
                {
                    "query": " ".join(query.split())[:200],
                    "calls": new_calls,
                    "mean_ms": round(new_total / new_calls, 2),
                    "max_ms": round(float(longest), 2),
                    "total_ms": round(new_total, 2),
                }
            )
    return sorted(found, key=lambda q: -q["total_ms"])[:most]


def _statements(connection: Connection, word: str) -> tuple[list[t.Any] | None, str]:
    """Rows (id, text, calls, total, longest) of queries with this word, and what to know about them."""
    import psycopg2
    from psycopg2 import sql

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname, pg_has_role('pg_read_all_stats', 'USAGE')"
            " FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
            " WHERE e.extname = 'pg_stat_statements'"
        )
        found = cursor.fetchone()
        if found is None:
            return None, "the queries were not watched: extension pg_stat_statements is not there"
        # The columns were renamed in PostgreSQL 13.
        suffix = "exec_time" if connection.server_version >= 130000 else "time"
        try:
            cursor.execute(
                sql.SQL(_STATEMENTS).format(
                    total=sql.Identifier(f"total_{suffix}"),
                    longest=sql.Identifier(f"max_{suffix}"),
                    view=sql.Identifier(found[0], "pg_stat_statements"),
                ),
                (f"%{word}%",),
            )
        except psycopg2.Error as exc:
            # Made, but not preloaded; or not granted to us.
            return None, f"the queries were not watched: {' '.join(str(exc).split())}"
        note = "" if found[1] else "only our own queries were watched: the role is not in pg_read_all_stats"
        return cursor.fetchall(), note


def _connection_failure(sentence: str) -> str:
    """Whether the database refused us as it would refuse the application; a wrong password is ours alone."""
    text = sentence.lower()
    if any(words in text for words in _EXHAUSTED):
        return "the server has no connection left"
    if "psycopg2 cannot be imported" in text:
        return ""
    return "the server cannot be reached" if any(words in text for words in _UNREACHABLE) else ""
