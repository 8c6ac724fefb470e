# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is billed and what is used: seats and members of organizations, and queries that read whole tables."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import tables
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    raw,
    rows,
    run,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import premiums

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

SHOWN: t.Final = 200
_LARGE_ROWS: t.Final = 10_000


@dataclass(frozen=True)
class Seats:
    organization: str
    premium: str
    tier: str
    used: int | None
    most: int | None
    members: int

    @property
    def differs(self) -> bool:
        return self.used is not None and self.used != self.members

    def text(self) -> str:
        most = "unlimited" if self.most is None else str(self.most)
        over = ", over the limit" if self.most is not None and self.members > self.most else ""
        return (
            f"organization {self.organization}, premium {self.premium} ({self.tier or 'no tier'}):"
            f" used seats {self.used}, most {most}, members {self.members}{over}"
        )


def overview(connection: Connection, model: Model, organization: str) -> list[Seats]:
    """Of one organization all premiums; of all organizations those whose seats differ from their members."""
    premium, member = model.premium, model.members
    if not premium.used_seats:
        raise MigrationError("read", "the seats", "the model map names no column for used seats")

    def column(name: str) -> t.Any:
        return compose("p.{name}", name=name) if name else raw("NULL")

    count = compose(
        "(SELECT count(*) FROM {members} m WHERE m.{organization} = l.id)",
        members=model.at(member.table),
        organization=member.organization,
    )
    used = column(premium.used_seats)
    condition = (
        compose("l.id = {id}", id=value(organization))
        if organization
        else compose("{used} IS NOT NULL AND {used} <> {count}", used=used, count=count)
    )
    found = rows(
        connection,
        compose(
            "SELECT l.id::text, p.{id}::text, coalesce({tier}::text, ''), {used}, {most}::int, {count}"
            " FROM {linked} WHERE l.id IS NOT NULL AND {condition} ORDER BY p.{id} LIMIT {shown}",
            linked=premiums.with_organization(model),
            id=premium.id,
            tier=column(premium.tier),
            used=used,
            most=column(premium.max_seats),
            count=count,
            condition=condition,
            shown=value(SHOWN),
        ),
    )
    return [Seats(*one) for one in found]


def write(connection: Connection, model: Model, premium: str, number: t.Any) -> None:
    """In the caller's transaction."""
    run(
        connection,
        compose(
            "UPDATE {table} SET {seats} = {number} WHERE {id} = {premium}",
            table=model.at(model.premium.table),
            seats=model.premium.used_seats,
            number=value(number),
            id=model.premium.id,
            premium=value(premium),
        ),
    )


def last_set(connection: Connection, premium: str) -> tuple[t.Any, t.Any] | None:
    """Before and after of the last time we set a premium's seats, unless it was put back since."""
    if not tables.exist(connection):
        return None
    found = rows(
        connection,
        compose(
            "SELECT kind, before, after FROM emailai_migration.ledger WHERE database ="
            " emailai_migration.here()"
            " AND kind IN ('seats', 'seats undone') AND object = {premium} ORDER BY id DESC LIMIT 1",
            premium=value(premium),
        ),
    )
    return (found[0][1], found[0][2]) if found and found[0][0] == "seats" else None


def sequential_scans(connection: Connection, model: Model) -> list[str]:
    """Large tables of the model that are mostly read from end to end."""
    found = rows(
        connection,
        compose(
            "SELECT relname, seq_scan, coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE"
            " schemaname = {schema}"
            " AND relname = ANY({tables}) AND n_live_tup > {large} AND seq_scan > coalesce(idx_scan, 0)",
            schema=value(model.schema),
            tables=value(list(model.tables)),
            large=value(_LARGE_ROWS),
        ),
    )
    return [
        f"{table} was read whole {whole} times, by index {indexed} times" for table, whole, indexed in found
    ]
