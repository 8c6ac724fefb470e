# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schema changes that wait politely: a short lock timeout, many tries, a deadline, blockers named.

A statement that waits for a lock makes everybody behind it wait as well. So
each try gives up after ``lock_timeout_ms``, and there is no last try without.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import connect
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    TRANSIENT,
    compose,
    driver_error,
    rows,
    run,
    sqlstate,
    value,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target


_LOOK_SECONDS: t.Final = 0.005


@dataclass(frozen=True)
class Patience:
    lock_timeout_ms: int = 50
    deadline_seconds: float = 600


def change(
    connection: Connection,
    target: Target,
    thing: str,
    statements: t.Sequence[Composable],
    patience: Patience,
    record: t.Callable[[], None] | None = None,
) -> int:
    """Run the statements in one transaction, again and again until its locks are free; gives the tries.

    ``record`` runs in the same transaction: what is noted there is made, what is made is noted.
    """
    deadline = time.monotonic() + patience.deadline_seconds
    tries = 0
    with contextlib.closing(_Watch(target, connection.info.backend_pid)) as watch:
        while True:
            tries += 1
            try:
                with watch.during(tries > 1):
                    _attempt(connection, statements, patience, record)
                return tries
            except driver_error() as exc:
                connection.rollback()
                if sqlstate(exc) not in TRANSIENT:
                    raise
            if time.monotonic() >= deadline:
                raise _given_up(thing, patience, tries, watch.blockers)
            # Jitter keeps us from meeting the same periodic job at every try.
            time.sleep(random.uniform(0.5, 1.5) * min(0.5, 0.05 * tries))


def _given_up(thing: str, patience: Patience, tries: int, blockers: str) -> MigrationError:
    return MigrationError(
        "change",
        thing,
        f"its lock was not free for {patience.lock_timeout_ms} ms in {tries} tries over"
        f" {patience.deadline_seconds:g} s{f'; held by {blockers}' if blockers else ''}",
        "End or wait for those sessions, then run the same command again: what is made stays made",
        kind="database",
        blockers=blockers,
    )


def _attempt(
    connection: Connection,
    statements: t.Sequence[Composable],
    patience: Patience,
    record: t.Callable[[], None] | None,
) -> None:
    run(connection, compose("SET LOCAL lock_timeout = {limit}", limit=value(patience.lock_timeout_ms)))
    for statement in statements:
        run(connection, statement)
    if record is not None:
        record()
    connection.commit()


class _Watch:
    """Looks from a second session who stands in the way of the first, while a try waits."""

    def __init__(self, target: Target, pid: int) -> None:
        self.blockers = ""
        self._target, self._pid = target, pid
        self._session: Connection | None = None

    @contextlib.contextmanager
    def during(self, is_needed: bool) -> t.Iterator[None]:
        if not is_needed or not self._is_open():
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._look, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(5)

    def _is_open(self) -> bool:
        """Naming the blocker is a courtesy: a second session that cannot be had must not stop the change."""
        if self._session is None or self._session.closed:
            try:
                self._session = connect(self._target, "blockers", autocommit=True)
            except MigrationError:
                return False
        return True

    def _look(self, over: threading.Event) -> None:
        while self._session is not None and not over.wait(_LOOK_SECONDS):
            try:
                self.blockers = blockers_of(self._session, self._pid) or self.blockers
            except driver_error():
                return

    def close(self) -> None:
        if self._session is not None:
            self._session.close()


def blockers_of(connection: Connection, pid: int) -> str:
    found = rows(
        connection,
        compose(
            "SELECT a.pid, a.usename, a.application_name, a.state,"
            "       extract(epoch FROM clock_timestamp() - a.xact_start)::int"
            "  FROM unnest(pg_blocking_pids({pid})) AS b(pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid",
            pid=value(pid),
        ),
    )
    return "; ".join(
        f"pid {other} ({user} {application}, {state or 'state not visible'}, transaction open {age} s)"
        for other, user, application, state, age in found
        if other is not None
    )


def outside_transaction(connection: Connection, statement: Composable) -> None:
    """For CREATE and DROP INDEX CONCURRENTLY: a lock timeout in their long wait would leave an invalid
    index."""
    connection.commit()
    connection.autocommit = True
    try:
        run(connection, compose("SET lock_timeout = 0"))
        run(connection, statement)
    finally:
        run(connection, compose("SET lock_timeout = '2s'"))
        connection.autocommit = False
