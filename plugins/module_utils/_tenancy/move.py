# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data step in order: triggers, one pass, what was skipped, proof of the end, indexes, counts."""

from __future__ import annotations

import contextlib
import time
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    driver_error,
    row,
    rows,
    run,
    value,
    values,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    abandoned,
    batches,
    checks,
    counts,
    estimate,
    giving,
    identity,
    integrity,
    mailboxes,
    members,
    pages,
    premiums,
    progress,
    report,
    sample,
    schema,
    sql,
    stage,
    sync,
    teams,
    wanted,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.engine import Engine, Heart, Work
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.passes import passes

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.judge import Verdict
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

# Of the checks, those whose lines end the data step.
_REMOVED_AT_ONCE: t.Final = 20
_Seen = t.TypeVar("_Seen")
FINAL: t.Final = ("users", "accounts", "premiums", "orphans")


class SweptWork(batches.Task):
    """The pass over the users, with a longer suffix for a user whose slug somebody took by hand."""

    def apply(self, connection: Connection, page: pages.Page, suffix: int = identity.SUFFIX) -> int:
        changed = super().apply(connection, page, suffix)
        if page.keys:
            taken = taken_slugs(connection, self.model, page.keys)
            if taken:
                changed += super().apply(connection, pages.listed(taken), identity.LONG_SUFFIX)
        return changed


def swept(task: Work) -> Work:
    """The pass as the sweep does it."""
    if isinstance(task, batches.Task) and task.link is None:
        return SweptWork(task.model, None, task.grace_seconds)
    return task


def taken_slugs(connection: Connection, model: Model, keys: t.Sequence[str]) -> list[str]:
    people = sql.people(model, compose("u.{id} = ANY({keys})", id=model.users.id, keys=values(keys)))
    found = rows(
        connection,
        compose(
            "SELECT p.id::text FROM ({placed}) p JOIN {organizations} o ON o.{slug} = {wanted} AND"
            " o.{id} <> p.home",
            placed=teams.placed(model, people),
            organizations=model.at(model.organizations.table),
            slug=model.organizations.slug,
            wanted=compose(identity.slug_sql("p.founder", "p.called", "p.reached")),
            id=model.organizations.id,
        ),
    )
    return [key for (key,) in found]


def move(engine: Engine) -> dict[str, t.Any]:
    begun = time.monotonic()
    shared = _list_shared(engine)
    before = counts.read(engine.connection, engine.model, engine.settings.grace_seconds)
    engine.connection.rollback()
    with session(engine.target, "sample", autocommit=True) as reader:
        settings = engine.settings
        read = sample.read(reader, engine.model, before, settings.grace_seconds, settings.batch_rows)
    stage.begin(engine.connection, stage.DATA)
    try:
        with Heart(engine.target, engine.epoch):
            engine.display.enter("installing the sync triggers")
            installed = _install(engine)
            positions = _passes(engine, before)
            found = sweep(engine)
            with _beside(engine, "look", abandoned.find) as keys:
                indexes = _indexes(engine)
                # After the indexes: without them the server reads whole tables for each that is removed,
                # and holds its row meanwhile.
                _clear(engine, found, keys.result())
        predicted = report.expected(before, engine.settings.cost)
        done = _conclude(engine, begun, installed, positions, found, indexes)
        done["cost"] = _costs(positions, read)
        return dict(done, **shared, **({} if predicted is None else {"predicted": round(predicted, 3)}))
    except MigrationError as exc:
        _note_failure(engine, str(exc), exc.facts.get("kind"))
        raise


def _list_shared(engine: Engine) -> dict[str, t.Any]:
    """Before anything is written: which premiums several users share, and what becomes of them."""
    if engine.model.sharing is None:
        return {}
    found = premiums.shared(engine.connection, engine.model)
    engine.connection.rollback()
    for line in premiums.lines(engine.model, found, premiums.LISTED):
        engine.display.log(f"shared premium {line}")
    return {"shared_premiums": found}


