# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that hang on another row than a user's: their organization is that of the row they hang on."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    raw,
    rows,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import batches, pages, sql

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model


@dataclass(frozen=True)
class Following(batches.Task):
    """One pass over such rows, after the pass over those they hang on."""

    def _link(self, link: Link, page: pages.Page) -> Composable:
        """Organizations are held first, then the rows hung on, then the rows: nobody is waited for."""
        parent = self.model.parent(link)
        return compose(
            """
            WITH wanted AS MATERIALIZED (
                SELECT t.ctid AS place, t.{owner} AS owner, {home} AS home
                  FROM {table} t JOIN {parents} p ON p.{parent_id} = t.{owner} WHERE {range} AND {linkable}
            ), homes AS MATERIALIZED (
                SELECT wanted.place, wanted.owner, o.{organization} AS id
                  FROM wanted JOIN {organizations} o ON o.{organization} = wanted.home
                   FOR KEY SHARE OF o SKIP LOCKED
            ), parents AS MATERIALIZED (
                SELECT homes.place, homes.owner, homes.id
                  FROM homes JOIN {parents} p ON p.{parent_id} = homes.owner AND {home} = homes.id
                 WHERE (SELECT count(*) FROM homes) >= 0 FOR SHARE OF p SKIP LOCKED
            ), held AS MATERIALIZED (
                SELECT t.ctid AS place, parents.id AS home
                  FROM parents JOIN {table} t ON t.ctid = parents.place AND t.{owner} = parents.owner
                 WHERE {range} AND {linkable} AND (SELECT count(*) FROM parents) >= 0
                   FOR NO KEY UPDATE OF t SKIP LOCKED
            ), linked AS (
                UPDATE {table} t SET {link} = held.home FROM held WHERE t.ctid = held.place RETURNING 1
            )
            SELECT count(*) FROM linked
            """,
            owner=link.owner,
            table=self.model.at(link.table),
            range=page.condition(compose("t.{id}", id=link.id)),
            linkable=sql.linkable_in_range(link),
            parents=self.model.at(parent.table),
            parent_id=parent.id,
            home=sql.link_of(self.model, parent, "p"),
            organization=self.model.organizations.id,
            organizations=self.model.at(self.model.organizations.table),
            link=link.organization,
        )

    def remaining(self, connection: Connection, limit: int) -> list[str]:
        if self.link is None:
            raise ValueError("users follow nobody")
        parent = self.model.parent(self.link)
        found = rows(
            connection,
            compose(
                "SELECT t.{id}::text FROM {table} t JOIN {parents} p ON p.{parent_id} = t.{owner}"
                " WHERE {linkable} AND {home} IS NOT NULL AND NOT {set_aside} ORDER BY t.{id} LIMIT {limit}",
                id=self.key,
                table=self.model.at(self.table),
                parents=self.model.at(parent.table),
                parent_id=parent.id,
                owner=self.link.owner,
                linkable=sql.linkable(self.link),
                home=sql.link_of(self.model, parent, "p"),
                set_aside=sql.quarantined(self.table, compose("t.{id}", id=self.key)),
                limit=value(limit),
            ),
        )
        return [key for (key,) in found]


# Given SQL for a row's organization: whether the row is meant.
Choice = t.Callable[["Composable"], "Composable"]


def follow(model: Model, link: Link, is_meant: Choice, after: Composable) -> Composable:
    """For the body of a trigger: rows that hang on NEW, a row of ``link``, go to another organization.

    What somebody holds is left to the sweep.
    """
    return join(_steps(model, link, compose("= NEW.{id}", id=link.id), is_meant, after), "\n")


def _steps(
    model: Model, link: Link, chosen: Composable, is_meant: Choice, after: Composable
) -> list[Composable]:
    statements: list[Composable] = []
    for child in model.children(link):
        parts: dict[str, t.Any] = {
            "table": model.at(child.table),
            "id": child.id,
            "owner": child.owner,
            "chosen": chosen,
            "link": child.organization,
        }
        keys = compose("SELECT c.{id} FROM {table} c WHERE c.{owner} {chosen}", **parts)
        # Those that hang on a child are found by its owner, which stays.
        statements += _steps(model, child, compose("IN ({keys})", keys=keys), is_meant, after)
        statements.append(
            compose(
                "UPDATE {table} t SET {link} = {after} FROM (SELECT c.{id} AS id FROM {table} c"
                " WHERE c.{owner} {chosen} AND {is_meant} FOR NO KEY UPDATE SKIP LOCKED) held"
                " WHERE t.{id} = held.id;",
                is_meant=is_meant(compose("c.{link}", **parts)),
                after=after,
                **parts,
            )
        )
    return statements or [raw("")]


def catch_up(model: Model, link: Link, key: Composable) -> Composable:
    """The same: what this transaction inserted before the row it hangs on had an organization."""
    parent = model.parent(link)
    return compose(
        "UPDATE {table} t SET {link} = {home} FROM {parents} p WHERE t.{id} = {key}"
        " AND p.{parent_id} = t.{owner} AND t.{link} IS NULL;",
        table=model.at(link.table),
        link=link.organization,
        home=sql.link_of(model, parent, "p"),
        parents=model.at(parent.table),
        parent_id=parent.id,
        owner=link.owner,
        id=link.id,
        key=key,
    )
