# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets Prisma apply its migrations folder to a live database, holds it against the model, takes it back."""

from __future__ import annotations

import random
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import tables as journal
from ansible_collections.emailai.migration.plugins.module_utils._postgres import catalog
from ansible_collections.emailai.migration.plugins.module_utils._prisma import folder, record
from ansible_collections.emailai.migration.plugins.module_utils._prisma.client import Client, ClientError
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import before, rights, schema, stage

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._prisma.statements import Made
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.compare import Comparison

_LEDGER: t.Final = "prisma"
_ACTIONS: t.Final = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


@dataclass(frozen=True)
class Prisma:
    """One application's Prisma, and the database as we reach it ourselves."""

    client: Client
    builder: schema.Builder
    migrations: Path
    names: tuple[str, ...]

    def pending(self) -> list[folder.Migration]:
        """What is not applied; refused while something failed before or somebody is at work."""
        connection, name = self.builder.connection, self.builder.model.schema
        present = folder.read(self.migrations)
        wanted = folder.chosen(present, self.names, self.migrations) if self.names else present
        record.refuse_failed(connection, name)
        done = record.applied(connection, name)
        record.refuse_locked(connection)
        connection.rollback()
        return [one for one in wanted if one.name not in done]

    def refuse_others(self, pending: t.Sequence[folder.Migration]) -> None:
        """Prisma applies all that waits; what nobody named is somebody else's change."""
        if not self.names:
            return
        done = record.applied(self.builder.connection, self.builder.model.schema)
        self.builder.connection.rollback()
        others = {one.name for one in folder.read(self.migrations)} - done - {one.name for one in pending}
        if others:
            raise MigrationError(
                "apply",
                "the migrations folder",
                f"these wait as well, and were not named: {', '.join(sorted(others))}",
                "Deploy them first, or name them too. Nothing was changed",
            )

    def run(self, *words: str) -> None:
        builder = self.builder
        self.client.run(builder.target, builder.patience.lock_timeout_ms, "migrate", *words)


@dataclass
class Outcome:
    changed: bool
    pending: list[folder.Migration]
    objects: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    delete_actions: list[str] = field(default_factory=list)


def deploy(prisma: Prisma, is_check: bool) -> Outcome:
    """Strategy ``prisma``: the folder makes the schema, the catalog proves it."""
    connection, model = prisma.builder.connection, prisma.builder.model
    pending = prisma.pending()
    plan = schema.compared(connection, model, with_indexes=False)
    connection.rollback()
    schema.refuse(plan)
    prisma.refuse_others(pending)
    outcome = Outcome(changed=bool(pending), pending=pending, warnings=plan.warnings)
    if is_check and pending:
        return outcome
    if pending:
        rights.refuse(connection, model, rights.OWNER, "expand", "the schema")
        journal.ensure(connection)
        before.record(connection, model, prisma.builder.run_id)
        stage.begin(connection, stage.SCHEMA)
        try:
            _apply(prisma, pending)
        except MigrationError as exc:
            connection.rollback()
            stage.end(connection, stage.SCHEMA, "failed", str(exc))
            raise
    left = _proven(prisma)
    outcome.warnings = left.warnings
    outcome.objects = [{"act": "apply", "object": f"migration {one.name}"} for one in pending]
    return outcome


def resolve(prisma: Prisma, is_check: bool) -> Outcome:
    """After strategy ``builtin``: tell Prisma that the named migrations are there, once they are."""
    if not prisma.names:
        raise MigrationError(
            "resolve", "Prisma's migrations", "none is named", "Name those that make the organizations"
        )
    connection = prisma.builder.connection
    pending = prisma.pending()
    if not is_check:
        # Before the schema is made there is nothing to compare with; check mode comes by then.
        for migration in pending:
            _refuse_absent(prisma, migration)
    outcome = Outcome(
        changed=bool(pending),
        pending=pending,
        objects=[{"act": "resolve", "object": f"migration {one.name}"} for one in pending],
        delete_actions=_actions(prisma),
    )
    connection.rollback()
    if not is_check:
        for migration in pending:
            prisma.run("resolve", "--applied", migration.name)
        _refuse_elsewhere(prisma, pending)
    return outcome


def withdraw(prisma: Prisma, is_check: bool) -> Outcome:
    """Let Prisma forget what it applied for us, once the objects are gone, so that it can do it again."""
    connection, model = prisma.builder.connection, prisma.builder.model
    ours = {thing for thing, _table, _name in stage.made(connection)}
    present = folder.read(prisma.migrations)
    chosen = folder.chosen(present, prisma.names, prisma.migrations) if prisma.names else []
    done = record.applied(connection, model.schema)
    known = set(_deployed(prisma)) | {one.name for one in chosen}
    gone = [one for one in present if one.name in done & known]
    standing = [made.thing for one in gone for made in one.made if _stands(prisma, made)]
    connection.rollback()
    if standing and not is_check:
        raise MigrationError(
            "withdraw",
            f"migration {', '.join(one.name for one in gone)}",
            f"these stand: {', '.join(standing)}",
            "First run org_schema with state=withdrawn; drop by hand what the migration made beside the"
            " organizations",
            objects=sorted(set(standing) - ours),
        )
    if gone and not is_check:
        names = [one.name for one in gone]
        record.forget(connection, model.schema, names)
        for name in names:
            stage.note(connection, prisma.builder.run_id, f"{_LEDGER} withdrawn", name)
        connection.commit()
    objects = [{"act": "forget", "object": f"migration {one.name}"} for one in gone]
    return Outcome(changed=bool(gone), pending=gone, objects=objects)


def _deployed(prisma: Prisma) -> list[str]:
    return stage.noted(prisma.builder.connection, _LEDGER)


