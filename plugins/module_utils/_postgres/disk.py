# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Free disk space of a server: seen on its own host, or what a person read less what grew since."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres.signals import Signal
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import compose, row

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

NAME: t.Final = "free disk space"
_GIB: t.Final = 1024**3
# The limit in percent of what is free: as much as pg_wal may take, and as much again for the tables.
_WAL_SIZES: t.Final = 2
_LOWER, _UPPER = 80, 100

_QUERY: t.Final = """
SELECT pg_backend_pid(), pg_size_bytes(current_setting('max_wal_size')),
       CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END,
       (SELECT nullif(pg_tablespace_location(dattablespace), '') FROM pg_database
         WHERE datname = current_database())
"""
_MAY_LIST: t.Final = "SELECT has_function_privilege('pg_catalog.pg_ls_waldir()', 'EXECUTE')"
# Both, for write-ahead log is used again: its own growth says little.
_HELD: t.Final = (
    "SELECT pg_database_size(current_database()) + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())"
)


@dataclass(frozen=True)
class Sight:
    """Free bytes where the database lies; None where they cannot be seen, and why."""

    free_bytes: int | None
    limit_bytes: int
    read_by: str
    why_not: str = ""
    is_elsewhere: bool = False


def look(connection: Connection) -> Sight:
    backend, wal_bytes, data, tablespace = row(connection, compose(_QUERY))
    limit = _WAL_SIZES * int(wal_bytes)
    if not _runs_here(backend):
        why_not = "the server runs on another host, whose disk cannot be seen"
        return Sight(None, limit, "/proc", why_not, is_elsewhere=True)
    if data is None:
        return Sight(
            None, limit, "pg_settings", "the data directory may not be read: grant pg_read_all_settings"
        )
    folder = tablespace or data
    try:
        free = min(_free(folder), _free(data), *_free_of_wal(data))
    except OSError as exc:
        return Sight(None, limit, "statvfs", f"{exc.filename} cannot be looked at: {exc.strerror}")
    return Sight(free, limit, f"statvfs of {folder}")


def _free(folder: str) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _free_of_wal(data: str) -> list[int]:
    """Often a disk of its own; only the server's own user and root may look there."""
    try:
        return [_free(os.path.join(data, "pg_wal"))]
    except PermissionError:
        return []


def _runs_here(backend_pid: int) -> bool:
    """The process that serves our session is a process of this host, so no tunnel leads us astray."""
    try:
        with open(f"/proc/{backend_pid}/comm", encoding="ascii", errors="replace") as handle:
            return handle.read().startswith("postgres")
    except OSError:
        return False


class Room:
    """The signal. ``given`` bytes are what a person read; what has grown since the first look is taken off.

    Without them, and with the server on another host, there is none: that is not watched.
    """

    def __init__(self, given: int = 0) -> None:
        self._given = given
        self._at_first: int | None = None

    def read(self, connection: Connection) -> list[Signal]:
        seen = look(connection)
        if self._given:
            return [signal(self._left(connection), seen.limit_bytes)]
        return [] if seen.is_elsewhere else [signal(seen.free_bytes, seen.limit_bytes)]

    def _left(self, connection: Connection) -> int | None:
        if not row(connection, compose(_MAY_LIST))[0]:
            return None
        held = int(row(connection, compose(_HELD))[0])
        if self._at_first is None:
            self._at_first = held
        return self._given - (held - self._at_first)


def signal(free: int | None, limit: int) -> Signal:
    """The less is free the higher, beside the limit in percent."""
    value = None if free is None else 100 * limit / max(1, free)
    text = (
        f"{max(0, free or 0) / _GIB:.1f} GiB of disk are free, twice max_wal_size is {limit / _GIB:.1f} GiB"
    )
    return Signal(NAME, value, _LOWER, _UPPER, text)
