# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many rows there are of each class. Reads only; needs no organization table."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres import catalog
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    raw,
    row,
    rows,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import premiums, sql, teams

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model


@dataclass(frozen=True)
class UserCounts:
    """``joining`` of those who are due go into the organization of a team; None where nobody does."""

    total: int
    done: int
    pending: int
    joining: int | None = None

    @property
    def due(self) -> int:
        return self.total - self.done - self.pending


@dataclass(frozen=True)
class LinkCounts:
    """``orphans`` name an owner that does not exist; ``pending`` an owner who has no organization yet."""

    total: int
    done: int
    ownerless: int
    orphans: int
    pending: int

    @property
    def due(self) -> int:
        return self.total - self.done - self.ownerless - self.orphans - self.pending


@dataclass(frozen=True)
class PremiumCounts(LinkCounts):
    """``shared`` go to nobody's organization by policy; ``taken`` would go to one that has another."""

    shared: int = 0
    taken: int = 0

    @property
    def due(self) -> int:
        return super().due - self.shared - self.taken


@dataclass(frozen=True)
class Counts:
    users: UserCounts
    links: t.Mapping[str, LinkCounts]

    def as_dict(self) -> dict[str, dict[str, int]]:
        users = {name: number for name, number in asdict(self.users).items() if number is not None}
        found = {"users": dict(users, due=self.users.due)}
        for name, link in self.links.items():
            found[name] = dict(asdict(link), due=link.due)
        return found


def read(connection: Connection, model: Model, grace_seconds: float) -> Counts:
    tables = catalog.read_tables(connection, model.schema, list(model.tables))
    has_members = model.members.table in tables
    links: dict[str, LinkCounts] = {}
    for link in model.owned:
        is_there = link.organization in tables[link.table].columns if link.organization else has_members
        links[link.name] = _link(connection, model, link, grace_seconds, has_members, is_there)
    if model.sharing:
        organizations = tables.get(model.organizations.table)
        is_expanded = bool(
            has_members and organizations and model.sharing.organization in organizations.columns
        )
        accounts, *resources = links.items()
        found = _premiums(connection, model, grace_seconds, is_expanded)
        links = dict([accounts, (premiums.NAME, found), *resources])
    return Counts(_users(connection, model, grace_seconds, has_members), links)


def _premiums(connection: Connection, model: Model, grace_seconds: float, is_expanded: bool) -> PremiumCounts:
    found: dict[str, int] = dict(
        rows(
            connection,
            compose(
                "SELECT class, count(*) FROM ({classes}) c GROUP BY class",
                classes=premiums.classes(model, grace_seconds, is_expanded),
            ),
        )
    )
    kinds = {kind: int(found.get(kind, 0)) for kind in ("done", "ownerless", "pending", "shared", "taken")}
    return PremiumCounts(total=int(sum(found.values())), orphans=0, **kinds)


def _has(model: Model, user: t.Any, has_members: bool) -> t.Any:
    return sql.has_membership(model, user) if has_members else raw("false")


def _users(connection: Connection, model: Model, grace_seconds: float, has_members: bool) -> UserCounts:
    found = row(
        connection,
        compose(
            "SELECT count(*), count(*) FILTER (WHERE has), count(*) FILTER (WHERE young AND NOT has)"
            " FROM (SELECT {has} AS has, {young} AS young FROM {users} u) p",
            has=_has(model, compose("u.{id}", id=model.users.id), has_members),
            young=sql.is_young(model, grace_seconds),
            users=model.at(model.users.table),
        ),
    )
    total, done, pending = found
    return UserCounts(total, done, pending, _joining(connection, model, grace_seconds, has_members))


def _joining(connection: Connection, model: Model, grace_seconds: float, has_members: bool) -> int | None:
    if not model.has_teams:
        return None
    due = compose(
        "NOT {has} AND NOT {young}",
        has=_has(model, compose("u.{id}", id=model.users.id), has_members),
        young=sql.is_young(model, grace_seconds),
    )
    found = row(
        connection,
        compose(
            "SELECT count(*) FROM ({placed}) p WHERE p.role <> {owner}",
            placed=teams.placed(model, sql.people(model, due), has_members),
            owner=value(model.roles.owner),
        ),
    )
    return int(found[0])


def _link(
    connection: Connection,
    model: Model,
    link: Link,
    grace_seconds: float,
    has_members: bool,
    is_there: bool,
) -> LinkCounts:
    path = sql.path(model, link)
    found = row(
        connection,
        compose(
            "SELECT count(*), count(*) FILTER (WHERE linked),"
            " count(*) FILTER (WHERE NOT linked AND ownerless),"
            " count(*) FILTER (WHERE NOT linked AND orphan AND NOT ownerless),"
            " count(*) FILTER (WHERE NOT linked AND NOT ownerless AND NOT orphan AND young AND NOT has)"
            " FROM (SELECT {linked} AS linked, ({ownerless}) AS ownerless, ({orphan}) AS orphan,"
            " {young} AS young, {has} AS has FROM {table} t{joins}) p",
            linked=compose("NOT ({unlinked})", unlinked=sql.is_unlinked(model, link))
            if is_there
            else raw("false"),
            ownerless=path.is_ownerless,
            orphan=path.is_orphan,
            joins=path.joins,
            young=sql.is_young(model, grace_seconds),
            has=_has(model, compose("u.{id}", id=model.users.id), has_members),
            table=model.at(link.table),
        ),
    )
    return LinkCounts(*found)
