# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two passes over accounts that are members themselves: into the organizations, and out of them."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    row,
    rows,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import mailboxes, pages, sql

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model


class _OverAccounts(pages.Walk):
    @property
    def table(self) -> str:
        return self.model.accounts.table

    @property
    def key(self) -> str:
        return self.model.accounts.id


@dataclass(frozen=True)
class Joining(_OverAccounts):
    """One pass over the accounts: each that is a member nowhere joins the organization of its user."""

    model: Model

    @property
    def name(self) -> str:
        return self.model.accounts.name

    def apply(self, connection: Connection, page: pages.Page) -> int:
        """The same order of locks as where accounts get a column: organizations, then the rows."""
        parts = mailboxes.parts_of(self.model)
        found = row(
            connection,
            compose(
                """
                WITH page AS MATERIALIZED (
                    SELECT t.ctid AS place, t.{owner} AS owner, {home} AS home
                      FROM {accounts} t WHERE {range} AND {is_due}
                ), homes AS MATERIALIZED (
                    SELECT page.place, page.owner, o.{organization} AS id, o.{born} AS born
                      FROM page JOIN {organizations} o ON o.{organization} = page.home
                       FOR KEY SHARE OF o SKIP LOCKED
                ), held AS MATERIALIZED (
                    SELECT t.{account} AS id, homes.id AS home, homes.born
                      FROM homes JOIN {accounts} t ON t.ctid = homes.place AND t.{owner} = homes.owner
                     WHERE {range} AND {is_due} AND (SELECT count(*) FROM homes) >= 0
                       FOR NO KEY UPDATE OF t SKIP LOCKED
                ), joined AS ({join} FROM held p ON CONFLICT DO NOTHING RETURNING 1)
                SELECT count(*) FROM joined
                """,
                range=page.condition(self._key()),
                is_due=mailboxes.is_due_in_range(self.model),
                home=mailboxes.home(self.model),
                join=mailboxes.join(self.model),
                **parts,
            ),
        )
        return int(found[0])

    def remaining(self, connection: Connection, limit: int) -> list[str]:
        parts = mailboxes.parts_of(self.model)
        found = rows(
            connection,
            compose(
                "SELECT t.{account}::text FROM {accounts} t JOIN {users} u ON u.{user} = t.{owner}"
                " JOIN {organizations} o ON o.{organization} = {home} WHERE {is_due} AND NOT {set_aside}"
                " ORDER BY t.{account} LIMIT {limit}",
                home=sql.organization_of(compose("u.{user}", **parts)),
                is_due=self._is_due(),
                set_aside=sql.quarantined(self.table, self._key()),
                limit=value(limit),
                **parts,
            ),
        )
        return [key for (key,) in found]

    def _is_due(self) -> Composable:
        return compose(
            "t.{owner} IS NOT NULL AND {is_free}",
            is_free=sql.is_unlinked(self.model, self.model.accounts),
            **mailboxes.parts_of(self.model),
        )

    def _key(self) -> Composable:
        return compose("t.{account}", **mailboxes.parts_of(self.model))


@dataclass(frozen=True)
class Leaving(_OverAccounts):
    """The way back, over the accounts: the memberships that the rule made. Any other is in use."""

    model: Model

    @property
    def name(self) -> str:
        return f"unlink {self.model.accounts.name}"

    @property
    def part(self) -> str:
        return self.model.accounts.name

    def apply(self, connection: Connection, page: pages.Page) -> int:
        found = row(
            connection,
            compose(
                """
                WITH held AS MATERIALIZED (
                    SELECT m.{member} AS id FROM {accounts} t JOIN {members} m ON m.{subject} = t.{account}
                     WHERE {range} AND {is_made} FOR UPDATE OF m SKIP LOCKED
                ), left_it AS (
                    DELETE FROM {members} d USING held WHERE d.{member} = held.id RETURNING 1
                )
                SELECT count(*) FROM left_it
                """,
                range=page.condition(compose("t.{account}", **mailboxes.parts_of(self.model))),
                is_made=self._is_made(),
                **mailboxes.parts_of(self.model),
            ),
        )
        return int(found[0])

    def remaining(self, connection: Connection, limit: int) -> list[str]:
        found = rows(
            connection,
            compose(
                "SELECT t.{account}::text FROM {accounts} t JOIN {members} m ON m.{subject} = t.{account}"
                " WHERE {is_made} ORDER BY t.{account} LIMIT {limit}",
                is_made=self._is_made(),
                limit=value(limit),
                **mailboxes.parts_of(self.model),
            ),
        )
        return [key for (key,) in found]

    def _is_made(self) -> Composable:
        return compose(
            "{ours} AND m.{belongs_to} = {home}",
            ours=mailboxes.is_ours(self.model),
            home=sql.organization_of(compose("t.{owner}", **mailboxes.parts_of(self.model))),
            **mailboxes.parts_of(self.model),
        )
