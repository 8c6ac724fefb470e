# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back of the data step: our links taken back, triggers off, unused organizations removed."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import catalog
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    row,
    rows,
    value,
    values,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    abandoned,
    giving,
    joining,
    mailboxes,
    pages,
    premiums,
    progress,
    report,
    schema,
    sql,
    stage,
    sync,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.engine import Engine, Heart
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.passes import passes

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Link, Model


@dataclass(frozen=True)
class Unlinking(pages.Walk):
    """Takes back the links that the rule made. A link that somebody set otherwise is in use and stays."""

    model: Model
    link: Link

    @property
    def name(self) -> str:
        return f"unlink {self.link.name}"

    @property
    def part(self) -> str:
        return self.link.name

    @property
    def table(self) -> str:
        return self.link.table

    @property
    def key(self) -> str:
        return self.link.id

    def _ours(self) -> t.Any:
        # Equal, but in a form that no index on the link can serve for a range of keys.
        return compose(
            "({is_of_rule}) IS TRUE",
            is_of_rule=sql.is_of_rule(
                self.model,
                sql.user_of(self.model, self.link, compose("t.{owner}", owner=self.link.owner)),
                compose("t.{link}", link=self.link.organization),
            ),
        )

    def apply(self, connection: Connection, page: pages.Page) -> int:
        condition = page.condition(compose("t.{id}", id=self.link.id))
        found = row(
            connection,
            compose(
                """
                WITH held AS MATERIALIZED (
                    SELECT t.{id} AS id FROM {table} t WHERE {range} AND {ours} FOR NO KEY UPDATE OF t SKIP
                    LOCKED
                ), freed AS (
                    UPDATE {table} t SET {link} = NULL FROM held WHERE {range} AND t.{id} = held.id
                    RETURNING 1
                )
                SELECT count(*) FROM freed
                """,
                id=self.link.id,
                table=self.model.at(self.table),
                range=condition,
                ours=self._ours(),
                link=self.link.organization,
            ),
        )
        return int(found[0])

    def remaining(self, connection: Connection, limit: int) -> list[str]:
        found = rows(
            connection,
            compose(
                "SELECT t.{id}::text FROM {table} t WHERE {ours} ORDER BY t.{id} LIMIT {limit}",
                id=self.link.id,
                table=self.model.at(self.table),
                ours=self._ours(),
                limit=value(limit),
            ),
        )
        return [key for (key,) in found]


def unlink(engine: Engine) -> dict[str, t.Any]:
    begun = time.monotonic()
    connection, model, settings = engine.connection, engine.model, engine.settings
    _refuse_cascades(connection, model, settings.keep_organizations)
    _refuse_guards(connection, model)
    works = _works(connection, model)
    with Heart(engine.target, engine.epoch):
        engine.display.enter("releasing the sync triggers")
        with session(engine.maker, "triggers") as owner:
            sync.release(owner, engine.maker, model, settings.patience)
        before = _totals(connection, model)
        walked = {work.name: _count(connection, model, work.table) for work in works}
        connection.rollback()
        engine.display.begin(walked, {})
        unlinked = {}
        for work in works:
            engine.display.enter(f"unlinking {work.part}")
            unlinked[work.part] = engine.walk(work, walked[work.name]).changed
        # What fired before the release may still commit a link.
        engine.wait_for_horizon()
        for work in works:
            unlinked[work.part] += _rest_of(engine, work)
        engine.display.enter("taking the sync triggers down")
        with session(engine.maker, "triggers") as owner:
            dropped = sync.remove(owner, engine.maker, model, settings.patience)
        removed, kept = _organizations(engine)
    after = _totals(connection, model)
    _forget(engine, works)
    stage.end(connection, stage.DATA, "failed", "taken back")
    text = _summary(unlinked, removed, kept, time.monotonic() - begun)
    engine.display.log(text)
    return {
        "changed": bool(dropped or removed or any(unlinked.values())),
        "summary": text,
        "unlinked": unlinked,
        "organizations_removed": removed,
        "organizations_kept": kept,
        "triggers": dropped,
        "rows_before": before,
        "rows_after": after,
        "seconds": round(time.monotonic() - begun, 3),
    }


_Way = t.Union[Unlinking, giving.Taking, joining.Leaving]


def _works(connection: Connection, model: Model) -> list[_Way]:
    """Of the tables that have a link column: a half-expanded schema is taken back as well."""
    tables = catalog.read_tables(connection, model.schema, list(model.tables))
    connection.rollback()
    # What hangs on a row goes before it: the row's own way back would take it along, uncounted.
    hanging = [link for link in reversed(model.links) if link.owner_in]
    works: list[_Way] = [
        Unlinking(model, link)
        for link in (*hanging, *(link for link in model.links if not link.owner_in))
        if link.organization in tables[link.table].columns
    ]
    organizations = tables.get(model.organizations.table)
    if model.has_member_accounts and organizations and model.members.table in tables:
        works.append(joining.Leaving(model))
    if model.sharing and organizations and model.sharing.organization in organizations.columns:
        works.append(giving.Taking(model))
    return works


def _rest_of(engine: Engine, work: _Way) -> int:
    settled, left = engine.settle(work)
    if left:
        raise MigrationError(
            "unlink",
            work.table if isinstance(work, Unlinking) else work.part,
            f"inconclusive: {left} rows were held by other sessions through every round",
            "Run the same command again",
            kind="inconclusive",
        )
    return settled


