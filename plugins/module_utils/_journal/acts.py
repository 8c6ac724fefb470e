# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be done to the journal: open, close and fail a phase.

Each act reads, decides and writes under the lease ``run``, whose epoch is
checked in the transaction that writes: who was overtaken cannot write.
"""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import (
    decide,
    hold,
    lease,
    run,
    states,
    tables,
    view,
)

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._journal.decide import (
        Asked,
        Decision,
    )
    from ansible_collections.emailai.migration.plugins.module_utils._journal.view import Pair, View


Answer = t.Dict[str, t.Any]


def open_phase(connection: Connection, caller: hold.Caller, asked: Asked) -> Answer:
    """Take the lease and open the phase; or skip it, or say who holds the lease."""
    known = run.read(connection)
    decision = decide.open_phase(known, asked)
    more = {"is_release": decide.is_release(known, asked.pair)}
    if not decision.proceed:
        return dict(answer(decision), **more, outcomes=known.outcomes(decision.run_id))
    held = hold.take(connection, caller, decision.run_id, asked.phase)
    if held is None:
        return dict(_attached(connection, caller, asked, decision), **more)
    try:
        # Whoever held the lease until now may have changed what we decided by.
        run.lock(connection)
        known = run.read(connection)
        decision = decide.open_phase(known, asked)
        if decision.writes:
            _write_opened(connection, caller, asked, decision, held)
    except MigrationError:
        connection.rollback()
        lease.release(connection, hold.LEASE, held.epoch)
        raise
    if not decision.proceed:
        lease.release(connection, hold.LEASE, held.epoch)
    outcomes = known.outcomes(decision.run_id)
    return dict(answer(decision), **more, epoch=held.epoch, changed=decision.writes, outcomes=outcomes)


def predict_open(connection: Connection, caller: hold.Caller, asked: Asked) -> Answer:
    """What opening would do. What a phase builds on does not stop it here: that would run first.

    Nothing runs before contract in the same command, so it is refused here as well.
    """
    known = run.read(connection)
    try:
        found = answer(decide.open_phase(known, asked))
    except MigrationError as exc:
        if asked.phase == "contract":
            raise
        latest = known.latest(asked.pair)
        number = latest.number if latest else 1
        run_id = latest.id if latest else states.run_name(asked.pair.before, asked.pair.after, number)
        state = latest.state if latest else "planned"
        found = answer(decide.Decision(run_id, number, state))
        found.update(would_refuse=str(exc), **_missing(exc))
    held = lease.read(connection, hold.LEASE) if tables.exist(connection) else None
    if held is not None and held.is_live and not caller.holds(held):
        found["holder"] = hold.describe(held)
    found["is_release"] = decide.is_release(known, asked.pair)
    return dict(found, changed=found["proceed"], outcomes=known.outcomes(found["run_id"]))


def close_phase(
    connection: Connection,
    caller: hold.Caller,
    pair: Pair,
    name: str,
    outcome: dict[str, t.Any],
    is_last: bool,
) -> Answer:
    """The phase is completed; the lease goes on for the next one, or ends with the last."""
    held = hold.held_by(connection, caller)
    run.lock(connection)
    known = run.read(connection)
    found = _run(known, pair, f"close phase {name}")
    row = known.phase(found.id, name)
    state = decide.close_phase(found, row, name, outcome)
    ends = is_last or name not in states.FORWARD or bool(states.PHASES[name].ends)
    with connection.cursor() as cursor:
        lease.extend(cursor, hold.LEASE, held.epoch, states.BUDGET_SECONDS)
        if state is not None:
            run.end_phase(cursor, found.id, name, "completed", outcome)
            run.set_state(cursor, found.id, state, states.is_finished(state))
            run.note(cursor, found.id, name, "completed", f"{name} completed", outcome)
    connection.commit()
    if ends:
        lease.release(connection, hold.LEASE, held.epoch)
    return _standing(connection, pair, name, changed=state is not None)


def fail_phase(connection: Connection, caller: hold.Caller, pair: Pair, name: str, error: str) -> Answer:
    """The phase failed: noted with its error, and the lease is free at once for the next attempt."""
    held = hold.held_by(connection, caller)
    run.lock(connection)
    known = run.read(connection)
    found = _run(known, pair, f"record the failure of phase {name}")
    row = known.phase(found.id, name)
    state = decide.fail_phase(found, row)
    is_known = row is not None and row.state == "failed" and row.error == error
    with connection.cursor() as cursor:
        lease.extend(cursor, hold.LEASE, held.epoch)
        if state is not None and not is_known:
            run.end_phase(cursor, found.id, name, "failed", error=error)
            run.set_state(cursor, found.id, state, states.is_finished(state))
        if not is_known:
            run.note(cursor, found.id, name, "failed", error)
    connection.commit()
    lease.release(connection, hold.LEASE, held.epoch)
    return _standing(connection, pair, name, changed=not is_known)


def _attached(connection: Connection, caller: hold.Caller, asked: Asked, decision: Decision) -> Answer:
    held = lease.read(connection, hold.LEASE)
    if held is None:
        raise hold.fenced(asked.phase, held)
    if held.is_live and held.run_id.rpartition("#")[0] != decision.run_id.rpartition("#")[0]:
        raise MigrationError(
            "open",
            f"{asked.phase} of {decision.run_id}",
            f"{held.holder()} is at work in this database",
            "Wait until that run has ended, or take it back with playbooks/roll_back.yml",
            holder=held.holder(),
        )
    return dict(answer(decision), proceed=False, attached=True, holder=hold.describe(held))


def _write_opened(
    connection: Connection, caller: hold.Caller, asked: Asked, decision: Decision, held: lease.Lease
) -> None:
    seconds = caller.budget_seconds or states.PHASES[asked.phase].budget_seconds
    is_resumed = decision.phase_state_before in ("in_progress", "failed")
    with connection.cursor() as cursor:
        lease.extend(cursor, hold.LEASE, held.epoch, seconds)
        if decision.creates:
            run.create(cursor, new_row(caller, asked.pair, decision))
        else:
            state = decision.run_state
            run.set_state(cursor, decision.run_id, state, states.is_finished(state), asked.pair.map_digest)
        run.open_phase(cursor, decision.run_id, asked.phase)
        if asked.phase in states.WAYS_BACK:
            run.stop_others(cursor, decision.run_id, asked.phase)
        run.note(
            cursor,
            decision.run_id,
            asked.phase,
            "resumed" if is_resumed else "opened",
            f"{asked.phase} {'resumed' if is_resumed else 'opened'} by {caller.owner} on {caller.host}"
            + (f", confirmed by {asked.confirmed_by}" if asked.confirmed_by else ""),
            {"epoch": held.epoch, "without": list(asked.without), "scope": asked.scope},
        )
    connection.commit()


def new_row(caller: hold.Caller, pair: Pair, decision: Decision) -> view.Run:
    import datetime

    return view.Run(
        decision.run_id, decision.number, pair.before, pair.after, pair.map_digest, decision.run_state,
        caller.owner, caller.host, datetime.datetime.now(datetime.timezone.utc),
    )  # fmt: skip


def _run(known: View, pair: Pair, act: str) -> view.Run:
    found = known.latest(pair)
    if found is None:
        verb, thing = act.split(" ", 1)
        raise MigrationError(
            verb, thing, f"no run of {pair.before}..{pair.after} was ever begun in this database"
        )
    return found


def answer(decision: Decision) -> Answer:
    return {
        "changed": False,
        "run_id": decision.run_id,
        "number": decision.number,
        "run_state": decision.run_state,
        "phase_state_before": decision.phase_state_before,
        "created": decision.creates,
        "proceed": decision.proceed,
        "skip": not decision.proceed,
        "attached": False,
        "text": decision.text,
    }


def _missing(exc: MigrationError) -> dict[str, t.Any]:
    return {"missing": exc.facts["missing"]} if "missing" in exc.facts else {}


def _standing(connection: Connection, pair: Pair, name: str, changed: bool) -> Answer:
    """Read again: what the journal says now."""
    known = run.read(connection)
    connection.rollback()
    found = _run(known, pair, f"read phase {name}")
    row = known.phase(found.id, name)
    return {
        "changed": changed,
        "run_id": found.id,
        "number": found.number,
        "run_state": found.state,
        "phase_state": row.state if row else "",
        "outcome": row.outcome if row else {},
    }
