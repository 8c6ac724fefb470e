# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements of the pass: what is done with a page of keys.

Whoever creates holds users first, then organizations; whoever links holds
organizations, then the rows that get a link, of which no key leads to their
user by that. What somebody holds is skipped, so a batch waits for nobody.

Each step looks the rows of the step before up by their place or their key,
one by one: whatever the planner believes of tables that were empty a moment
ago, a batch costs what its rows cost.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    raw,
    row,
    rows,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity, pages, sql, teams

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model


@dataclass(frozen=True)
class Task(pages.Walk):
    """One pass: over users (link is None) or over the rows of a link."""

    model: Model
    link: Link | None
    grace_seconds: float

    @property
    def name(self) -> str:
        return self.link.name if self.link else "users"

    @property
    def table(self) -> str:
        return self.link.table if self.link else self.model.users.table

    @property
    def key(self) -> str:
        return self.link.id if self.link else self.model.users.id

    @property
    def fills(self) -> str | None:
        return self.link.organization if self.link else None

    def apply(self, connection: Connection, page: pages.Page, suffix: int = identity.SUFFIX) -> int:
        """Do the page; the number of organizations made or rows linked."""
        statement = self._link(self.link, page) if self.link else self._create(page, suffix)
        return int(row(connection, statement)[0])

    def _create(self, page: pages.Page, suffix: int) -> Composable:
        column = compose("u.{id}", id=self.model.users.id)
        condition = compose(
            "{page} AND NOT {has} AND NOT {young}",
            page=page.condition(column),
            has=sql.has_membership_by_key(self.model, column),
            young=sql.is_young(self.model, self.grace_seconds),
        )
        people = sql.people(self.model, condition, raw("FOR KEY SHARE OF u SKIP LOCKED"))
        return compose(
            "WITH {create} SELECT count(*) FROM joined",
            create=sql.create(self.model, teams.placed(self.model, people), suffix),
        )

    def _link(self, link: Link, page: pages.Page) -> Composable:
        # (SELECT count(*) FROM homes) is evaluated before the first row is locked: that is what makes
        # the order of locks certain. A row that changes meanwhile has another place: the sweep's.
        model = self.model
        return compose(
            """
            WITH page AS MATERIALIZED (
                SELECT t.ctid AS place, t.{id} AS key, t.{owner} AS owner, {home} AS home
                  FROM {table} t WHERE {range} AND {linkable}
            ), homes AS MATERIALIZED (
                SELECT page.place, page.key, page.owner, o.{organization} AS id
                  FROM page JOIN {organizations} o ON o.{organization} = page.home
                   FOR KEY SHARE OF o SKIP LOCKED
            ), held AS MATERIALIZED (
                SELECT t.ctid AS place, homes.id AS home
                  FROM homes JOIN {table} t
                    ON t.ctid = homes.place AND t.{id} = homes.key AND t.{owner} = homes.owner
                 WHERE {linkable} AND (SELECT count(*) FROM homes) >= 0
                   FOR NO KEY UPDATE OF t SKIP LOCKED
            ), linked AS (
                UPDATE {table} t SET {link} = held.home FROM held WHERE t.ctid = held.place RETURNING 1
            )
            SELECT count(*) FROM linked
            """,
            id=link.id,
            owner=link.owner,
            table=model.at(link.table),
            range=page.condition(compose("t.{id}", id=link.id)),
            linkable=sql.linkable_in_range(link),
            home=sql.home_of(model, compose("t.{owner}", owner=link.owner)),
            organization=model.organizations.id,
            organizations=model.at(model.organizations.table),
            link=link.organization,
        )

    def remaining(self, connection: Connection, limit: int) -> list[str]:
        """Keys of rows that could be done and are not; quarantined ones left out."""
        if self.link is None:
            column = compose("u.{id}", id=self.key)
            condition = compose(
                "NOT {has} AND NOT {young} AND NOT {set_aside}",
                has=sql.has_membership(self.model, column),
                young=sql.is_young(self.model, self.grace_seconds),
                set_aside=sql.quarantined(self.table, column),
            )
            alias = "u"
        else:
            condition = compose(
                "{linkable} AND {has} AND NOT {set_aside}",
                linkable=sql.linkable(self.link),
                has=sql.has_membership(self.model, compose("t.{owner}", owner=self.link.owner)),
                set_aside=sql.quarantined(self.table, compose("t.{id}", id=self.key)),
            )
            alias = "t"
        found = rows(
            connection,
            compose(
                "SELECT {alias}.{key}::text FROM {table} {alias} WHERE {condition} ORDER BY"
                " {alias}.{key} LIMIT {limit}",
                alias=raw(alias),
                key=self.key,
                table=self.model.at(self.table),
                condition=condition,
                limit=value(limit),
            ),
        )
        return [key for (key,) in found]
