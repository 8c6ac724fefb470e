# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a session is the server's own, or a pooler's that may hand it on after each transaction.

A pooler that hands on takes our settings to the application, and gives us the application's: a read-only
session of ours would make its writes fail. So nothing is set before it is known.
"""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    row,
    run,
    value,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# With so many sessions of the server held at a time, one that is handed on is sure to be missed: a pool
# lends the one that came back last, or, in turn, one of the few that are free.
_HELD: t.Final = 3
# A pool of a single session would let us wait for ourselves; then the server ends who holds it.
_HOLD: t.Final = "2s"


def settle(connection: Connection, settings: t.Mapping[str, str], again: t.Callable[[], Connection]) -> None:
    """See to it that the settings are in force; ``again`` opens another such session.

    Where they are, whoever stands between us and the server has let them through to it. Where they are not, a
    session that is ours to the end gets them now, and any other is refused.
    """
    if _in_force(connection, settings):
        return
    if is_handed_on(connection, again):
        raise MigrationError(
            "use",
            "this way to the database",
            "a pooler hands its sessions on after each transaction (pool_mode = transaction)",
            "Give the address of the server itself, or of a pool with pool_mode = session",
            kind="database",
        )
    parts = [
        compose("set_config({name}, {setting}, false)", name=value(name), setting=value(setting))
        for name, setting in settings.items()
    ]
    run(connection, compose("SELECT {parts}", parts=join(parts)))
    connection.commit()


def _in_force(connection: Connection, settings: t.Mapping[str, str]) -> bool:
    parts = [compose("current_setting({name})", name=value(name)) for name in settings]
    found = row(connection, compose("SELECT {parts}", parts=join(parts)))
    connection.rollback()
    return list(found) == list(settings.values())


def is_handed_on(connection: Connection, again: t.Callable[[], Connection]) -> bool:
    """Whether two transactions of one session meet two sessions of the server."""
    first = _backend(connection)
    with contextlib.ExitStack() as held:
        for _number in range(_HELD):
            other = held.enter_context(contextlib.closing(again()))
            run(other, compose("SET LOCAL idle_in_transaction_session_timeout = {hold}", hold=value(_HOLD)))
            if _backend(connection) != first:
                return True
    return False


def _backend(connection: Connection) -> int:
    """The server's process at the other end, in a transaction of its own."""
    pid = int(row(connection, compose("SELECT pg_backend_pid()"))[0])
    connection.rollback()
    return pid
