# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalog says of tables, columns, indexes, keys and types. Reads only."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    rows,
    value,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

_KINDS: t.Final = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
    "i": "index",
    "c": "composite type",
}


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    is_required: bool
    has_default: bool


@dataclass(frozen=True)
class Index:
    name: str
    columns: tuple[str, ...]
    is_unique: bool
    is_valid: bool
    is_whole: bool  # neither partial nor on an expression


@dataclass(frozen=True)
class Key:
    """A foreign key. ``on_delete`` is the catalog's letter: a, r, c, n or d."""

    name: str
    table: str
    columns: tuple[str, ...]
    target_schema: str
    target: str
    target_columns: tuple[str, ...]
    on_delete: str
    is_valid: bool
    schema: str = ""


@dataclass(frozen=True)
class Table:
    name: str
    kind: str
    columns: dict[str, Column] = field(default_factory=dict)
    primary: tuple[str, ...] = ()
    indexes: tuple[Index, ...] = ()
    keys: tuple[Key, ...] = ()
    # Row security applies to the role that asked: it may see and change fewer rows than there are.
    hides_rows: bool = False


def read_tables(connection: Connection, schema: str, names: t.Sequence[str]) -> dict[str, Table]:
    """The relations of these names that exist, of whatever kind."""
    found = rows(
        connection,
        compose(
            "SELECT c.oid, c.relname, c.relkind, row_security_active(c.oid)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = {schema} AND c.relname = ANY({names})",
            schema=value(schema),
            names=value(list(names)),
        ),
    )
    return {
        name: Table(
            name=name,
            kind=_KINDS.get(kind, "relation"),
            columns=_columns(connection, oid),
            primary=_primary(connection, oid),
            indexes=_indexes(connection, oid),
            keys=read_keys(connection, f"k.conrelid = {int(oid)}"),
            hides_rows=hides_rows,
        )
        for oid, name, kind, hides_rows in found
    }


def _columns(connection: Connection, oid: int) -> dict[str, Column]:
    found = rows(
        connection,
        compose(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull,"
            "       atthasdef OR attidentity <> '' OR attgenerated <> ''"
            "  FROM pg_attribute WHERE attrelid = {oid} AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            oid=value(oid),
        ),
    )
    return {name: Column(name, kind, required, default) for name, kind, required, default in found}


_NAMES = (
    "ARRAY(SELECT a.attname::text FROM unnest({numbers}) WITH ORDINALITY AS p(number, place)"
    " JOIN pg_attribute a ON a.attrelid = {relation} AND a.attnum = p.number ORDER BY p.place)"
)


def _primary(connection: Connection, oid: int) -> tuple[str, ...]:
    found = rows(
        connection,
        compose(
            "SELECT "
            + _NAMES.format(numbers="k.conkey", relation="k.conrelid")
            + " FROM pg_constraint k WHERE k.conrelid = {oid} AND k.contype = 'p'",
            oid=value(oid),
        ),
    )
    return tuple(found[0][0]) if found else ()


def _indexes(connection: Connection, oid: int) -> tuple[Index, ...]:
    found = rows(
        connection,
        compose(
            "SELECT c.relname, "
            + _NAMES.format(numbers="i.indkey::int2[]", relation="i.indrelid")
            + ", i.indisunique, i.indisvalid AND i.indisready, i.indpred IS NULL AND i.indexprs IS NULL"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = {oid} ORDER"
            " BY c.relname",
            oid=value(oid),
        ),
    )
    return tuple(Index(name, tuple(columns), *flags) for name, columns, *flags in found)


def read_keys(connection: Connection, condition: str) -> tuple[Key, ...]:
    """Foreign keys under a condition on ``k`` (pg_constraint) that this collection wrote."""
    found = rows(
        connection,
        compose(
            "SELECT k.conname, c.relname, "
            + _NAMES.format(numbers="k.conkey", relation="k.conrelid")
            + ", n.nspname, f.relname, "
            + _NAMES.format(numbers="k.confkey", relation="k.confrelid")
            + ", k.confdeltype::text, k.convalidated, s.nspname FROM pg_constraint k"
            " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace s ON s.oid = c.relnamespace"
            " JOIN pg_class f ON f.oid = k.confrelid"
            " JOIN pg_namespace n ON n.oid = f.relnamespace"
            f" WHERE k.contype = 'f' AND {condition} ORDER BY k.conname"
        ),
    )
    return tuple(
        Key(name, table, tuple(columns), schema, target, tuple(targets), action, valid, own)
        for name, table, columns, schema, target, targets, action, valid, own in found
    )


def keys_to(connection: Connection, schema: str, table: str) -> tuple[Key, ...]:
    """Foreign keys that lead to a table, from wherever."""
    found = rows(
        connection,
        compose(
            "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = {schema} AND c.relname = {table}",
            schema=value(schema),
            table=value(table),
        ),
    )
    return read_keys(connection, f"k.confrelid = {int(found[0][0])}") if found else ()


def read_labels(connection: Connection, schema: str, name: str) -> tuple[str, tuple[str, ...]]:
    """Kind (``enum``, another kind or empty) and labels of a type."""
    found = rows(
        connection,
        compose(
            "SELECT y.typtype, ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = y.oid"
            " ORDER BY e.enumsortorder) FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace"
            " WHERE n.nspname = {schema} AND y.typname = {name}",
            schema=value(schema),
            name=value(name),
        ),
    )
    if not found:
        return "", ()
    return ("enum" if found[0][0] == "e" else "another kind of type"), tuple(found[0][1])


def read_privileges(connection: Connection, schema: str, table: str) -> set[tuple[str, str]]:
    """Who may do what with a table, its owner left out; an empty role is everybody."""
    return set(
        rows(
            connection,
            compose(
                "SELECT coalesce(r.rolname, ''), a.privilege_type FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN aclexplode(c.relacl) a"
                " LEFT JOIN pg_roles r ON r.oid = a.grantee"
                " WHERE n.nspname = {schema} AND c.relname = {table} AND a.grantee <> c.relowner",
                schema=value(schema),
                table=value(table),
            ),
        )
    )
