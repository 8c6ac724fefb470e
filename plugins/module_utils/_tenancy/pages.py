# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a table is walked through: cut into ranges of keys and stripes, and those into pages."""

from __future__ import annotations

import abc
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    raw,
    rows,
    value,
    values,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

# Into how many batches a window of neighbours is dealt. The first two or three find no room yet, and their
# share is what the table grows by.
_STRIPES: t.Final = 16
# How closely the order of the keys must follow that of the rows, as pg_stats.correlation tells it.
_IN_ORDER: t.Final = 0.9
# A transaction open for so long keeps dead versions from making room.
_OLD_SECONDS: t.Final = 5


@dataclass(frozen=True)
class Part:
    """What one cursor walks through: the keys up to ``until``."""

    until: str | None = None

    def condition(self, column: Composable) -> Composable:
        if self.until is None:
            return raw("true")
        return compose("{column} <= {until}", column=column, until=value(self.until))


WHOLE: t.Final = Part()


@dataclass(frozen=True)
class Page:
    """One batch: either a range of keys (after ``last`` up to ``end``), or a list of them.

    When it is done the cursor stands at ``end``, ``passed`` rows further than before.
    """

    size: int
    last: str | None = None
    end: str | None = None
    keys: tuple[str, ...] = ()
    passed: int = 0

    def condition(self, column: Composable) -> Composable:
        if self.keys:
            return compose("{column} = ANY({keys})", column=column, keys=values(self.keys))
        return compose(
            "{lower} AND {column} <= {end}",
            lower=compose("{column} > {last}", column=column, last=value(self.last))
            if self.last is not None
            else raw("true"),
            column=column,
            end=value(self.end),
        )


def listed(keys: t.Sequence[str]) -> Page:
    return Page(len(keys), keys=tuple(keys))


def next_page(
    connection: Connection, table: tuple[str, str], key: str, part: Part, last: str | None, size: int
) -> Page | None:
    """The next ``size`` rows of a part in key order, whatever their state; None at its end."""
    end = _keys(connection, table, key, part, last, "OFFSET {number} LIMIT 1", size - 1)
    if end:
        return Page(size, last, end[0], passed=size)
    rest = _keys(connection, table, key, part, last, "LIMIT {number}", size)
    return Page(len(rest), last, rest[-1], passed=len(rest)) if rest else None


def _keys(
    connection: Connection,
    table: tuple[str, str],
    key: str,
    part: Part,
    last: str | None,
    limit: str,
    number: int,
) -> list[str]:
    # By the table's column: without its table that name would mean the text that is selected.
    query = "SELECT {key}::text FROM {table} t WHERE {lower} AND {part} ORDER BY t.{key} "
    found = rows(
        connection,
        compose(
            query + limit,
            key=key,
            table=table,
            lower=compose("{key} > {last}", key=key, last=value(last)) if last is not None else raw("true"),
            part=part.condition(compose("{key}", key=key)),
            number=value(number),
        ),
    )
    return [one for (one,) in found]


def last_key(connection: Connection, table: tuple[str, str], key: str) -> str | None:
    """None in an empty table."""
    query = "SELECT {key}::text FROM {table} t ORDER BY t.{key} DESC LIMIT 1"
    found = rows(connection, compose(query, key=key, table=table))
    return str(found[0][0]) if found else None


