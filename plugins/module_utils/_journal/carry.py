# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries the journal from a database that was replaced into the one that took its name.

What a restore brings along is history of another database. The story of the
run, its confirmations and its lease belong to whoever bears the name now;
progress, ledger and quarantine speak of data that is not there any more.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import acts, hold, lease, tables

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

_CARRIED: t.Final = ("run", "phase", "event", "control", "baseline", "artifact", "confirmation", "message")


def carry(source: Connection, connection: Connection, caller: hold.Caller, check_mode: bool) -> acts.Answer:
    """Copy the rows that are missing and take the lease under a higher epoch; commits."""
    if not tables.exist(source):
        raise MigrationError(
            "carry", "the journal", "the replaced database has none", "Name the database that was replaced"
        )
    before = lease.read(source, hold.LEASE)
    if check_mode:
        return {"changed": True, "carried": {name: len(_read(source, name)) for name in _CARRIED}}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('emailai_migration.run'))")
    carried = {name: _write(connection, name, _read(source, name)) for name in _CARRIED}
    connection.commit()
    held = _take_lease(connection, caller, before)
    return {"changed": any(carried.values()), "carried": carried, "epoch": held.epoch}


def _take_lease(connection: Connection, caller: hold.Caller, before: lease.Lease | None) -> lease.Lease:
    """Whoever held an epoch over the old database must not pass for the holder here."""
    known = lease.read(connection, hold.LEASE)
    if known is not None and caller.holds(known):
        return known
    run_id = before.run_id if before else ""
    detail = {"controller": caller.controller, "phase": before.detail.get("phase", "") if before else ""}
    held = lease.acquire(
        connection, hold.LEASE, run_id, caller.owner, lease.EXPIRY_SECONDS, True, detail, caller.host,
        int(caller.controller.get("pid") or 0),
    )  # fmt: skip
    epoch = max(held.epoch if held else 0, before.epoch + 1 if before else 0)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE emailai_migration.lease SET epoch = %s"
            " WHERE database = emailai_migration.here() AND name = %s",
            (epoch, hold.LEASE),
        )
    connection.commit()
    taken = lease.read(connection, hold.LEASE)
    if taken is None:
        raise MigrationError("take", "the lease", "it vanished while it was carried over")
    return taken


def _read(source: Connection, table: str) -> list[dict[str, t.Any]]:
    """The table's own rows, without what each database makes for itself."""
    from psycopg2 import sql

    query = sql.SQL(
        "SELECT to_jsonb(r) - 'database' FROM {} r WHERE r.database = emailai_migration.here()"
    ).format(sql.Identifier(tables.SCHEMA, table))
    with source.cursor() as cursor:
        cursor.execute(query)
        return [row for (row,) in cursor.fetchall()]


def _write(connection: Connection, table: str, rows: list[dict[str, t.Any]]) -> int:
    """Insert what is missing; the number of rows that were."""
    from psycopg2 import sql
    from psycopg2.extras import Json

    name = sql.Identifier(tables.SCHEMA, table)
    if table == "event":
        rows = _without_known_events(connection, rows)
    written = 0
    with connection.cursor() as cursor:
        for row in rows:
            columns = sql.SQL(", ").join(map(sql.Identifier, row))
            cursor.execute(
                sql.SQL(
                    "INSERT INTO {name} ({columns})"
                    " SELECT {columns} FROM jsonb_populate_record(NULL::{name}, %s)"
                    " ON CONFLICT DO NOTHING"
                ).format(name=name, columns=columns),
                (Json(row),),
            )
            written += cursor.rowcount
    return written


def _without_known_events(connection: Connection, rows: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Events are numbered by each database, and told apart by when they happened."""
    known = {(row["run_id"], row["at"], row["message"]) for row in _read(connection, "event")}
    return [
        {key: value for key, value in row.items() if key != "id"}
        for row in sorted(rows, key=lambda row: int(row["id"]))
        if (row["run_id"], row["at"], row["message"]) not in known
    ]
