# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two passes over premiums that users point at: to the organizations, and back from them."""

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
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    pages,
    premiums,
    sql,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model


@dataclass(frozen=True)
class Giving(pages.Walk):
    """One pass over the premiums: each to the organization of the user it is chosen for."""

    model: Model
    grace_seconds: float

    @property
    def name(self) -> str:
        return premiums.NAME

    @property
    def table(self) -> str:
        return self.model.premium.table

    @property
    def key(self) -> str:
        return self.model.premium.id

    def apply(self, connection: Connection, page: pages.Page) -> int:
        """Rows that somebody holds are skipped, so the batch waits for nobody.

        The users are held against a change of their premium until the commit: their trigger then
        finds what this batch wrote. The premium is held against its deletion.
        """
        model = self.model
        found = row(
            connection,
            compose(
                """
                WITH page AS MATERIALIZED (
                    SELECT p.{premium_id} AS id FROM {premiums} p WHERE {range} AND NOT {is_given}
                       FOR KEY SHARE OF p SKIP LOCKED
                ), people AS MATERIALIZED (
                    SELECT u.{user} AS id, u.{has} AS premium FROM ({chosen}) k
                      JOIN {users} u ON u.{user} = k.id AND u.{has} = k.premium FOR SHARE OF u SKIP LOCKED
                ), wanted AS MATERIALIZED (
                    SELECT DISTINCT ON (h.home) h.home, h.premium
                      FROM (SELECT {home} AS home, people.premium FROM people) h
                     WHERE h.home IS NOT NULL ORDER BY h.home, h.premium
                ), homes AS MATERIALIZED (
                    SELECT o.{organization} AS id FROM {organizations} o
                     WHERE o.{organization} IN (SELECT home FROM wanted) AND (o.{gets} IS NULL) IS TRUE
                       FOR NO KEY UPDATE OF o SKIP LOCKED
                ), given AS (
                    UPDATE {organizations} o SET {gets} = wanted.premium
                      FROM wanted JOIN homes ON homes.id = wanted.home
                     WHERE o.{organization} = homes.id AND (o.{gets} IS NULL) IS TRUE
                    RETURNING 1
                )
                SELECT count(*) FROM given
                """,
                range=page.condition(self._key()),
                is_given=premiums.is_given(model, self._key()),
                chosen=premiums.chosen(
                    model, compose("u.{has} IN (SELECT id FROM page)", **premiums.parts_of(model))
                ),
                home=sql.home_of(model, raw("people.id")),
                **premiums.parts_of(model),
            ),
        )
        return int(found[0])

    def remaining(self, connection: Connection, limit: int) -> list[str]:
        found = rows(
            connection,
            compose(
                "SELECT c.id FROM ({classes}) c WHERE c.class = 'due' AND c.is_settled AND NOT {set_aside}"
                " ORDER BY c.id LIMIT {limit}",
                classes=premiums.classes(self.model, self.grace_seconds),
                set_aside=sql.quarantined(self.table, raw("c.id")),
                limit=value(limit),
            ),
        )
        return [key for (key,) in found]

    def _key(self) -> Composable:
        return compose("p.{id}", id=self.model.premium.id)


@dataclass(frozen=True)
class Taking(pages.Walk):
    """The way back, over the users: from f(user) or his team the premium he has. Any other link is in use."""

    model: Model

    @property
    def name(self) -> str:
        return f"unlink {premiums.NAME}"

    @property
    def part(self) -> str:
        return premiums.NAME

    @property
    def table(self) -> str:
        return self.model.users.table

    @property
    def key(self) -> str:
        return self.model.users.id

    def apply(self, connection: Connection, page: pages.Page) -> int:
        found = row(
            connection,
            compose(
                """
                WITH held AS MATERIALIZED (
                    SELECT o.{organization} AS id FROM {ours} WHERE {range} FOR NO KEY UPDATE OF o SKIP LOCKED
                ), freed AS (
                    UPDATE {organizations} o SET {gets} = NULL FROM held WHERE o.{organization} = held.id
                    RETURNING 1
                )
                SELECT count(*) FROM freed
                """,
                ours=self._ours(),
                range=page.condition(self._key()),
                **premiums.parts_of(self.model),
            ),
        )
        return int(found[0])

    def remaining(self, connection: Connection, limit: int) -> list[str]:
        found = rows(
            connection,
            compose(
                "SELECT u.{user}::text FROM {ours} ORDER BY u.{user} LIMIT {limit}",
                ours=self._ours(),
                limit=value(limit),
                **premiums.parts_of(self.model),
            ),
        )
        return [key for (key,) in found]

    def _ours(self) -> Composable:
        return compose(
            "{users} u JOIN {organizations} o ON o.{organization} IN ({home}, {team}) AND o.{gets} = u.{has}",
            home=sql.organization_of(self._key()),
            team=sql.team_of(compose("u.{has}", has=premiums.sharing_of(self.model).user)),
            **premiums.parts_of(self.model),
        )

    def _key(self) -> Composable:
        return compose("u.{id}", id=self.model.users.id)
