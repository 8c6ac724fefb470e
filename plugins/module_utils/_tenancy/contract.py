# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends the migration: triggers gone, links never empty, deprecated columns dropped. Not undone by us."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import catalog, ddl
from ansible_collections.emailai.migration.plugins.module_utils._postgres.names import object_name
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    row,
    rows,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import rights, schema, stage, sync

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model

SESSIONS_SHOWN: t.Final = 5
# How the sessions of this collection are named.
OURS: t.Final = "emailai.migration"


@dataclass(frozen=True)
class Act:
    act: str
    thing: str
    statements: tuple[Composable, ...] = ()


def plan(connection: Connection, model: Model) -> tuple[list[Act], list[str]]:
    """What is still to do, and what cannot be done. Reads only."""
    tables = catalog.read_tables(
        connection, model.schema, [*model.tables, *(one.table for one in model.deprecated)]
    )
    acts, left = [], []
    if any(now != "absent" for now in sync.state(connection, model).values()):
        acts.append(Act("drop", "sync triggers and their functions"))
    for link in model.links:
        column = tables[link.table].columns[link.organization]
        if column.is_required:
            continue
        empty = row(
            connection,
            compose(
                "SELECT count(*) FROM {table} WHERE {link} IS NULL",
                table=model.at(link.table),
                link=link.organization,
            ),
        )[0]
        name = f"{link.table}.{link.organization}"
        if empty:
            left.append(f"{name} stays nullable: {empty} rows have no organization")
        else:
            acts.append(Act("close", f"column {name}", _close(model, link)))
    for one in model.deprecated:
        if one.table in tables and one.column in tables[one.table].columns:
            drop = compose(
                "ALTER TABLE {table} DROP COLUMN {column}", table=model.at(one.table), column=one.column
            )
            acts.append(Act("drop", f"column {one.table}.{one.column}", (drop,)))
    return acts, left


def _close(model: Model, link: Link) -> tuple[Composable, ...]:
    """NOT NULL by way of a validated CHECK: the lock is held for a moment, not for a scan."""
    parts: dict[str, t.Any] = {
        "table": model.at(link.table),
        "check": object_name(link.table, (link.organization, "filled"), "check"),
        "link": link.organization,
    }
    return tuple(
        compose(text, **parts)
        for text in (
            "ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({link} IS NOT NULL) NOT VALID",
            "ALTER TABLE {table} VALIDATE CONSTRAINT {check}",
            "ALTER TABLE {table} ALTER COLUMN {link} SET NOT NULL",
            "ALTER TABLE {table} DROP CONSTRAINT {check}",
        )
    )


def contract(builder: schema.Builder, is_check: bool, other_clients: t.Sequence[str] = ()) -> schema.Outcome:
    connection, model = builder.connection, builder.model
    acts, left = plan(connection, model)
    if acts:
        _refuse_old_releases(connection, model, other_clients)
    connection.rollback()
    outcome = schema.Outcome(
        changed=bool(acts),
        objects=[{"act": one.act, "object": one.thing} for one in acts],
        warnings=left,
        after=[f"{one.act} {one.thing}" for one in acts],
    )
    if is_check:
        return outcome
    if acts:
        rights.refuse(connection, model, rights.OWNER, "contract", "the schema")
    for one in acts:
        if not one.statements:
            sync.remove(connection, builder.target, model, builder.patience)
        for statement in _due(connection, model, one):
            ddl.change(connection, builder.target, one.thing, [statement], builder.patience)
        stage.note(connection, builder.run_id, "contracted", one.thing)
        connection.commit()
    return outcome


def _refuse_old_releases(connection: Connection, model: Model, other_clients: t.Sequence[str]) -> None:
    """Whoever is connected without the mark writes rows that only the triggers link.

    A plain role sees of the others' sessions their names, but neither kind nor address.
    """
    known = (OURS, model.release_mark, *other_clients)
    found = rows(
        connection,
        compose(
            "SELECT format('%s (%s, pid %s%s)', coalesce(nullif(application_name, ''), 'unnamed'), usename,"
            " pid, ', since ' || to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
            " || ' UTC')"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND coalesce(backend_type, 'client backend') = 'client backend' AND NOT ({known})"
            " ORDER BY application_name, pid",
            known=join(
                [
                    compose("starts_with(coalesce(application_name, ''), {name})", name=value(name))
                    for name in known
                ],
                " OR ",
            ),
        ),
    )
    if not found:
        return
    connection.rollback()
    shown = "; ".join(text for (text,) in found[:SESSIONS_SHOWN])
    rest = f" and {len(found) - SESSIONS_SHOWN} more" if len(found) > SESSIONS_SHOWN else ""
    raise MigrationError(
        "contract",
        "the schema",
        f"{len(found)} sessions without the mark {model.release_mark} of the new release are connected:"
        f" {shown}{rest}",
        "Bring every server to the new release and end what is left; a client that is no release is named in"
        " tenancy_other_clients",
        sessions=[text for (text,) in found],
    )


def _due(connection: Connection, model: Model, act: Act) -> tuple[Composable, ...]:
    """An interrupted attempt left the CHECK behind: it need not be made again."""
    if act.act != "close":
        return act.statements
    table, column = act.thing[len("column ") :].rsplit(".", 1)
    name = object_name(table, (column, "filled"), "check")
    there = row(
        connection,
        compose(
            "SELECT count(*) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = {schema} AND c.relname"
            " = {table}"
            " AND k.conname = {name}",
            schema=value(model.schema),
            table=value(table),
            name=value(name),
        ),
    )[0]
    connection.rollback()
    return act.statements[1:] if there else act.statements
