# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a module's options to one act on the journal."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import (
    acts,
    carry,
    control,
    decide,
    failure,
    hold,
    lease,
    record,
    run,
    states,
    steer,
    tables,
    view,
)
from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    cause_of,
    driver_error,
)

if t.TYPE_CHECKING:
    import contextlib

    from psycopg2.extensions import connection as Connection

Options = t.Mapping[str, t.Any]

_MAKES_TABLES: t.Final = ("present", "planned", "opened", "controlled", "carried")


Reach = t.Callable[[str], "contextlib.AbstractContextManager[Connection]"]


def perform(connection: Connection, options: Options, check_mode: bool, reach: Reach) -> acts.Answer:
    """Do what ``state`` says, or in check mode say what it would do. ``reach`` opens another database."""
    try:
        return _perform(connection, options, check_mode, reach)
    except driver_error() as exc:
        raise MigrationError("keep", "the journal", cause_of(exc), kind="database") from None


def _perform(connection: Connection, options: Options, check_mode: bool, reach: Reach) -> acts.Answer:
    pair = view.Pair(options["release_before"], options["release_after"], options["map_digest"])
    caller = hold.Caller(
        options["owner"] or "somebody",
        options["controller"],
        # What a playbook does not know it hands on as 0.
        options["epoch"] or None,
        options["dead_epoch"],
        options["seize"],
        options["budget_seconds"] or None,
    )
    made = False
    if not check_mode and options["state"] in _MAKES_TABLES:
        made = tables.ensure(connection, options["readers"], options["writers"])
    if options["state"] == "carried":
        with reach(options["carried_from"]) as source:
            answer = carry.carry(source, connection, caller, check_mode)
    else:
        answer = _ACTS[options["state"]](connection, caller, pair, options, check_mode)
    connection.rollback()
    return dict(answer, changed=answer["changed"] or made, **_event(options, answer))


def _event(options: Options, answer: acts.Answer) -> acts.Answer:
    """What the timeline on screen hears of a phase."""
    happened: str | None = options["state"]
    if happened not in ("opened", "closed", "failed"):
        return {}
    if happened == "opened" and not answer["proceed"]:
        done = "left_out" if options["phase"] in options["without"] else "skipped"
        happened = None if answer["attached"] else done
    run_id = answer.get("run_id", "")
    return (
        {"phase_event": {"phase": options["phase"], "event": happened, "run_id": run_id}} if happened else {}
    )


def _present(
    connection: Connection, caller: hold.Caller, pair: view.Pair, options: Options, check_mode: bool
) -> acts.Answer:
    exists = tables.exist(connection)
    if caller.seize and exists and not check_mode:
        lease.fence_others(connection, "")
    if options["wanted"] and exists:
        # A new run begins: what an operator wanted of the one before is over in this database too.
        return _control(connection, caller, pair, options, check_mode)
    return {"changed": not exists}


def _plan(
    connection: Connection, caller: hold.Caller, pair: view.Pair, options: Options, check_mode: bool
) -> acts.Answer:
    return steer.plan_run(connection, caller, pair, check_mode)


def _open(
    connection: Connection, caller: hold.Caller, pair: view.Pair, options: Options, check_mode: bool
) -> acts.Answer:
    asked = decide.Asked(
        options["phase"],
        pair,
        tuple(options["without"]),
        None if options["requires"] is None else tuple(options["requires"]),
        options["again"],
        options["scope"],
        options["retention_days"],
        options["confirmed_by"],
    )
    if check_mode:
        return acts.predict_open(connection, caller, asked)
    return acts.open_phase(connection, caller, asked)


def _close(
    connection: Connection, caller: hold.Caller, pair: view.Pair, options: Options, check_mode: bool
) -> acts.Answer:
    outcome = dict(options["outcome"], **({"scope": options["scope"]} if options["scope"] else {}))
    if check_mode:
        return {"changed": True, "outcome": outcome, "run_id": _known_run(connection, pair)}
    return acts.close_phase(connection, caller, pair, options["phase"], outcome, options["is_last"])


def words_of_failure(options: Options) -> tuple[str, str]:
    """The cause, and the sentence that a person reads; needs no database."""
    known = failure.reduce(options["failure"])
    error = options["error"] or known.get("msg") or "no reason was given"
    kind = options["kind"] or known.get("kind", "")
    return error, failure.sentence(options["phase"], error, kind, options["contacts"], options["limit"])


def _fail(
    connection: Connection, caller: hold.Caller, pair: view.Pair, options: Options, check_mode: bool
) -> acts.Answer:
    error, words = words_of_failure(options)
    if check_mode:
        return {"changed": True, "sentence": words, "run_id": _known_run(connection, pair)}
    try:
        answer = acts.fail_phase(connection, caller, pair, options["phase"], error)
    except lease.FencedError:
        # The run is somebody else's by now; what is left is to tell the person here.
        return {"changed": False, "sentence": words, "run_id": _known_run(connection, pair)}
    return dict(answer, sentence=words)


def _known_run(connection: Connection, pair: view.Pair) -> str:
    """The run's name, or the one that it would get."""
    found = run.read(connection).latest(pair)
    return found.id if found else states.run_name(pair.before, pair.after, 1)


def _record(
    connection: Connection, caller: hold.Caller, pair: view.Pair, options: Options, check_mode: bool
) -> acts.Answer:
    if options["kind"] not in record.KINDS:
        raise MigrationError(
            "record",
            options["name"] or "several at once",
            f"kind is {options['kind']}",
            f"It must be one of: {', '.join(record.KINDS)}",
        )
    return record.write(connection, caller, pair, _notes(options), check_mode)


def _notes(options: Options) -> list[record.Record]:
    """The one that is named, or each of several."""
    kind, phase = options["kind"], options["phase"] or ""
    if options["name"] is not None:
        return [record.Record(kind, options["name"], phase, options["data"])]
    notes = []
    for given in options["records"]:
        data = dict(given)
        name = str(data.pop("name", ""))
        if not name:
            raise MigrationError("record", f"a {kind}", f"it has no name: {given}", "Give each record a name")
        notes.append(record.Record(kind, name, phase, data))
    return notes


def _control(
    connection: Connection, caller: hold.Caller, pair: view.Pair, options: Options, check_mode: bool
) -> acts.Answer:
    before = control.read(connection) if tables.exist(connection) else control.Control()
    wish = control.Control(
        options["wanted"] or before.wanted,
        options["batch_rows"] or None,
        options["pace"] or None,
        options["owner"],
    )
    return steer.control(connection, caller, pair, wish, options["confirmed_by"], check_mode)


_ACTS: t.Final[dict[str, t.Callable[..., acts.Answer]]] = {
    "present": _present,
    "planned": _plan,
    "opened": _open,
    "closed": _close,
    "failed": _fail,
    "recorded": _record,
    "controlled": _control,
}
