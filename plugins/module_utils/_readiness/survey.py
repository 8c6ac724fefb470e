# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's options to readiness lines: what is asked is read, what cannot be read is open."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import (
    Target,
    session,
    target_from,
)
from ansible_collections.emailai.migration.plugins.module_utils._readiness import lines, read

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._readiness.lines import Line

Options = t.Mapping[str, t.Any]

# In the order of the table. Those of the first group need the database.
DATABASE_CHECKS: t.Final = ("connections", "prisma", "transactions", "locks", "disk")
CHECKS: t.Final = ("database", *DATABASE_CHECKS, "window", "confirmations", "due")


def survey(options: Options) -> dict[str, t.Any]:
    """The lines that were asked for, and the size that the space elsewhere is measured by."""
    asked = options["checks"]
    found: list[Line] = []
    size: int | None = None
    if any(check in asked for check in ("database", *DATABASE_CHECKS)):
        found, size = _read_database(options)
    if "window" in asked:
        found.append(lines.windows(options["window"], moment(options["now"])))
    if "confirmations" in asked:
        found += lines.confirmations(options["confirmations"], options["required"])
    if "due" in asked:
        found += lines.due(options["due"])
    return {"changed": False, "readiness": found, "database_bytes": size}


def moment(text: str) -> datetime.datetime:
    """The time to judge by; the clock's, unless one is given."""
    if not text:
        return datetime.datetime.now(datetime.timezone.utc)
    try:
        given = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise MigrationError("read", "the time to judge by", f"{text} is not ISO 8601") from None
    return given if given.tzinfo else given.replace(tzinfo=datetime.timezone.utc)


def _read_database(options: Options) -> tuple[list[Line], int | None]:
    try:
        target = target_from(options)
        with session(target, "readiness") as connection:
            # A transaction each: one refused reading must not spoil the next, nor an old snapshot stay.
            connection.set_session(readonly=True, autocommit=True)
            size = read.database_bytes(connection)
            return [_one(connection, check, target, options, size) for check in _asked(options)], size
    except MigrationError as exc:
        return [lines.unreadable("database reachable", "database", "answers", exc)], None


def _asked(options: Options) -> list[str]:
    return [check for check in ("database", *DATABASE_CHECKS) if check in options["checks"]]


def _one(connection: Connection, check: str, target: Target, options: Options, size: int) -> Line:
    from psycopg2 import Error

    try:
        return _READERS[check](connection, target, options, size)
    except Error as exc:
        connection.rollback()
        kind = "storage" if check == "disk" else "database"
        return lines.unreadable(_ITEMS[check], kind, "readable", exc)


def _server(connection: Connection, target: Target, options: Options, size: int) -> Line:
    return lines.server(read.server(connection))


def _connections(connection: Connection, target: Target, options: Options, size: int) -> Line:
    return lines.connections(
        read.connections(connection), options["workers"], options["max_connection_share"]
    )


def _prisma(connection: Connection, target: Target, options: Options, size: int) -> Line:
    schema = options["schema"] or target.schema or "public"
    return lines.prisma(read.failed_prisma_migrations(connection, schema))


def _transactions(connection: Connection, target: Target, options: Options, size: int) -> Line:
    most = options["max_transaction_seconds"]
    return lines.transactions(
        read.long_transactions(connection, most), read.sees_all_sessions(connection), most
    )


def _locks(connection: Connection, target: Target, options: Options, size: int) -> Line:
    return lines.locks(read.strong_locks(connection))


def _disk(connection: Connection, target: Target, options: Options, size: int) -> Line:
    # Elsewhere, such as on staging, room is needed for the live database, not for what lies there now.
    needed_for = options["database_bytes"] or size
    if options["disk_free_bytes"] is not None:
        found = lines.Disk(options["disk_free_bytes"], needed_for, "given as disk_free_bytes")
    else:
        found = read.disk(connection, needed_for)
    return lines.disk(found, options["disk_factor"], options["label"])


_READERS: t.Final[dict[str, t.Callable[[Connection, Target, Options, int], Line]]] = {
    "database": _server,
    "connections": _connections,
    "prisma": _prisma,
    "transactions": _transactions,
    "locks": _locks,
    "disk": _disk,
}
_ITEMS: t.Final = {
    "database": "database reachable",
    "connections": "free connections",
    "prisma": "failed Prisma migrations",
    "transactions": "long transactions",
    "locks": "locks on tables",
    "disk": "free disk space",
}