def _install(engine: Engine) -> list[str]:
    model, patience = engine.model, engine.settings.patience
    with session(engine.maker, "triggers") as owner:
        _let_in(owner, engine)
        return sync.install(owner, engine.maker, model, patience, lambda: engine.fence(owner))


def _let_in(owner: Connection, engine: Engine) -> None:
    """Let the role that writes fill the new tables: on the application's own it may only update."""
    model, role = engine.model, engine.target.user
    tables = [
        table
        for table in (model.organizations.table, model.members.table)
        if not all(
            row(
                owner,
                compose(
                    "SELECT has_table_privilege({role}, c.oid, {right}) FROM pg_class c JOIN pg_namespace n"
                    " ON n.oid = c.relnamespace WHERE n.nspname = {schema} AND c.relname = {table}",
                    role=value(role),
                    right=value(right),
                    schema=value(model.schema),
                    table=value(table),
                ),
            )[0]
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE")
        )
    ]
    for table in tables:
        run(
            owner,
            compose(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}", table=model.at(table), role=role
            ),
        )
    owner.commit()


def _note_failure(engine: Engine, sentence: str, kind: t.Any) -> None:
    """An abort or an open horizon is no failure: the row stays open and the next call goes on."""
    engine.display.log(sentence)
    if kind in ("aborted", "inconclusive"):
        return
    # Where the session is lost the row stays open too.
    with contextlib.suppress(driver_error()):
        engine.connection.rollback()
        stage.end(engine.connection, stage.DATA, "failed", sentence)


def _passes(engine: Engine, before: counts.Counts) -> dict[str, progress.Position]:
    connection, model, settings = engine.connection, engine.model, engine.settings
    totals = {"users": before.users.total, **{name: link.total for name, link in before.links.items()}}
    tasks = passes(model, settings.grace_seconds)
    done = {task.name: _done_before(engine, task.name) for task in tasks}
    connection.rollback()
    engine.display.begin(totals, done)
    positions = {}
    for task in tasks:
        engine.display.enter(f"moving {task.name}")
        positions[task.name] = engine.walk(task, totals[task.name])
        if task.name == "users":
            # The passes that follow look memberships up: fresh tables have no statistics.
            with session(engine.maker, "statistics") as owner:
                analyze(owner, model, [model.organizations.table, model.members.table])
    return positions


def _done_before(engine: Engine, name: str) -> int:
    run_id = engine.settings.run_id
    parts = progress.parts(engine.connection, run_id, name)
    return sum(progress.load(engine.connection, run_id, part).done for part in parts)


def analyze(owner: Connection, model: Model, tables: t.Sequence[str]) -> None:
    """As the owner: for anybody else the server skips the table with a mere warning."""
    for table in tables:
        run(owner, compose("ANALYZE {table}", table=model.at(table)))
        owner.commit()


def sweep(engine: Engine) -> dict[str, int]:
    """What was skipped; then, once no older transaction is open, whatever those brought."""
    engine.display.enter("sweeping")
    first = _settle(engine)
    mark = engine.wait_for_horizon()
    with _beside(engine, "look", _wrong_links) as wrong:
        second = _settle(engine)
        strange = wrong.result()
    left = {name: number for name, (_changed, number) in second.items() if number}
    if left:
        rest = ", ".join(f"{number} of {name}" for name, number in left.items())
        raise MigrationError(
            "finish",
            "the data migration",
            f"inconclusive: somebody held these rows through every round: {rest}",
            "Run the same command again: only the sweep is repeated",
            kind="inconclusive",
            left=left,
        )
    found = {name: first[name][0] + second[name][0] for name in first}
    found["strangers' links"] = _correct_links(engine, strange)
    _save_horizon(engine, mark)
    return found


