# SPDX-License-Identifier: GPL-3.0-or-later
"""One value of a restored copy is changed, a thousand times another one: the digest tells each time."""

from __future__ import annotations

import contextlib
import random
import typing as t
from pathlib import Path

import psycopg2
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import catalog, digests, shelf
from ansible_collections.emailai.migration.plugins.module_utils._postgres import (
    connection as postgres_connection,
)
from integration.archive_world import World, execute, made

_SEED: t.Final = 20261123
_MUTATIONS: t.Final = 1000

# Types that write themselves in a way of their own; and a column less than there once was.
ASSORTED = """
CREATE TYPE pair AS (a int, b text);
CREATE TABLE assorted (
    id int, gone text, flag boolean, amount numeric, span interval, key uuid, at timestamptz, counts int[],
    host inet, code char(5), two pair, raw json, "say ""%" text NOT NULL, bits bit(3), spot point);
INSERT INTO assorted
SELECT i, 'x', i % 2 = 0, i / 3.0, i * interval '1 minute', md5(i::text)::uuid, timestamptz '2026-01-01' + i *
       interval '1 hour', ARRAY[i, NULL, 0], ('10.0.0.' || i)::inet, 'c' || i, ROW(i, NULL)::pair,
       json_build_object('n', i), 'w' || i, B'101', point(i, 0) FROM generate_series(1, 200) i;
INSERT INTO assorted ("say ""%", two, flag) VALUES ('', ROW(NULL, NULL), NULL), ('', NULL, NULL);
ALTER TABLE assorted DROP COLUMN gone;
"""

# What can go wrong with a value of each type, as the server would write it; {} is the value.
_OF_TEXT = (
    "{} || ' '",
    "''",
    "NULL",
    "reverse({}::text)",
    "upper({}::text)",
    "overlay({}::text placing '~' from 2)",
    "left({}::text, -1)",
    "coalesce({}, '') || 'ü'",
    "normalize({}::text || 'é', NFD)",
)
_OF_NUMBERS = ("{} + 1", "-{}", "{} * 10", "NULL", "coalesce({}, 7)")
CHANGES: t.Final[dict[str, tuple[str, ...]]] = {
    "text": _OF_TEXT,
    "character varying": _OF_TEXT,
    "address": ("{} || ' '", "'@' || {}", "reverse({}::text)", "replace({}, 'u', 'U')"),
    "character": ("'~'", "NULL", "upper({}::text)"),
    "integer": _OF_NUMBERS,
    "bigint": _OF_NUMBERS,
    "numeric": (*_OF_NUMBERS, "round({}, 3)", "{} + 1e-14", "'NaN'"),
    "double precision": (*_OF_NUMBERS, "{} * (1 + 2.3e-16)", "'-0'", "'NaN'"),
    "money": ("{} + '0.01'::money", "-{}", "NULL"),
    "boolean": ("NOT {}", "NULL", "coalesce({}, false)"),
    "date": ("{} + 1", "NULL", "'infinity'"),
    "timestamp with time zone": ("{} + interval '1 microsecond'", "{} + interval '1 day'", "NULL"),
    "interval": ("{} + interval '1 microsecond'", "-{}", "NULL"),
    "uuid": ("gen_random_uuid()", "NULL"),
    "bytea": ("set_byte({}, 3, 255 - get_byte({}, 3))", "{} || '\\x00'", "''", "NULL"),
    "jsonb": ("""{} || '{{"n": 1.0}}'""", "{} || '{{\"m\": null}}'", "'null'", "NULL"),
    "json": ("' {{}}'", "(' ' || {}::text)::json", "'null'", "NULL"),
    "integer[]": ("{} || 1", "array_remove({}, NULL)", "'{{}}'", "NULL", "ARRAY[{}]"),
    "inet": ("{} + 1", "set_masklen({}, 24)", "NULL"),
    "tier": ("'PRO'", "'BASIC'", "NULL"),
    "pair": ("ROW(({}).a, '')::pair", "ROW(NULL, NULL)::pair", "NULL", "ROW(1, 'x')::pair"),
    "bit": ("~{}", "NULL"),
    "point": ("point(({})[0], ({})[1] + 1)", "NULL"),
}
_COLUMNS = """
SELECT a.attrelid::regclass::text, quote_ident(a.attname), format_type(a.atttypid, NULL)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname = 'public' AND a.attnum > 0 AND NOT a.attisdropped
   AND a.attgenerated = ''
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
 ORDER BY 1, a.attnum
"""


