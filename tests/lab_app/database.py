# SPDX-License-Identifier: GPL-3.0-or-later
"""The application's sessions with PostgreSQL: a small pool, transactions, ids."""

from __future__ import annotations

import contextlib
import os
import queue
import time
import typing as t
from datetime import datetime, timezone
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg2
import psycopg2.extras

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_id() -> str:
    """An id as the original makes them: a letter, the time, chance; 25 characters."""
    return (
        "c" + _base36(int(time.time() * 1000))[-8:] + "".join(_DIGITS[byte % 36] for byte in os.urandom(16))
    )


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text.rjust(8, "0")


def now() -> datetime:
    """UTC without zone, as timestamp(3) columns hold it."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def arguments(url: str, application_name: str) -> dict[str, t.Any]:
    """libpq's arguments of a Prisma-style URL; a mark in the URL wins over the release's own."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return {
        "host": unquote(parts.hostname or ""),
        "port": parts.port or 5432,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.lstrip("/")),
        "application_name": query.get("application_name", application_name),
        "connect_timeout": 5,
    }


class Pool:
    """At most ``size`` sessions, lent to one request each."""

    def __init__(self, url: str, application_name: str, size: int = 10) -> None:
        self._arguments = arguments(url, application_name)
        self._seats: queue.LifoQueue[t.Any] = queue.LifoQueue()
        for _seat in range(size):
            self._seats.put(None)

    @contextlib.contextmanager
    def transaction(self) -> t.Iterator[t.Any]:
        """A cursor; committed at the end of the block, rolled back when it raises."""
        connection = self._seats.get(timeout=10)
        try:
            connection = self._alive(connection)
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                yield cursor
            connection.commit()
        except BaseException:
            _discard_or_roll_back(connection)
            raise
        finally:
            self._seats.put(None if connection is None or connection.closed else connection)

    def _alive(self, connection: t.Any) -> t.Any:
        """The lent session, if the server still knows it; else a new one."""
        if connection is not None:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                return connection
            except psycopg2.Error:
                connection.close()
        return psycopg2.connect(**self._arguments)

    def try_in_vain(self) -> str:
        """Connect where nothing listens, and give the driver's own words."""
        try:
            psycopg2.connect(**dict(self._arguments, host="127.0.0.1", port=1)).close()
        except psycopg2.OperationalError as exc:
            return str(exc)
        return "somebody listens on port 1"

    def close(self) -> None:
        while True:
            try:
                connection = self._seats.get_nowait()
            except queue.Empty:
                return
            if connection is not None:
                connection.close()


def _discard_or_roll_back(connection: t.Any) -> None:
    if connection is None or connection.closed:
        return
    try:
        connection.rollback()
    except psycopg2.Error:
        connection.close()
