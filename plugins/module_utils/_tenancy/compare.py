# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalog lacks of the wanted objects, and where it contradicts them; nothing of the world."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._tenancy.wanted import (
    Enum,
    Field,
    NewColumn,
    NewIndex,
    NewKey,
    NewTable,
    Wanted,
)

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._postgres.catalog import Index, Table
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model


@dataclass(frozen=True)
class Found:
    """What was read: relations by name, kind and labels of the role type, tables without a row."""

    tables: t.Mapping[str, Table]
    enum_kind: str
    enum_labels: tuple[str, ...]
    empty: frozenset[str] = frozenset()
    privileges: t.Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """``act``: make, validate (a key), rebuild (an invalid index) or grant."""

    act: str
    thing: str
    wanted: Wanted | Grant


@dataclass(frozen=True)
class Grant:
    table: str
    rights: tuple[tuple[str, str], ...]


@dataclass
class Comparison:
    steps: list[Step] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def map_differences(model: Model, found: Found) -> list[str]:
    """Where the tables that are there already contradict the map."""
    users = model.users
    needed: dict[str, tuple[tuple[str, ...], str]] = {
        users.table: ((users.id, users.email, users.created_at, users.name), users.id)
    }
    for link in model.owned:
        needed[link.table] = ((link.id, link.owner), link.id)
    premium, sharing = model.premium, model.sharing
    if sharing:
        needed[users.table] = ((*needed[users.table][0], sharing.user, sharing.admin), users.id)
        needed[premium.table] = ((premium.id,), premium.id)
    if premium.table in needed:
        columns, key = needed[premium.table]
        needed[premium.table] = ((*columns, premium.tier, premium.used_seats, premium.max_seats), key)
    faults: list[str] = []
    for table, (names, unique) in needed.items():
        faults += _table_faults(model.schema, table, names, unique, found.tables.get(table))
    return faults or _sharing_faults(model, found)


def _sharing_faults(model: Model, found: Found) -> list[str]:
    """Columns that hold a premium's id are of its type."""
    if model.sharing is None:
        return []
    users = found.tables[model.users.table]
    kind = found.tables[model.premium.table].columns[model.premium.id].type
    return [
        f"{users.name}.{column} is of type {users.columns[column].type}, not {kind}"
        for column in (model.sharing.user, model.sharing.admin)
        if column and users.columns[column].type != kind
    ]


def _table_faults(
    schema: str, name: str, columns: t.Sequence[str], key: str, table: Table | None
) -> list[str]:
    if table is None:
        return [f"table {schema}.{name} does not exist"]
    if table.kind != "table":
        return [f"{schema}.{name} is a {table.kind}, not a table"]
    faults = [
        f"{name}.{column} does not exist" for column in columns if column and column not in table.columns
    ]
    unique = [
        index.columns for index in table.indexes if index.is_unique and index.is_valid and index.is_whole
    ]
    if table.hides_rows:
        faults.append(f"row security hides rows of {name} from this role: grant it BYPASSRLS")
    if not faults and table.primary != (key,) and (key,) not in unique:
        faults.append(f"{name}.{key} is no unique key")
    return faults


def compare(wanted: t.Iterable[Wanted], found: Found) -> Comparison:
    result = Comparison()
    for thing in wanted:
        _COMPARERS[type(thing)](thing, found, result)
    return result


def compare_grants(tables: t.Sequence[str], like: str, found: Found, result: Comparison) -> None:
    """The new tables can be used by whoever can use the table ``like``."""
    model = found.privileges.get(like, frozenset())
    for table in tables:
        missing = sorted(model - found.privileges.get(table, frozenset()))
        if missing:
            roles = sorted({role or "PUBLIC" for role, _right in missing})
            result.steps.append(
                Step("grant", f"rights on {table} to {', '.join(roles)}", Grant(table, tuple(missing)))
            )


def _compare_enum(wanted: Enum, found: Found, result: Comparison) -> None:
    name = f"type {wanted.name}"
    if not found.enum_kind:
        result.steps.append(Step("make", name, wanted))
    elif found.enum_kind != "enum":
        result.differences.append(f"{name} is {found.enum_kind}, not an enum")
    else:
        missing = [label for label in wanted.labels if label not in found.enum_labels]
        if missing:
            result.differences.append(f"{name} lacks {', '.join(missing)}")


