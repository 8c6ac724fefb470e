# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator does beside the phases: name a run ahead of them, pause, resume, abort, set the pace."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import (
    acts,
    decide,
    hold,
    run,
    states,
    tables,
    view,
)
from ansible_collections.emailai.migration.plugins.module_utils._journal import control as controls

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._journal.view import Pair


def plan_run(connection: Connection, caller: hold.Caller, pair: Pair, check_mode: bool) -> acts.Answer:
    """Name the next run before its first phase, for what happens days ahead of it."""
    decision = decide.plan_run(run.read(connection), pair)
    if decision.creates and not check_mode:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('emailai_migration.run'))")
            decision = decide.plan_run(run.read(connection), pair)
            if decision.creates:
                run.create(cursor, acts.new_row(caller, pair, decision))
                run.note(cursor, decision.run_id, "", "planned", f"planned by {caller.owner}")
        connection.commit()
    return dict(acts.answer(decision), changed=decision.creates)


def control(
    connection: Connection,
    caller: hold.Caller,
    pair: Pair,
    wish: controls.Control,
    confirmed_by: str,
    check_mode: bool,
) -> acts.Answer:
    """Pause, resume or abort, and how fast; the run's state follows. It speaks to the holder: no lease."""
    if wish.wanted == "abort" and not confirmed_by:
        raise MigrationError(
            "abort",
            f"the run of {pair.before}..{pair.after}",
            "nobody confirmed it by name",
            'Give the name of whoever decided it: -e \'{"migration_confirmations": {"abort": "..."}}\'',
            kind="person",
        )
    if not check_mode:
        run.lock(connection)
    known = run.read(connection)
    before = controls.read(connection) if tables.exist(connection) else controls.Control()
    # A value not given stays what it is.
    after = replace(
        wish,
        batch_rows=before.batch_rows if wish.batch_rows is None else wish.batch_rows,
        pace=before.pace if wish.pace is None else wish.pace,
    )
    found = known.latest(pair)
    state = decide.control(known, found, wish.wanted)
    is_same = replace(before, changed_by="") == replace(after, changed_by="")
    changed = not is_same or (found is not None and state not in (None, found.state))
    if changed and not check_mode:
        _write_control(connection, found, state, after, confirmed_by)
    return {
        "changed": changed,
        "run_id": found.id if found else "",
        "run_state": state or (found.state if found else "planned"),
        "diff": {"before": control_fields(before), "after": control_fields(after)},
    }


def _write_control(
    connection: Connection,
    found: view.Run | None,
    state: str | None,
    wish: controls.Control,
    confirmed_by: str,
) -> None:
    if found is not None:
        with connection.cursor() as cursor:
            if state is not None:
                run.set_state(cursor, found.id, state, states.is_finished(state))
            name = confirmed_by or wish.changed_by
            run.note(cursor, found.id, "", "control", f"{name} wants: {wish.wanted}", control_fields(wish))
    controls.write(connection, wish)


def control_fields(wish: controls.Control) -> dict[str, t.Any]:
    return {"wanted": wish.wanted, "batch_rows": wish.batch_rows, "pace": wish.pace}
