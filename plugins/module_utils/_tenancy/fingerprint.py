# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A content digest of every table, without what the migration adds: equal before and after, or data changed.

Conclusive on a database that nobody writes to, as in a rehearsal. Reads only.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    raw,
    row,
    rows,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

Fingerprint = t.Dict[str, t.Dict[str, t.Any]]


def fingerprint(connection: Connection, model: Model) -> Fingerprint:
    """``schema.table`` → rows and digest; the order of rows plays no part."""
    added = {(*model.at(link.table), link.organization) for link in model.links}
    ours = {model.at(model.organizations.table), model.at(model.members.table), ("public", "migration_log")}
    tables: dict[tuple[str, str], list[str]] = {}
    found = rows(
        connection,
        compose(
            "SELECT n.nspname, c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid ="
            " c.relnamespace"
            " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema',"
            " 'emailai_migration')"
            " AND n.nspname NOT LIKE 'pg_toast%' ORDER BY n.nspname, c.relname, a.attname"
        ),
    )
    for schema, table, column in found:
        if (schema, table) not in ours:
            columns = tables.setdefault((schema, table), [])
            if column is not None and (schema, table, column) not in added:
                columns.append(column)
    return {
        f"{schema}.{table}": _digest(connection, (schema, table), names)
        for (schema, table), names in tables.items()
    }


def _digest(connection: Connection, table: tuple[str, str], columns: list[str]) -> dict[str, t.Any]:
    content = join([compose("r.{name}", name=name) for name in columns]) if columns else raw("1")
    number, digest = row(
        connection,
        compose(
            "SELECT count(*), coalesce(sum(('x' || substr(md5(ROW({content})::text), 1,"
            " 15))::bit(60)::bigint::numeric), 0)"
            " FROM {table} r",
            content=content,
            table=table,
        ),
    )
    return {"rows": number, "digest": str(digest)}


def differences(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Tables that differ, as sentences."""
    found = []
    for table in sorted({*before, *after}):
        old, new = before.get(table), after.get(table)
        if old is None or new is None:
            found.append(f"{table} is there only {'after' if old is None else 'before'}")
        elif old != new:
            found.append(f"{table} had {old['rows']} rows and has {new['rows']}, with other content")
    return found
