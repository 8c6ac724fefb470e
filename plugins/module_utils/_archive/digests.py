# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the content of a table in two numbers: its rows, and a 64-bit sum that one changed value changes.

A row's number is made value by value, each hash being the seed of the next. That binds the values of
a row to their columns and to each other, as the text of the whole row would, at a third of the price:
the server does not look at each character for whether it would have to be quoted.
"""

from __future__ import annotations

import queue
import threading
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._archive import catalog
from ansible_collections.emailai.migration.plugins.module_utils._postgres import connection as postgres

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

# Each level of a nested expression costs the server some of its stack; wider tables are told as rows.
_MOST_COLUMNS: t.Final = 200

# The values of each table as text, in the order of its columns. What stands there is what its type
# writes: text by itself, all else by concat, for a cast to text may be a function of somebody's own.
# A dot before a value tells an empty one from none; IS NULL would also be true of a row of nulls.
_VALUES: t.Final = f"""
SELECT format('%I.%I', n.nspname, c.relname), array_agg(format(
           CASE WHEN a.atttypid IN ('text'::regtype, 'varchar'::regtype)
                THEN CASE WHEN a.attnotnull THEN 't.%1$I' ELSE 'coalesce(''.'' || t.%1$I, '''')' END
                WHEN a.attnotnull THEN 'concat(t.%1$I)'
                ELSE 'CASE WHEN t.%1$I IS DISTINCT FROM NULL THEN concat(''.'', t.%1$I) ELSE '''' END'
           END, a.attname) ORDER BY a.attnum)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {catalog.OUR_RELATION}
 GROUP BY n.nspname, c.relname
"""


class Readers:
    """Several sessions that digest tables on one snapshot; the first fault ends them all.

    Without a snapshot each session sees its own moment, which is right for a
    database that nobody writes to. ``sessions`` collects the open connections
    for whoever may have to cancel them.
    """

    def __init__(
        self,
        target: postgres.Target,
        purpose: str,
        snapshot: str = "",
        lock_wait_seconds: int = 10,
        on_table: t.Callable[[str], None] = lambda name: None,
        sessions: t.Optional[list[Connection]] = None,
    ) -> None:
        self._target = target
        self._purpose = purpose
        self._snapshot = snapshot
        self._lock_wait_seconds = lock_wait_seconds
        self._on_table = on_table
        self._sessions = sessions if sessions is not None else []
        self._todo: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._found: dict[str, dict[str, t.Any]] = {}
        self._faults: list[Exception] = []

    def read(self, names: t.Sequence[str], workers: int) -> dict[str, dict[str, t.Any]]:
        """Rows and content digest of each table."""
        for name in names:
            self._todo.put(name)
        count = max(1, min(workers, len(names)))
        threads = [threading.Thread(target=self._work, name="digest") for _ignored in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._faults:
            raise self._faults[0]
        return {name: self._found[name] for name in names}

    def _work(self) -> None:
        try:
            with postgres.session(self._target, self._purpose) as connection:
                self._sessions.append(connection)
                catalog.pin(connection, self._lock_wait_seconds)
                connection.commit()
                catalog.begin(connection, self._snapshot)
                values = read_values(connection)
                while not self._faults:
                    name = self._todo.get_nowait()
                    self._found[name] = digest(connection, name, values.get(name, []))
                    self._on_table(name)
        except queue.Empty:
            pass
        except Exception as exc:
            self._faults.append(exc)


def read_values(connection: Connection) -> dict[str, list[str]]:
    """For each table, what stands in it: an expression a column."""
    return dict(catalog.rows(connection, _VALUES))


def digest(connection: Connection, name: str, values: t.Sequence[str]) -> dict[str, t.Any]:
    """``name`` is as the server quoted it. The sum does not depend on the order of the rows."""
    query = f"SELECT count(*), sum({row_number(values)}) FROM ONLY {name} t"
    count, total = catalog.rows(connection, query, thing=f"table {name}")[0]
    return {"rows": count, "digest": str(total or 0)}


def row_number(values: t.Sequence[str]) -> str:
    """The expression for one row, made of the expressions for its values. Pure."""
    parts = values if len(values) <= _MOST_COLUMNS else ["t::text"]
    number = "0"
    for part in parts:
        number = f'hashtextextended({part} COLLATE "C", {number})'
    return number