def _compare_table(wanted: NewTable, found: Found, result: Comparison) -> None:
    table = found.tables.get(wanted.name)
    if table is None:
        result.steps.append(Step("make", f"table {wanted.name}", wanted))
        return
    if table.kind != "table":
        result.differences.append(f"{wanted.name} is a {table.kind}, not a table")
        return
    if table.hides_rows:
        result.differences.append(
            f"row security hides rows of {wanted.name} from this role: grant it BYPASSRLS"
        )
    for one in wanted.fields:
        _compare_field(one, table, wanted.name in found.empty, result)
    if table.primary != (wanted.primary,):
        result.differences.append(f"the primary key of {wanted.name} is not {wanted.primary}")
    known = {one.name for one in wanted.fields} | set(wanted.filled)
    for column in table.columns.values():
        if column.is_required and not column.has_default and column.name not in known:
            result.differences.append(
                f"{wanted.name}.{column.name} must be filled and has no default; name a value under"
                f" fill in the map"
            )


def _compare_field(wanted: Field, table: Table, is_empty: bool, result: Comparison) -> None:
    column = table.columns.get(wanted.name)
    name = f"{table.name}.{wanted.name}"
    if column is None:
        if is_empty or not wanted.is_required:
            result.steps.append(Step("make", f"column {name}", NewColumn(table.name, wanted)))
        else:
            result.differences.append(f"{name} does not exist and the table has rows")
    elif column.type not in (wanted.type, *wanted.fits):
        result.differences.append(f"{name} is of type {column.type}, not {wanted.type}")
    elif wanted.is_required and not column.is_required:
        result.warnings.append(f"{name} may be NULL, as Prisma would not make it")
    elif not wanted.is_required and column.is_required:
        result.differences.append(f"{name} is NOT NULL: most organizations have none")


def _compare_column(wanted: NewColumn, found: Found, result: Comparison) -> None:
    table = found.tables.get(wanted.table)
    if table is None or table.kind != "table":
        return  # map_differences says so
    column = table.columns.get(wanted.field.name)
    name = f"{wanted.table}.{wanted.field.name}"
    if column is None:
        result.steps.append(Step("make", f"column {name}", wanted))
    elif column.type != wanted.field.type:
        result.differences.append(f"{name} is of type {column.type}, not {wanted.field.type}")
    elif column.is_required and not column.has_default:
        result.differences.append(f"{name} is NOT NULL: the old release could not insert")


def _compare_index(wanted: NewIndex, found: Found, result: Comparison) -> None:
    table = found.tables.get(wanted.table)
    same = _named(table, wanted.name)
    thing = f"index {wanted.name}"
    if same is not None and not _serves(same, wanted):
        result.differences.append(f"{thing} is not {_described(wanted)}")
    elif same is not None and not same.is_valid:
        result.steps.append(Step("rebuild", thing, wanted))
    elif not any(_serves(index, wanted) and index.is_valid for index in (table.indexes if table else ())):
        result.steps.append(Step("make", thing, wanted))


def _named(table: Table | None, name: str) -> Index | None:
    return next((index for index in table.indexes if index.name == name), None) if table else None


def _serves(index: Index, wanted: NewIndex) -> bool:
    return index.columns == wanted.columns and index.is_whole and index.is_unique >= wanted.is_unique


def _described(wanted: NewIndex) -> str:
    return f"{'unique ' if wanted.is_unique else ''}on {wanted.table} ({', '.join(wanted.columns)})"


def _compare_key(wanted: NewKey, found: Found, result: Comparison) -> None:
    table = found.tables.get(wanted.table)
    keys = table.keys if table else ()
    thing = f"key {wanted.name}"
    serving = [
        key
        for key in keys
        if (key.columns, key.target, key.target_columns)
        == ((wanted.column,), wanted.target, (wanted.target_column,))
    ]
    if not serving:
        if any(key.name == wanted.name for key in keys):
            result.differences.append(
                f"{thing} does not lead from {wanted.table}.{wanted.column} to {wanted.target}"
            )
        else:
            result.steps.append(Step("make", thing, wanted))
        return
    key = serving[0]
    if wanted.on_delete == "CASCADE" and key.on_delete != "c":
        result.differences.append(
            f"{key.name} does not cascade: the old release could not delete a row of {wanted.target} any more"
        )
    if wanted.on_delete == "SET NULL" and key.on_delete not in ("n", "c"):
        result.differences.append(
            f"{key.name} does not set NULL: the old release could not delete a row of {wanted.target}"
        )
    if wanted.on_delete != "CASCADE" and key.on_delete == "c":
        result.warnings.append(
            f"{key.name} cascades: deleting a row of {wanted.target} would delete rows of {wanted.table}"
        )
    if not key.is_valid:
        result.steps.append(Step("validate", f"key {key.name}", wanted))


_COMPARERS: t.Final[dict[type, t.Callable[[t.Any, Found, Comparison], None]]] = {
    Enum: _compare_enum,
    NewTable: _compare_table,
    NewColumn: _compare_column,
    NewIndex: _compare_index,
    NewKey: _compare_key,
}