def _totals(connection: Connection, model: Model) -> dict[str, int]:
    tables = {link.name: link.table for link in model.owned}
    if model.sharing:
        tables[premiums.NAME] = model.premium.table
    found = {name: _count(connection, model, table) for name, table in tables.items()}
    connection.rollback()
    return found


def _count(connection: Connection, model: Model, table: str) -> int:
    return int(row(connection, compose("SELECT count(*) FROM {table}", table=model.at(table)))[0])


def _refuse_cascades(connection: Connection, model: Model, keeps: bool) -> None:
    """Before an organization is removed: no key may take an account, a premium or a resource with it."""
    keys = catalog.keys_to(connection, model.schema, model.organizations.table)
    connection.rollback()
    bad = [f"{key.table} {key.name}" for key in keys if key.on_delete == "c"]
    if bad and not keeps:
        raise MigrationError(
            "remove",
            "organizations",
            f"these keys would delete rows with them: {', '.join(bad)}",
            "Keep the organizations (keep_organizations=true), or make these keys RESTRICT",
        )


def _refuse_guards(connection: Connection, model: Model) -> None:
    """Where a membership is the link, taking it back is a DELETE."""
    found = mailboxes.guards(connection, model)
    connection.rollback()
    if found:
        raise MigrationError(
            "unlink",
            model.members.table,
            f"triggers fire on DELETE and may refuse it: {', '.join(found)}",
            f"ALTER TABLE … DISABLE TRIGGER on {model.members.table}, and enable them again afterwards",
        )


def _organizations(engine: Engine) -> tuple[int, int]:
    connection, model = engine.connection, engine.model
    if not schema.exists(connection, model):
        return 0, 0
    removed = 0
    if not engine.settings.keep_organizations:
        engine.display.enter("removing organizations that nobody uses")
        last = ""
        while True:
            engine.obey()
            keys = _unused(connection, model, last, engine.pace.rows)
            if not keys:
                break
            removed += _remove(engine, keys)
            engine.fenced_commit()
            last = keys[-1]
    kept = int(row(connection, compose("SELECT count(*) FROM {o}", o=model.at(model.organizations.table)))[0])
    connection.rollback()
    return removed, kept


def _is_member_of_rule(model: Model) -> Composable:
    member = model.members
    if model.has_member_accounts:
        return mailboxes.is_ours(model)
    return sql.is_of_rule(
        model,
        compose("m.{user}", user=member.user),
        compose("m.{organization}", organization=member.organization),
    )


def _unused(connection: Connection, model: Model, last: str, limit: int) -> list[str]:
    """Ours, unchanged since we made them, with no member but their own user, and nothing refers to them."""
    found = rows(
        connection,
        compose(
            """
            SELECT o.{id} FROM {organizations} o
             WHERE o.{id} > {last} AND {ours} AND NOT ({used}) AND o.{created} = o.{updated}
               AND NOT EXISTS (SELECT 1 FROM {members} m
                                WHERE m.{organization} = o.{id} AND NOT {is_of_rule})
             ORDER BY o.{id} LIMIT {limit}
            """,
            id=model.organizations.id,
            organizations=model.at(model.organizations.table),
            last=value(last),
            ours=sql.is_ours(compose("o.{id}", id=model.organizations.id)),
            used=abandoned.is_used(connection, model, with_members=False),
            created=model.organizations.created_at,
            updated=model.organizations.updated_at,
            members=model.at(model.members.table),
            organization=model.members.organization,
            is_of_rule=_is_member_of_rule(model),
            limit=value(limit),
        ),
    )
    return [key for (key,) in found]


def _remove(engine: Engine, keys: list[str]) -> int:
    """Memberships that are ours, then the organizations that have none left; one transaction."""
    connection, model = engine.connection, engine.model
    rows(
        connection,
        compose(
            "DELETE FROM {members} m WHERE m.{organization} = ANY({keys}) AND {is_of_rule} RETURNING m.{id}",
            members=model.at(model.members.table),
            organization=model.members.organization,
            keys=values(keys),
            is_of_rule=_is_member_of_rule(model),
            id=model.members.id,
        ),
    )
    return abandoned.remove(connection, model, engine.settings.run_id, keys)


def _forget(engine: Engine, works: t.Sequence[_Way]) -> None:
    """The next pass in either direction begins at the first row."""
    names = [work.name for work in works]
    names += [task.name for task in passes(engine.model, 0)] + ["move"]
    progress.forget(engine.connection, engine.settings.run_id, names)
    engine.fenced_commit()


def is_unlinked(connection: Connection, model: Model, keeps: bool) -> bool:
    """Whether nothing is left to take back. Reads only."""
    if not schema.exists(connection, model):
        return True
    if any(now != "absent" for now in sync.state(connection, model).values()):
        return False
    if any(work.remaining(connection, 1) for work in _works(connection, model)):
        return False
    return keeps or not _unused(connection, model, "", 1)


def _summary(unlinked: t.Mapping[str, int], removed: int, kept: int, seconds: float) -> str:
    lines = [f"  {report.label(name)} unlinked: {number:,}" for name, number in unlinked.items()]
    lines += [f"  Organizations removed: {removed:,}, kept: {kept:,}"]
    return "\n".join(["Rollback of the data:", *lines, "", f"Finished in {report.duration(seconds)}"])
