# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role must be allowed for its part of the work, and what of it is missing. Reads only."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    row,
    rows,
    value,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

OWNER: t.Final = "owner"
_ON_TABLES: t.Final = {"reader": ["SELECT"], "writer": ["SELECT", "UPDATE"]}


def required(model: Model, part: str) -> str:
    """In the words of a person: what the owner, the writer or the reader needs."""
    if part == OWNER:
        return "owner of the tables, CREATE on database and schema"
    return f"{', '.join(_ON_TABLES[part])} on {', '.join(model.old_tables)}"


def missing(connection: Connection, model: Model, part: str) -> list[str]:
    """Each right that the role lacks for its part, one by one."""
    query = _of_owner(model) if part == OWNER else _on_tables(model, _ON_TABLES[part])
    return [str(right) for (right,) in rows(connection, query)]


def refuse(connection: Connection, model: Model, part: str, act: str, thing: str) -> None:
    """Raise where the role could not do its part; nothing was written yet. Ends the transaction."""
    is_standby, reads_only, role = row(
        connection,
        compose("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', current_user"),
    )
    lacking = missing(connection, model, part)
    connection.rollback()
    if is_standby:
        raise _refusal(act, thing, "this server is a standby", "Give the address of the primary")
    if reads_only:
        raise _refusal(
            act,
            thing,
            "its sessions may only read",
            "Reset default_transaction_read_only of role or database",
        )
    if lacking:
        raise _refusal(
            act, thing, f"{role} lacks {', '.join(lacking)}", f"The {part} needs {required(model, part)}"
        )


def _refusal(act: str, thing: str, cause: str, cure: str) -> MigrationError:
    return MigrationError(act, thing, cause, f"{cure}. Nothing was changed", kind="database")


def _of_owner(model: Model) -> t.Any:
    return compose(
        "SELECT 'CREATE on this database' WHERE NOT"
        " has_database_privilege(current_database(), 'CREATE')"
        " UNION ALL SELECT 'CREATE on schema ' || n.nspname FROM pg_namespace n"
        " WHERE n.nspname IN ({schema}, 'public') AND NOT has_schema_privilege(n.oid, 'CREATE')"
        " UNION ALL SELECT 'ownership of ' || c.relname FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {schema}"
        " AND c.relname = ANY({tables}) AND NOT pg_has_role(c.relowner, 'USAGE')",
        schema=value(model.schema),
        tables=value(list(model.old_tables)),
    )


def _on_tables(model: Model, wanted: t.Sequence[str]) -> t.Any:
    parts = [
        compose(
            "SELECT {right} || ' on ' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid ="
            " c.relnamespace"
            " WHERE n.nspname = {schema} AND c.relname = ANY({tables}) AND NOT"
            " has_table_privilege(c.oid, {right})",
            right=value(right),
            schema=value(model.schema),
            tables=value(list(model.old_tables)),
        )
        for right in wanted
    ]
    # Row security leaves the right and takes the rows.
    parts.append(
        compose(
            "SELECT 'BYPASSRLS for ' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid ="
            " c.relnamespace"
            " WHERE n.nspname = {schema} AND c.relname = ANY({tables}) AND row_security_active(c.oid)",
            schema=value(model.schema),
            tables=value(list(model.old_tables)),
        )
    )
    return join(parts, " UNION ALL ")
