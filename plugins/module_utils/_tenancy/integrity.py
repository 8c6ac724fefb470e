# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks all checks: of the data, of the catalog, and whether the moment allows an answer. Reads only."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres import catalog
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    cause_of,
    compose,
    driver_error,
    row,
    rows,
    run,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import (
    before,
    checks,
    counts,
    schema,
    sync,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.judge import Verdict, judge, verdict

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
    from ansible_collections.emailai.migration.plugins.module_utils._tenancy.model import Model

LAG_SECONDS: t.Final = 10
# Users come and go while the application runs; more than this share has not gone by itself.
_VANISHED_SHARE: t.Final = 0.05
Known = t.Mapping[str, t.Sequence[str]]

# What was received and replayed are the same, too, where the connection is lost: then nobody knows.
_STANDBY: t.Final = """
SELECT pg_is_in_recovery(),
       EXISTS (SELECT FROM pg_stat_wal_receiver WHERE coalesce(status, 'streaming') = 'streaming'),
       CASE WHEN pg_last_wal_receive_lsn() IS DISTINCT FROM pg_last_wal_replay_lsn()
            THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) ELSE 0 END
"""


@dataclass(frozen=True)
class Question:
    """``triggers``: on while the sync is meant to run, off after it was taken down, any while it is."""

    grace_seconds: float = 60
    triggers: str = "on"
    plan: t.Mapping[str, t.Any] = field(default_factory=dict)
    known: Known = field(default_factory=dict)
    acknowledged: t.Mapping[str, t.Any] = field(default_factory=dict)


def answer(target: Target, model: Model, question: Question, is_check: bool = False) -> dict[str, t.Any]:
    with session(target, "integrity", autocommit=True) as connection:
        run(connection, compose("SET default_transaction_read_only = on"))
        if not schema.exists(connection, model):
            if is_check:
                return _nothing_yet()
            raise MigrationError(
                "verify",
                "the organizations",
                "there are no tables for them",
                "Run expand.yml and move.yml first",
            )
        known = {name: [*ids] for name, ids in _recorded(connection).items()}
        for name, ids in question.known.items():
            known.setdefault(name, []).extend(ids)
        found = verdicts(connection, model, question, known)
    judgement = judge(found, question.acknowledged)
    return {
        "result": judgement.result,
        "may_go_on": judgement.may_go_on,
        "checks": [one.as_dict() for one in judgement.verdicts],
        "unacknowledged": list(judgement.unacknowledged),
        "advice": judgement.advice(),
        "summary": judgement.summary(),
    }


def _nothing_yet() -> dict[str, t.Any]:
    """In a run of check mode the tables were not made before."""
    return {
        "result": "inconclusive",
        "may_go_on": False,
        "checks": [],
        "unacknowledged": [],
        "advice": [],
        "summary": "There are no organizations yet; every check will be asked after they were made.",
    }


def _recorded(connection: Connection) -> before.Known:
    try:
        return before.recorded(connection)
    except driver_error():
        # Without the list old faults count as new ones: stricter, never laxer.
        return {}


def verdicts(connection: Connection, model: Model, asked: Question, known: Known) -> list[Verdict]:
    questions: list[t.Callable[[], Verdict]] = [
        lambda check=check: data_verdict(connection, check, known)  # type: ignore[misc]
        for check in checks.of_data(model, asked.grace_seconds)
    ]
    questions += [
        lambda: _indexes(connection, model, known),
        lambda: _keys(connection, model, known),
        lambda: _cascades(connection, model),
        lambda: _triggers(connection, model, asked.triggers),
        lambda: _counts(connection, model, asked),
    ]
    found = [_answered(connection, question) for question in questions]
    behind = _behind(connection)
    if behind:
        # What was wrong some time ago may be whole by now, and the other way round.
        found = [replace(one, result="inconclusive") if one.result == "failed" else one for one in found]
        return [*found, _moment(behind, "ask the primary, or wait")]
    return [*found, _answered(connection, lambda: _horizon(connection))]


def data_verdict(connection: Connection, check: checks.Check, known: Known) -> Verdict:
    try:
        answer = checks.ask(connection, check)
    except driver_error() as exc:
        connection.rollback()
        return Verdict(check.name, check.title, "inconclusive", cause=cause_of(exc), repair=check.repair)
    return verdict(check.name, check.title, answer, check.cause, check.repair, known.get(check.name, ()))


def _answered(connection: Connection, question: t.Callable[[], Verdict]) -> Verdict:
    try:
        return question()
    except driver_error() as exc:
        # What cannot be read is neither good nor bad.
        connection.rollback()
        return Verdict("catalog", "The catalog can be read", "inconclusive", cause=cause_of(exc))


def _listed(
    name: str, title: str, kind: str, ids: list[str], cause: str, repair: str, known: Known
) -> Verdict:
    answer = {kind: (len(ids), ids[: checks.IDS_SHOWN])} if ids else {}
    return verdict(name, title, answer, cause, repair, known.get(name, ()))


def invalid_indexes(connection: Connection, model: Model) -> list[str]:
    tables = catalog.read_tables(connection, model.schema, list(model.tables))
    return sorted(index.name for table in tables.values() for index in table.indexes if not index.is_valid)


def invalid_keys(connection: Connection, model: Model) -> list[str]:
    tables = catalog.read_tables(connection, model.schema, list(model.tables))
    return sorted(
        f"{name} {key.name}" for name, table in tables.items() for key in table.keys if not key.is_valid
    )


def _indexes(connection: Connection, model: Model, known: Known) -> Verdict:
    return _listed(
        "invalid_indexes",
        "All indexes valid",
        "failed",
        invalid_indexes(connection, model),
        "indexes that cost writes and serve no query",
        "repair.yml --tags slow_queries rebuilds them",
        known,
    )


def _keys(connection: Connection, model: Model, known: Known) -> Verdict:
    return _listed(
        "invalid_keys",
        "All foreign keys validated",
        "failed",
        invalid_keys(connection, model),
        "foreign keys that were never validated",
        "ALTER TABLE … VALIDATE CONSTRAINT, after the rows that break them are corrected",
        known,
    )


def _cascades(connection: Connection, model: Model) -> Verdict:
    keys = catalog.keys_to(connection, model.schema, model.organizations.table)
    ids = sorted(f"{key.table} {key.name}" for key in keys if key.on_delete == "c")
    if model.sharing:
        # The other way round: an organization that goes with its premium.
        ids += sorted(
            f"{key.table} {key.name}"
            for key in catalog.keys_to(connection, model.schema, model.premium.table)
            if key.on_delete == "c" and (key.schema, key.table) == model.at(model.organizations.table)
        )
    return _listed(
        "cascading_keys",
        "Deleting an organization deletes nothing else",
        "finding",
        ids,
        "keys with ON DELETE CASCADE: deleting an organization would delete rows of these tables",
        "write onDelete: Restrict at these relations of the Prisma schema",
        {},
    )


def _triggers(connection: Connection, model: Model, wanted: str) -> Verdict:
    state = sync.state(connection, model)
    if wanted == "any":
        return _listed("triggers", "Sync triggers in any state", "failed", [], "", "", {})
    if wanted == "off":
        ids = sorted(f"{table} {name}" for (table, name), now in state.items() if now != "absent")
        return _listed(
            "triggers", "No sync trigger left", "failed", ids, "sync triggers still there", "unlink again", {}
        )
    ids = sorted(f"{table} {name} {now}" for (table, name), now in state.items() if now != "on")
    return _listed(
        "triggers",
        "Sync triggers in place",
        "failed",
        ids,
        "sync triggers not in force: what the old release writes gets no organization",
        "run move.yml, it puts them back",
        {},
    )


def _counts(connection: Connection, model: Model, asked: Question) -> Verdict:
    now = counts.read(connection, model, asked.grace_seconds).as_dict()
    gone = []
    for name, planned in asked.plan.items():
        total = int(planned["total"])
        missing = total - now.get(name, {"total": 0})["total"]
        if missing > total * _VANISHED_SHARE:
            gone.append(f"{missing} of {total} {name}")
    return _listed(
        "counts",
        "As many rows as planned",
        "finding",
        gone,
        "kinds of rows became fewer than the plan counted",
        "compare with the backup before going on",
        {},
    )


def _behind(connection: Connection) -> str:
    """Why a standby cannot tell what is true now; empty on a primary and where it is close behind."""
    try:
        is_standby, receives, lag = row(connection, compose(_STANDBY))
    except driver_error() as exc:
        connection.rollback()
        return f"how far this standby is behind cannot be read: {cause_of(exc)}"
    if not is_standby:
        return ""
    if not receives:
        return "this standby receives nothing from its primary: it is an unknown time behind"
    if lag is None or lag > LAG_SECONDS:
        return f"this standby is {'an unknown time' if lag is None else f'{lag:.0f} s'} behind"
    return ""


def _moment(cause: str = "", repair: str = "") -> Verdict:
    title = "The answer holds for this moment"
    return Verdict("moment", title, "inconclusive" if cause else "ok", cause=cause, repair=repair)


def _horizon(connection: Connection) -> Verdict:
    """A write that was open when the last sweep ended makes every answer of now doubtful."""
    if row(connection, compose("SELECT to_regclass('emailai_migration.progress') IS NULL"))[0]:
        return _moment()
    found = rows(
        connection,
        compose(
            "SELECT 1 FROM emailai_migration.progress WHERE database = emailai_migration.here() AND"
            " task = 'move'"
            " AND (position->>'horizon')::bigint > pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        ),
    )
    if found:
        return _moment(
            "a transaction older than the last batch is still open", "wait for it, then sweep again"
        )
    return _moment()