def _clear(engine: Engine, found: dict[str, int], keys: t.Sequence[str]) -> None:
    """What the sweep leaves behind, ``keys`` of organizations first; its figures are added to the sweep's."""
    found["organizations removed"] = _remove_abandoned(engine, keys)
    if engine.model.has_member_accounts and found["strangers' links"]:
        # Who left a stranger's organization may have none yet.
        for task in passes(engine.model, engine.settings.grace_seconds)[:2]:
            found[task.name] += engine.settle(swept(task))[0]
    if engine.model.sharing:
        # Links that were corrected and organizations that went may have set a premium free.
        freed = giving.Giving(engine.model, engine.settings.grace_seconds)
        found[premiums.NAME] += engine.settle(freed)[0]


def only_sweep(engine: Engine) -> dict[str, t.Any]:
    begun = time.monotonic()
    with Heart(engine.target, engine.epoch):
        found = sweep(engine)
        keys = abandoned.find(engine.connection, engine.model)
        engine.connection.rollback()
        _clear(engine, found, keys)
    after, verdicts = _look_back(engine)
    text = report.summary(after, verdicts, time.monotonic() - begun)
    engine.display.log(text)
    return {
        "changed": any(found.values()),
        "summary": text,
        "counts": after.as_dict(),
        "swept": found,
        "seconds": round(time.monotonic() - begun, 3),
    }


def _settle(engine: Engine) -> dict[str, tuple[int, int]]:
    model, grace = engine.model, engine.settings.grace_seconds
    return {task.name: engine.settle(swept(task)) for task in passes(model, grace)}


@contextlib.contextmanager
def _beside(
    engine: Engine, purpose: str, read: t.Callable[[Connection, Model], _Seen]
) -> t.Iterator[Future[_Seen]]:
    """``read`` in a session of its own while the caller works: what reads a whole table takes a processor.

    The session ends with it, or an index that the caller builds would wait for its snapshot.
    """

    def look() -> _Seen:
        with session(engine.target, purpose) as reader:
            return read(reader, engine.model)

    with ThreadPoolExecutor(1) as other:
        yield other.submit(look)


def _wrong_links(connection: Connection, model: Model) -> dict[str, list[str]]:
    return {link.name: members.wrongly_linked(connection, model, link) for link in model.owned}


def _correct_links(engine: Engine, wrong: t.Mapping[str, list[str]]) -> int:
    """Between a way back and this attempt no trigger was on: the old release gave rows to other users.

    It knows nothing of the link, which stayed behind and shows the row to strangers. The ledger
    keeps where it pointed to.
    """
    connection, model = engine.connection, engine.model
    corrected = 0
    for link in model.owned:
        keys = wrong[link.name]
        for at in range(0, len(keys), 100):
            for key, before, after in members.relink(connection, model, link, keys[at : at + 100]):
                stage.note(
                    connection, engine.settings.run_id, "relinked", f"{link.table} {key}", before, after
                )
                corrected += 1
            engine.fenced_commit()
    return corrected + _take_strangers_premiums(engine)


def _take_strangers_premiums(engine: Engine) -> int:
    """From organizations that we made; in others the application may have its reasons, and verify asks."""
    connection, model = engine.connection, engine.model
    if model.sharing is None:
        return 0
    keys = premiums.strangers(connection, model, only_ours=True)
    connection.rollback()
    taken = premiums.free(connection, model, keys)
    for key, premium in taken:
        thing = f"{model.organizations.table} {key}"
        stage.note(connection, engine.settings.run_id, "relinked", thing, premium)
    engine.fenced_commit()
    return len(taken)


def _remove_abandoned(engine: Engine, keys: t.Sequence[str]) -> int:
    connection = engine.connection
    removed = 0
    for at in range(0, len(keys), _REMOVED_AT_ONCE):
        some = keys[at : at + _REMOVED_AT_ONCE]
        removed += abandoned.remove(connection, engine.model, engine.settings.run_id, some)
        engine.fenced_commit()
    return removed


def _save_horizon(engine: Engine, mark: int) -> None:
    progress.save_horizon(engine.connection, engine.settings.run_id, mark, engine.epoch)
    engine.fenced_commit()