def bounds(connection: Connection, table: tuple[str, str], key: str, number: int) -> list[str]:
    """Keys that divide a table into ``number`` parts of about one size, by the planner's own statistics.

    None without statistics. Any keys will do: they decide only how evenly the work is shared.
    """
    found = rows(
        connection,
        compose(
            "SELECT histogram_bounds::text::text[] FROM pg_stats WHERE schemaname = {schema}"
            " AND tablename = {table} AND attname = {key} AND NOT inherited",
            schema=value(table[0]),
            table=value(table[1]),
            key=value(key),
        ),
    )
    marks = (found[0][0] if found else None) or []
    if len(marks) <= number:
        return []
    return [marks[len(marks) * part // number] for part in range(1, number)]


def stripes(connection: Connection, table: tuple[str, str], key: str, column: str) -> int:
    """Into how many stripes a pass that fills ``column`` is best divided: 1 where that would not pay.

    It pays where neighbours in the order of the keys are neighbours on the disk, no index has the column
    (each new version would need an entry all the same), and no old snapshot keeps dead versions alive.
    """
    found = rows(
        connection,
        compose(
            """
            SELECT abs(s.correlation) >= {enough}
               AND NOT EXISTS (SELECT 1 FROM pg_index i
                                WHERE i.indrelid = a.attrelid AND a.attnum = ANY(i.indkey))
               AND NOT EXISTS (SELECT 1 FROM pg_stat_activity o WHERE o.datname = current_database()
                                  AND o.backend_xmin IS NOT NULL AND o.pid <> pg_backend_pid()
                                  AND o.xact_start < clock_timestamp() - make_interval(secs => {old}))
              FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname
              JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = {column}
             WHERE s.schemaname = {schema} AND s.tablename = {table} AND s.attname = {key} AND NOT s.inherited
            """,
            enough=value(_IN_ORDER),
            old=value(_OLD_SECONDS),
            schema=value(table[0]),
            table=value(table[1]),
            key=value(key),
            column=value(column),
        ),
    )
    return _STRIPES if found and found[0][0] else 1


class Walk(abc.ABC):
    """What all passes have in common, there and back: a table, in pages in the order of its key."""

    model: Model

    @property
    @abc.abstractmethod
    def table(self) -> str: ...

    @property
    @abc.abstractmethod
    def key(self) -> str: ...

    @property
    def fills(self) -> str | None:
        """The column that it fills in rows of the table itself."""
        return None

    def page(self, connection: Connection, part: Part, last: str | None, size: int) -> Page | None:
        return next_page(connection, self.model.at(self.table), self.key, part, last, size)

    def window(self, connection: Connection, part: Part, last: str | None, size: int) -> list[str]:
        """The next ``size`` keys of a part in their order."""
        return _keys(connection, self.model.at(self.table), self.key, part, last, "LIMIT {number}", size)

    def keys_of(self, connection: Connection, page: Page) -> list[str]:
        """The keys of a page one by one, to find the row that cannot be done."""
        if page.keys:
            return list(page.keys)
        found = rows(
            connection,
            compose(
                "SELECT {key}::text FROM {table} t WHERE {condition} ORDER BY t.{key}",
                key=self.key,
                table=self.model.at(self.table),
                condition=page.condition(compose("{key}", key=self.key)),
            ),
        )
        return [key for (key,) in found]


class Walkable(t.Protocol):
    """What the dealer needs of a walk."""

    def page(self, connection: Connection, part: Part, last: str | None, size: int) -> Page | None: ...
    def window(self, connection: Connection, part: Part, last: str | None, size: int) -> list[str]: ...


class Dealer:
    """Hands a part out page by page: ranges of keys or, in ``stripes``, neighbours dealt like cards.

    Stripes are for rows that are rewritten. In the order of their keys all rows of a block would change at
    once, find no room there and go elsewhere, with a new entry in each index. Dealt out of a window each
    block is visited again and again, a few rows at a time, each time with the room of the versions that have
    died since, and while it is still in the processor's cache. The cursor passes a window when all of it is
    done; whoever resumes looks at its rows again.
    """

    def __init__(self, walk: Walkable, part: Part, stripes: int) -> None:
        self._walk, self._part, self._stripes = walk, part, stripes
        self._left: list[str] = []
        self._end = ""
        self._passed = 0

    def next(self, connection: Connection, last: str | None, size: int) -> Page | None:
        """The next ``size`` rows, whatever their state; None at the end."""
        if self._stripes == 1:
            return self._walk.page(connection, self._part, last, size)
        if not self._left:
            window = self._walk.window(connection, self._part, last, size * self._stripes)
            if not window:
                return None
            self._left = [key for first in range(self._stripes) for key in window[first :: self._stripes]]
            self._end, self._passed = window[-1], len(window)
        # A pace that has grown since is for the next window: several stripes at once would be none.
        size = min(size, -(-self._passed // self._stripes))
        keys, self._left = self._left[:size], self._left[size:]
        if self._left:
            return Page(len(keys), end=last, keys=tuple(keys))
        return Page(len(keys), end=self._end, keys=tuple(keys), passed=self._passed)
