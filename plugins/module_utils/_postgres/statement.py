# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL text made from identifiers and values of any spelling, and the calls that send it.

Values are composed in as literals, never passed beside the text: the driver's
own parameters would read a ``%`` in a table's name as a placeholder.
"""

from __future__ import annotations

import typing as t

try:
    import psycopg2
    from psycopg2 import sql
except ImportError:
    # connection.connect() says so in a sentence before anything here is called.
    pass

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

Row = t.Tuple[t.Any, ...]
Part = t.Union[str, t.Tuple[str, ...], "Composable"]

# Another attempt may succeed: deadlock, serialization, lock or statement timeout.
TRANSIENT: t.Final = frozenset({"40P01", "40001", "55P03", "57014"})


def compose(template: str, **parts: Part) -> Composable:
    """Fill ``{name}``: a text is an identifier, a tuple a qualified one, SQL stays what it is."""
    return sql.SQL(template).format(**{key: _part(part) for key, part in parts.items()})


def _part(part: Part) -> Composable:
    if isinstance(part, str):
        return sql.Identifier(part)
    if isinstance(part, tuple):
        return sql.Identifier(*part)
    return part


def value(content: t.Any) -> Composable:
    """A literal; text literals take the type of what they are compared with."""
    return sql.Literal(content)


def values(keys: t.Iterable[str]) -> Composable:
    """An array literal without a type of its own, so that it fits text, uuid and integer keys alike."""
    return sql.Literal("{" + ",".join(_element(key) for key in keys) + "}")


def _element(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def join(parts: t.Iterable[Part], separator: str = ", ") -> Composable:
    return sql.SQL(separator).join([_part(part) for part in parts])


def raw(text: str) -> Composable:
    """SQL written in this collection or quoted by the server; never a bare name from a map or a catalog."""
    return sql.SQL(text)


def text_of(connection: Connection, statement: Composable) -> str:
    return statement.as_string(connection)


def rows(connection: Connection, statement: Composable) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def row(connection: Connection, statement: Composable) -> Row:
    """The only row; for statements that always give one."""
    return rows(connection, statement)[0]


def run(connection: Connection, statement: Composable) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.rowcount)


def driver_error() -> type[Exception]:
    """The driver's base error, for ``except``."""
    return psycopg2.Error


def is_lost(exc: BaseException) -> bool:
    """Whether a driver's error means that the session is gone, not that a statement was refused."""
    if not isinstance(exc, (psycopg2.OperationalError, psycopg2.InterfaceError)):
        return False
    # Without a state the server said nothing. Class 08: connection; 57P01 to 57P03: ended, crashed, starting.
    # https://www.postgresql.org/docs/current/errcodes-appendix.html
    return sqlstate(exc)[:2] in ("", "08") or sqlstate(exc) in ("57P01", "57P02", "57P03")


def sqlstate(exc: BaseException) -> str:
    return getattr(exc, "pgcode", None) or ""


def cause_of(exc: BaseException) -> str:
    """The server's first line, without the text of the statement."""
    diagnosis = getattr(getattr(exc, "diag", None), "message_primary", None)
    return str(diagnosis or " ".join(str(exc).split()) or type(exc).__name__)