def _apply(prisma: Prisma, pending: t.Sequence[folder.Migration]) -> None:
    """A try that met a lock is taken out of Prisma's record, if nothing of it stands, and tried again."""
    builder = prisma.builder
    missing = [made for one in pending for made in one.made if not _stands(prisma, made)]
    _note(prisma, pending, missing)
    deadline = time.monotonic() + builder.patience.deadline_seconds
    tries = 0
    while True:
        tries += 1
        try:
            prisma.run("deploy")
            break
        except ClientError:
            torn = record.failed(builder.connection, builder.model.schema)
            builder.connection.rollback()
            if not torn or not all("lock timeout" in log for log in torn.values()):
                raise
            _take_out(prisma, list(torn), pending, missing)
            if time.monotonic() >= deadline:
                raise _given_up(prisma, next(iter(torn)), tries) from None
        time.sleep(random.uniform(0.5, 1.5) * min(2.0, 0.2 * tries))
    _refuse_elsewhere(prisma, pending)


def _note(prisma: Prisma, pending: t.Sequence[folder.Migration], missing: t.Sequence[Made]) -> None:
    """Written first: whatever stands afterwards and did not before is ours to take back."""
    builder = prisma.builder
    known = {thing for thing, _table, _name in stage.made(builder.connection)}
    for made in missing:
        if made.thing not in known:
            after = {"schema": builder.model.schema, "table": made.table, "name": made.name}
            stage.note(builder.connection, builder.run_id, "schema", made.thing, after=after)
    for migration in pending:
        stage.note(builder.connection, builder.run_id, _LEDGER, migration.name)
    builder.connection.commit()


def _take_out(
    prisma: Prisma, names: t.Sequence[str], pending: t.Sequence[folder.Migration], missing: t.Sequence[Made]
) -> None:
    half = [
        made.thing
        for one in pending
        if one.name in names
        for made in one.made
        if made in missing and _stands(prisma, made)
    ]
    prisma.builder.connection.rollback()
    if half:
        raise MigrationError(
            "go on with",
            f"migration {', '.join(names)}",
            f"it met a lock when {', '.join(half)} stood already",
            "Make what is missing of it by hand, then run prisma migrate resolve --applied with its name",
            kind="database",
        )
    for name in names:
        prisma.run("resolve", "--rolled-back", name)


def _given_up(prisma: Prisma, name: str, tries: int) -> MigrationError:
    patience = prisma.builder.patience
    return MigrationError(
        "apply",
        f"migration {name}",
        f"a lock it needs was not free for {patience.lock_timeout_ms} ms in {tries} tries over"
        f" {patience.deadline_seconds:g} s",
        "Wait for the sessions that hold it, then run the same command again: nothing of it was made",
        kind="database",
    )


def _proven(prisma: Prisma) -> Comparison:
    """The same reading as the built-in strategy's; what only rights and validation lack is made after it."""
    connection = prisma.builder.connection
    left = schema.compared(connection, prisma.builder.model, with_indexes=True)
    connection.rollback()
    schema.refuse(left)
    missing = [step.thing for step in left.steps if step.act == "make"]
    if missing:
        raise MigrationError(
            "expand",
            "the schema",
            f"all migrations are applied, and these are missing: {', '.join(missing)}",
            "Add them to the Prisma schema and make a migration of it, or take the built-in strategy",
            missing=missing,
        )
    return left


def _refuse_elsewhere(prisma: Prisma, pending: t.Sequence[folder.Migration]) -> None:
    done = record.applied(prisma.builder.connection, prisma.builder.model.schema)
    prisma.builder.connection.rollback()
    left = [one.name for one in pending if one.name not in done]
    if left:
        raise MigrationError(
            "apply",
            f"migration {', '.join(left)}",
            f"Prisma ended well, and {prisma.builder.target.label} does not know of it",
            "Prisma works on another database: name the variable that its schema reads the URL from",
        )


def _refuse_absent(prisma: Prisma, migration: folder.Migration) -> None:
    absent = [made.thing for made in migration.made if not _stands(prisma, made)]
    if absent or migration.others:
        what = [f"it makes {', '.join(absent)}, which is not there"] if absent else []
        what += [f"nobody can tell whether this is done: {one[:120]}" for one in migration.others]
        raise MigrationError(
            "resolve",
            f"migration {migration.name}",
            "; ".join(what),
            "Move that into a migration of its own, so that Prisma applies it. Nothing was changed",
            absent=absent,
        )


def _stands(prisma: Prisma, made: Made) -> bool:
    one = (made.thing, made.table, made.name)
    return schema.stands(prisma.builder.connection, prisma.builder.model, one)


def _actions(prisma: Prisma) -> list[str]:
    """Keys that the folder would let delete otherwise than they do, each with the line to change."""
    model, lines = prisma.builder.model, []
    named = folder.chosen(folder.read(prisma.migrations), prisma.names, prisma.migrations)
    for made in [made for one in named for made in one.made if made.on_delete]:
        table = catalog.read_tables(prisma.builder.connection, model.schema, [made.table]).get(made.table)
        for key in table.keys if table else ():
            action = _ACTIONS.get(key.on_delete, key.on_delete)
            if key.name == made.name and action != made.on_delete:
                words = action.title().replace(" ", "")
                lines.append(
                    f"{made.name} is ON DELETE {action}, {made.on_delete} in the migration: write"
                    f" onDelete: {words} in the model {made.table}"
                )
    return lines


def diff_of(state: str, text: str) -> dict[str, str]:
    """What waits, statement by statement; taken back it stands on the other side."""
    return {"before": text, "after": ""} if state == "withdrawn" else {"before": "", "after": text}
