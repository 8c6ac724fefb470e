# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Organizations that we made and nobody uses: their user is gone, or the migration is taken back."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres import catalog
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    raw,
    rows,
    run,
    value,
    values,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import sql, stage

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model


def find(connection: Connection, model: Model, limit: int = 1000) -> list[str]:
    """Ours, without any member, and no user left whose organization it would be. Reads only."""
    found = rows(
        connection,
        compose(
            """
            WITH empty AS MATERIALIZED (
                SELECT o.{id} AS id FROM {organizations} o WHERE {ours}
                   AND NOT EXISTS (SELECT 1 FROM {members} m WHERE m.{organization} = o.{id})
            )
            SELECT e.id FROM empty e WHERE NOT EXISTS (SELECT 1 FROM {users} u WHERE {home} = e.id)
             ORDER BY e.id LIMIT {limit}
            """,
            id=model.organizations.id,
            organizations=model.at(model.organizations.table),
            ours=sql.is_ours(compose("o.{id}", id=model.organizations.id)),
            members=model.at(model.members.table),
            organization=model.members.organization,
            limit=value(limit),
            users=model.at(model.users.table),
            home=sql.organization_of(compose("u.{id}", id=model.users.id)),
        ),
    )
    return [key for (key,) in found]


def remove(connection: Connection, model: Model, run_id: str, keys: t.Sequence[str]) -> int:
    """Remove those of ``keys`` to which nothing refers, in the caller's transaction; each is noted.

    Like a batch it waits for nobody: what somebody holds or is about to refer to is left for the next sweep.
    """
    ours = _hold(connection, model, keys)
    if not ours:
        return 0
    for link in model.links:
        _free_ownerless(connection, model, link, ours)
    found = rows(
        connection,
        compose(
            "DELETE FROM {organizations} o WHERE o.{id} = ANY({keys}) AND NOT ({used}) RETURNING o.{id}",
            organizations=model.at(model.organizations.table),
            id=model.organizations.id,
            keys=values(ours),
            used=is_used(connection, model, with_members=True),
        ),
    )
    for (key,) in found:
        stage.note(connection, run_id, "organization removed", key)
    return len(found)


def _hold(connection: Connection, model: Model, keys: t.Sequence[str]) -> list[str]:
    """Those that nobody has a hold on; whoever writes a reference to one has, until he commits."""
    found = rows(
        connection,
        compose(
            "SELECT o.{id} FROM {organizations} o WHERE o.{id} = ANY({keys}) FOR UPDATE SKIP LOCKED",
            organizations=model.at(model.organizations.table),
            id=model.organizations.id,
            keys=values(keys),
        ),
    )
    return [key for (key,) in found]


def _free_ownerless(connection: Connection, model: Model, link: Link, keys: t.Sequence[str]) -> None:
    """What its owner left behind would hold an empty organization for ever."""
    run(
        connection,
        compose(
            "WITH held AS MATERIALIZED (SELECT t.{id} AS id FROM {table} t WHERE t.{link} = ANY({keys})"
            " AND t.{owner} IS NULL FOR NO KEY UPDATE SKIP LOCKED)"
            " UPDATE {table} t SET {link} = NULL FROM held WHERE t.{id} = held.id",
            id=link.id,
            table=model.at(link.table),
            link=link.organization,
            keys=values(keys),
            owner=link.owner,
        ),
    )


def is_used(connection: Connection, model: Model, with_members: bool) -> Composable:
    """Whether anything refers to organization ``o``, by any foreign key of the catalog."""
    parts: list[t.Any] = [raw("false")]
    for key in catalog.keys_to(connection, model.schema, model.organizations.table):
        if not with_members and (key.schema, key.table) == model.at(model.members.table):
            continue
        parts.append(
            compose(
                "EXISTS (SELECT 1 FROM {table} r WHERE r.{column} = o.{target})",
                table=(key.schema, key.table),
                column=key.columns[0],
                target=key.target_columns[0],
            )
        )
    return join(parts, " OR ")