def _indexes(engine: Engine) -> list[str]:
    """Statistics first, then the indexes on the link columns, last and concurrently."""
    engine.display.enter("building indexes")
    connection, model = engine.connection, engine.model
    plan = schema.compared(connection, model, with_indexes=True)
    connection.rollback()
    done = []
    with session(engine.maker, "indexes") as owner:
        builder = schema.Builder(owner, engine.maker, model, engine.settings.run_id, engine.settings.patience)
        for step in plan.steps:
            if isinstance(step.wanted, wanted.NewIndex):
                engine.fenced_commit()
                schema.build_index(builder, step.wanted, step.act == "rebuild")
                done.append(step.wanted.name)
        # Those who were filled by the pass over the users have theirs.
        analyze(owner, model, [link.table for link in model.links])
    return done


def final_verdicts(connection: Connection, model: Model, grace_seconds: float) -> list[Verdict]:
    found = [
        integrity.data_verdict(connection, check, {})
        for check in checks.of_data(model, grace_seconds)
        if check.name in FINAL
    ]
    connection.rollback()
    return found


def _look_back(engine: Engine) -> tuple[counts.Counts, list[Verdict]]:
    """The counts and the checks, each in a session of its own: both read whole tables."""
    model, grace = engine.model, engine.settings.grace_seconds
    with _beside(engine, "counts", lambda reader, model: counts.read(reader, model, grace)) as counted:
        verdicts = final_verdicts(engine.connection, model, grace)
        return counted.result(), verdicts


def _conclude(
    engine: Engine,
    begun: float,
    installed: list[str],
    positions: t.Mapping[str, progress.Position],
    found: dict[str, int],
    indexes: list[str],
) -> dict[str, t.Any]:
    connection, settings = engine.connection, engine.settings
    after, verdicts = _look_back(engine)
    seconds = time.monotonic() - begun
    text = report.summary(after, verdicts, seconds)
    stage.end(connection, stage.DATA, "completed")
    progress.forget(connection, settings.run_id, list(positions))
    engine.fenced_commit()
    engine.display.log(text)
    created = sum(position.changed for position in positions.values()) + sum(found.values())
    return {
        "changed": bool(created or installed or indexes),
        "summary": text,
        "counts": after.as_dict(),
        "created": {name: position.changed for name, position in positions.items()},
        "swept": found,
        "triggers": installed,
        "indexes": indexes,
        "quarantined": engine.quarantined,
        "seconds": round(seconds, 3),
    }


def _costs(
    positions: t.Mapping[str, progress.Position], read: t.Mapping[str, estimate.Sample]
) -> dict[str, float]:
    """As this run measured them, for the prediction of another."""
    found: dict[str, float] = {}
    for name, one in positions.items():
        found.update(estimate.as_costs(name, read.get(name), one.done, one.changed, one.seconds))
    return found


def is_settled(connection: Connection, model: Model, grace_seconds: float) -> bool:
    """Whether nothing is left to do, read from the data. Reads only."""
    plan = schema.compared(connection, model, with_indexes=True)
    schema.refuse(plan, "move data into")
    if [step for step in plan.steps if not isinstance(step.wanted, wanted.NewIndex)]:
        raise MigrationError(
            "move",
            "the data",
            "the schema is not expanded: " + ", ".join(step.thing for step in plan.steps),
            "Run org_schema with state=expanded first",
        )
    if plan.steps or stage.state_of(connection, stage.DATA) != "completed":
        return False
    if any(now != "on" for now in sync.state(connection, model).values()):
        return False
    return is_swept(connection, model, grace_seconds)


def is_swept(connection: Connection, model: Model, grace_seconds: float) -> bool:
    tasks = passes(model, grace_seconds)
    if any(task.remaining(connection, 1) for task in tasks) or abandoned.find(connection, model, 1):
        return False
    # A trigger leaves a membership that somebody holds where it is.
    return not (model.has_member_accounts and mailboxes.strangers(connection, model))
