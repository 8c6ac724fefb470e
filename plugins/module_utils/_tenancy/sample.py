# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a few pages of each pass: how many of their rows have something to do, and how long reading takes.

Only reads, so it works on a standby and with a read-only role. A few hundred milliseconds in all, whatever
the size of the tables: a page that takes longer is broken off and counts as slow.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._postgres import catalog
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    TRANSIENT,
    compose,
    driver_error,
    raw,
    row,
    run,
    sqlstate,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    batches,
    joining,
    pages,
    premiums,
    sql,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.estimate import ENOUGH, Page, Sample
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.passes import Pass, passes

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.counts import Counts
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model

# In all, shared by the passes; of a model with many resources some more, lest none has enough.
_PAGES: t.Final = 20
_SECONDS: t.Final = 0.4
_FEWEST_ROWS: t.Final = 50


def read(
    connection: Connection, model: Model, found: Counts, grace_seconds: float, page_rows: int
) -> dict[str, Sample]:
    """By pass. The connection commits by itself; what is set here ends with each pass."""
    totals = {"users": found.users.total, **{name: link.total for name, link in found.links.items()}}
    tables = catalog.read_tables(connection, model.schema, list(model.tables))
    tasks = passes(model, grace_seconds)
    return {
        task.name: _Reader(connection, model, task, _due(model, task, tables)).read(
            totals[task.name], page_rows, max(ENOUGH, _PAGES // len(tasks)), _SECONDS / len(tasks)
        )
        for task in tasks
    }


class _Reader:
    def __init__(self, connection: Connection, model: Model, task: Pass, due: Composable) -> None:
        self._connection, self._model, self._task, self._due = connection, model, task, due

    def read(self, total: int, page_rows: int, number: int, seconds: float) -> Sample:
        size = max(_FEWEST_ROWS, min(page_rows, total // number))
        is_whole = total <= size
        starts = self._starts(1 if is_whole else number)
        deadline = time.monotonic() + seconds
        limit = value(max(1, int(1000 * seconds)))
        run(self._connection, compose("BEGIN READ ONLY"))
        try:
            # As a batch does; and nothing of it waits, or reads on, for longer than its share.
            run(self._connection, compose("SET LOCAL enable_seqscan = off"))
            run(self._connection, compose("SET LOCAL statement_timeout = {limit}", limit=limit))
            looked: list[Page] = []
            for last in starts:
                if looked and time.monotonic() >= deadline:
                    break
                page = self._page(last, size, seconds)
                if page:
                    looked.append(page)
            # What is left over at the end of a table costs as much to ask for, and would look slow.
            return Sample(tuple([page for page in looked if 2 * page.rows >= size] or looked), is_whole)
        finally:
            run(self._connection, compose("ROLLBACK"))

    def _starts(self, number: int) -> list[str | None]:
        """Keys after which a page begins, all over the table from the first one on, however few are read."""
        table = self._model.at(self._task.table)
        marks = pages.bounds(self._connection, table, self._task.key, number) if number > 1 else []
        starts = [None, *marks]
        return [*starts[::2], *starts[1::2]]

    def _page(self, last: str | None, size: int, limit: float) -> Page | None:
        try:
            run(self._connection, compose("SAVEPOINT page"))
            page = self._task.page(self._connection, pages.WHOLE, last, size)
            if page is None:
                return None
            begun = time.monotonic()
            found = row(
                self._connection,
                compose(
                    "SELECT count(*), count(*) FILTER (WHERE {due}) FROM {table} t WHERE {range}",
                    due=self._due,
                    table=self._model.at(self._task.table),
                    range=page.condition(compose("t.{key}", key=self._task.key)),
                ),
            )
            seconds = time.monotonic() - begun
        except driver_error() as exc:
            if sqlstate(exc) not in TRANSIENT:
                raise
            run(self._connection, compose("ROLLBACK TO page"))
            return Page(size, size, limit)
        return Page(found[0], found[1], seconds) if found[0] else None


def _due(model: Model, task: Pass, tables: t.Mapping[str, catalog.Table]) -> Composable:
    """Whether row ``t`` has something to do, before expand as after it."""
    if isinstance(task, joining.Joining):
        return _due_row(model, model.accounts, tables)
    if not isinstance(task, batches.Task):
        return _due_premium(model, tables)
    return _due_row(model, task.link, tables) if task.link else _due_user(model, task, tables)


def _due_user(model: Model, task: batches.Task, tables: t.Mapping[str, catalog.Table]) -> Composable:
    user = compose("t.{id}", id=model.users.id)
    has = sql.has_membership(model, user) if model.members.table in tables else raw("false")
    return compose("NOT {has} AND NOT {young}", has=has, young=sql.is_young(model, task.grace_seconds, "t"))


def _due_row(model: Model, link: Link, tables: t.Mapping[str, catalog.Table]) -> Composable:
    is_there = (
        link.organization in tables[link.table].columns
        if link.organization
        else model.members.table in tables
    )
    table, key = model.owner_of(link)
    return compose(
        "t.{owner} IS NOT NULL AND {unlinked}"
        " AND EXISTS (SELECT 1 FROM {owners} u WHERE u.{key} = t.{owner})",
        unlinked=sql.is_unlinked(model, link) if is_there else raw("true"),
        owners=model.at(table),
        key=key,
        owner=link.owner,
    )


def _due_premium(model: Model, tables: t.Mapping[str, catalog.Table]) -> Composable:
    key = compose("t.{id}", id=model.premium.id)
    sharing = premiums.sharing_of(model)
    organizations = tables.get(model.organizations.table)
    is_expanded = organizations is not None and sharing.organization in organizations.columns
    return compose(
        "EXISTS ({chosen}) AND NOT {given}",
        chosen=premiums.chosen(model, compose("u.{has} = {key}", has=sharing.user, key=key)),
        given=premiums.is_given(model, key) if is_expanded else raw("false"),
    )