class Copy:
    """A restored copy, on a session in which every change is taken back."""

    def __init__(self, connection: t.Any, expected: dict[str, dict[str, t.Any]]) -> None:
        self.connection, self.expected = connection, expected
        self.dice = random.Random(_SEED)
        self.values = _by_shown_name(connection, digests.read_values(connection))
        self.columns = [
            (table, column, kind.rpartition(".")[2])
            for table, column, kind in catalog.rows(connection, _COLUMNS)
            if self.expected[table]["rows"]
        ]

    def mutate(self) -> str:
        """One value is another one afterwards; returns which, and how."""
        while True:
            table, column, kind = self.dice.choice(self.columns)
            change = self.dice.choice(CHANGES[kind]).format(*[f"t.{column}"] * 2)
            row = self.dice.randrange(self.expected[table]["rows"])
            with contextlib.suppress(psycopg2.Error), self.connection.cursor() as cursor:
                cursor.execute("SAVEPOINT before")
                cursor.execute(f"SELECT ctid FROM ONLY {table} ORDER BY ctid OFFSET {row} LIMIT 1")
                cursor.execute(
                    f"UPDATE ONLY {table} t SET {column} = {change} WHERE ctid = '{cursor.fetchone()[0]}'"
                    f" AND format('%L', {change}) <> format('%L', t.{column})"
                )
                if cursor.rowcount == 1:
                    return f"{table}.{column} = {change} in row {row}"
            self.take_back()

    def take_back(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("ROLLBACK TO before")

    def found(self, table: str) -> dict[str, t.Any]:
        return digests.digest(self.connection, table, self.values.get(table, []))


@pytest.fixture
def copy(postgres: t.Any, tmp_path: Path) -> t.Iterator[Copy]:
    world: World = made(postgres, {"kind": "folder", "path": str(tmp_path / "store")}, tmp_path)
    execute(world.target, ASSORTED)
    world.backup()
    name = f"{world.target.dbname}__copy"
    world.restore(state="restored", database=name)
    (backup,) = shelf.backups(world.place())
    with postgres_connection.session(world.target.for_database(name), "test") as connection:
        catalog.pin(connection, 10)
        with connection.cursor() as cursor:
            # Neither triggers nor foreign keys: a damage asks nobody.
            cursor.execute("SET session_replication_role = replica; SET search_path = pg_catalog, public")
        yield Copy(connection, _by_shown_name(connection, backup.manifest["content"]["tables"]))


def _by_shown_name(connection: t.Any, tables: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        catalog.rows(connection, "SELECT %s::regclass::text", (name,))[0][0]: tables[name] for name in tables
    }


def test_every_changed_value_is_seen(copy: Copy) -> None:
    assert {table: copy.found(table) for table in copy.expected} == copy.expected
    kinds = {kind for _table, _column, kind in copy.columns}
    assert kinds <= set(CHANGES), "a type that nobody changes"
    missed, seen_by_count = [], 0
    for _number in range(_MUTATIONS):
        change = copy.mutate()
        table = next(name for name in copy.expected if change.startswith(f"{name}."))
        found, wanted = copy.found(table), copy.expected[table]
        seen_by_count += found["rows"] != wanted["rows"]
        if found == wanted:
            missed.append(change)
        copy.take_back()
    assert missed == []
    assert seen_by_count == 0, "the control: who counts rows sees none of them"
