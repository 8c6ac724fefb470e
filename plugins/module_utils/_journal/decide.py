# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What opening, closing or failing a phase means for a run: decided from what was read, writing nothing."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass, replace

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import states
from ansible_collections.emailai.migration.plugins.module_utils._journal.view import (
    Pair,
    PhaseRow,
    Run,
    View,
    moment,
)


@dataclass(frozen=True)
class Asked:
    """A phase to open. ``without`` are phases this run goes without; ``again`` does a completed one again.

    ``retention_days`` and ``confirmed_by`` are asked of contract alone.
    """

    phase: str
    pair: Pair
    without: tuple[str, ...] = ()
    requires: tuple[str, ...] | None = None
    again: bool = False
    scope: str = ""
    retention_days: float = states.RETENTION_DAYS
    confirmed_by: str = ""


@dataclass(frozen=True)
class Decision:
    """``writes`` says whether the journal changes; a phase done again leaves it as it is."""

    run_id: str
    number: int
    run_state: str
    phase_state_before: str = ""
    proceed: bool = True
    writes: bool = True
    creates: bool = False
    text: str = ""


def open_phase(view: View, asked: Asked) -> Decision:
    """What opening the phase would do; MigrationError if it must not be opened."""
    refuse_other_pair(view, asked)
    if asked.phase in asked.without:
        return _skip(view, asked, f"{asked.phase} is not part of this run")
    if asked.phase in states.WAYS_BACK:
        return _open_way_back(view, asked)
    if asked.phase == "repair":
        return _open_repair(view, asked)
    _refuse_paused(view, asked)
    if asked.phase == "contract":
        return _open_contract(view, asked)
    return _open_forward(view, asked)


def close_phase(run: Run, row: PhaseRow | None, name: str, outcome: dict[str, t.Any]) -> str | None:
    """The state of the run once the phase is completed; None if the journal says so already."""
    if row is None:
        raise MigrationError("close", f"phase {name} of run {run.id}", "it was never opened")
    if row.state == "completed":
        if name == "roll_back":
            # Looked at again, see _open_way_back: what was taken back stands there, and now nothing was.
            return None
        # Done again. Figures are kept unless there are new ones.
        return None if not outcome or {**row.outcome, **outcome} == row.outcome else run.state
    if run.state == "abandoned":
        raise MigrationError(
            "close",
            f"phase {name}",
            f"run {run.id} was abandoned",
            "Take it back with playbooks/roll_back.yml",
        )
    ends = states.PHASES[name].ends
    return _step(run, ends) if ends else run.state


def fail_phase(run: Run, row: PhaseRow | None) -> str | None:
    """The state of the run once its open phase failed; None if there is no open phase to fail."""
    if row is None or (row.state == "completed" and run.is_finished):
        return None
    # A repair or a contract that failed leaves the run what it was.
    return "failed" if states.may(run.state, "failed") else run.state


def control(view: View, run: Run | None, wanted: str) -> str | None:
    """The state of the run once the operator wants this; None if no run is under way."""
    if run is None or run.is_finished or run.state == "rolling_back":
        return None
    if wanted == "run":
        return resumed(view, run) if run.state == "paused" else run.state
    return {"pause": "paused", "abort": "abandoned"}[wanted]


def resumed(view: View, run: Run) -> str:
    """The state a paused run comes back to."""
    row = view.open_phase(run.id)
    if row is None:
        done = [states.PHASES[name].state for name in states.FORWARD if view.phase(run.id, name)]
        return done[-1] if done else "planned"
    return "failed" if row.state == "failed" else states.PHASES[row.name].state or run.state


def is_release(view: View, pair: Pair) -> bool:
    """Whether this pair only exchanges a release, because a migration was concluded here before.

    Not the releases of that migration, and not a pair that began with a migration of its own.
    """
    run = view.latest(pair)
    if run is not None and view.phases.get(run.id):
        return view.is_release(run)
    migrations = [
        one for one in view.runs if one.state in ("concluded", "contracted") and not view.is_release(one)
    ]
    return bool(migrations) and pair.before not in {one.release_before for one in migrations}


def plan_run(view: View, pair: Pair) -> Decision:
    """The run that is under way, or the next number in state planned."""
    refuse_other_pair(view, Asked("plan", pair))
    run = view.latest(pair)
    if run is not None and not run.is_finished:
        return Decision(run.id, run.number, run.state, writes=False)
    return _new_run(pair, run, "planned")


def refuse_other_pair(view: View, asked: Asked) -> None:
    """One migration at a time in a database: an unfinished run of other releases or another map stands."""
    run = view.unfinished()
    if run is None:
        return
    thing = f"{asked.phase} of {asked.pair.before}..{asked.pair.after}"
    way_out = (
        f"Go on with {run.id}, take it back with playbooks/roll_back.yml,"
        " or abort it with playbooks/control.yml"
    )
    if not run.is_of(asked.pair):
        raise MigrationError(
            "open",
            thing,
            f"run {run.id} is not finished ({run.state}, {run.whose()})",
            way_out,
            holder=run.whose(),
        )
    # The way back goes by what was recorded, whatever the map says today.
    given, known = asked.pair.map_digest, run.map_digest
    if given and known and given != known and asked.phase not in states.WAYS_BACK:
        raise MigrationError(
            "open",
            thing,
            f"run {run.id} ({run.state}, {run.whose()}) was begun with another model map"
            f" (digest {known[:12]}, given {given[:12]})",
            f"Give the map it was begun with. Or {way_out[0].lower()}{way_out[1:]}",
            holder=run.whose(),
        )


def _open_forward(view: View, asked: Asked) -> Decision:
    run = view.latest(asked.pair)
    if run is None or run.state in ("rolled_back", "abandoned"):
        decision = _new_run(asked.pair, run, states.PHASES[asked.phase].state)
        _refuse_unproven(view, asked, decision.run_id)
        return decision
    row = view.phase(run.id, asked.phase)
    if run.is_finished:
        return _done(run, row, asked, f"run {run.id} concluded at {_when(run.finished_at)}")
    _refuse_half_way_back(view, run, asked)
    if row is not None and row.state == "completed":
        return _done(
            run, row, asked, f"{asked.phase} of run {run.id} was completed at {_when(row.finished_at)}"
        )
    _refuse_open_phase(view, run, asked)
    _refuse_unproven(view, asked, run.id)
    return _proceed(run, row, _step(run, states.PHASES[asked.phase].state))


def _open_way_back(view: View, asked: Asked) -> Decision:
    run = view.latest(asked.pair)
    if run is None:
        return _skip(view, asked, f"no run of {asked.pair.before}..{asked.pair.after} was ever begun here")
    if run.state == "contracted":
        raise MigrationError(
            "open",
            f"{asked.phase} of run {run.id}",
            f"it was contracted at {_when(run.finished_at)}, and what contract dropped only the backup has",
            "Restore the backup into a new database by hand, as its manifest says",
        )
    if view.is_release(run) and (asked.phase == "restore" or asked.scope not in ("", "code")):
        raise MigrationError(
            "open",
            f"{asked.phase} of run {run.id}",
            "it only exchanged the release: the data was migrated by another run",
            "Take the release back with playbooks/roll_back.yml, or name the releases of the migration",
        )
    row = view.phase(run.id, asked.phase)
    if row is not None and row.state == "completed" and row.outcome.get("scope", "") == asked.scope:
        # Looking again whether everything is back is never refused and never noted twice.
        return replace(_proceed(run, row, run.state), writes=False)
    return _proceed(run, row, _step(run, "rolling_back"))


def _open_repair(view: View, asked: Asked) -> Decision:
    run = view.latest(asked.pair)
    if run is None:
        return _new_run(asked.pair, None, "planned")
    return _proceed(run, view.phase(run.id, "repair"), run.state)


def _open_contract(view: View, asked: Asked) -> Decision:
    run = view.latest(asked.pair)
    if run is not None and run.state == "contracted":
        return _done(run, view.phase(run.id, "contract"), asked, f"run {run.id} is contracted")
    if run is None or run.state != "concluded":
        raise MigrationError(
            "open",
            f"contract of {asked.pair.before}..{asked.pair.after}",
            f"run {run.id} is {run.state}, not concluded" if run else "no run was ever begun here",
            "Finish the migration first: playbooks/migrate.yml",
        )
    if view.is_release(run):
        raise MigrationError(
            "open",
            f"contract of run {run.id}",
            "it only exchanged the release: the data was migrated by another run",
            "Name the releases of the migration",
        )
    _refuse_early(view, run, asked)
    _refuse_unconfirmed(run, asked)
    return _proceed(run, view.phase(run.id, "contract"), run.state)


def _refuse_early(view: View, run: Run, asked: Asked) -> None:
    """Contract ends the way back, so the way back is kept for as long as was promised."""
    days = datetime.timedelta(days=asked.retention_days)
    if run.finished_at is None or view.now is None:
        due, when = "", _when(run.finished_at)
    elif view.now >= run.finished_at + days:
        return
    else:
        due, when = f" on {moment(run.finished_at + days)} at the earliest", moment(run.finished_at)
    raise MigrationError(
        "open",
        f"contract of run {run.id}",
        f"it was concluded at {when} (begun by {run.owner} on {run.host}), and the way back is kept for"
        f" {asked.retention_days:g} days",
        f"Give the same command{due or ' once its end is known'}",
        kind="person",
        run_id=run.id,
    )


def _refuse_unconfirmed(run: Run, asked: Asked) -> None:
    if asked.confirmed_by.strip():
        return
    raise MigrationError(
        "open",
        f"contract of run {run.id}",
        "there is no way back from it but the backup, and nobody confirmed it by name",
        """Give the name of whoever decided it: -e '{"migration_confirmations": {"contract": "..."}}'""",
        kind="person",
        run_id=run.id,
    )


def _refuse_paused(view: View, asked: Asked) -> None:
    run = view.unfinished()
    if view.wanted == "pause" and run is not None:
        raise MigrationError(
            "open",
            f"{asked.phase} of run {run.id}",
            f"{view.wanted_by or 'an operator'} paused it",
            "Resume it with playbooks/control.yml -e journal_wanted=run and give the same command again",
            run_id=run.id,
        )


def _refuse_half_way_back(view: View, run: Run, asked: Asked) -> None:
    """What was completed on the way there is taken back in part, so it is no longer done."""
    row = view.open_phase(run.id)
    if row is not None and row.name in states.WAYS_BACK:
        _refuse_open_phase(view, run, asked)


def _refuse_open_phase(view: View, run: Run, asked: Asked) -> None:
    row = view.open_phase(run.id)
    if row is None or row.name == asked.phase:
        return
    raise MigrationError(
        "open",
        f"{asked.phase} of run {run.id}",
        f"its phase {row.name} is {'not finished' if row.state == 'in_progress' else 'failed'}"
        f" (begun at {moment(row.started_at)})",
        f"Run {states.playbook(row.name)} again first",
        run_id=run.id,
    )


def _refuse_unproven(view: View, asked: Asked, run_id: str) -> None:
    requires = states.PHASES[asked.phase].requires if asked.requires is None else asked.requires
    if asked.phase not in states.DATA and is_release(view, asked.pair):
        requires = tuple(name for name in requires if name not in states.DATA)
    missing = [
        name
        for name in requires
        if name not in asked.without
        and not any(row.name == name and row.state == "completed" for row in view.phases.get(run_id, ()))
    ]
    if missing:
        raise MigrationError(
            "open",
            f"{asked.phase} of run {run_id}",
            f"it builds on {', '.join(missing)}, not completed in this run",
            f"Run {', '.join(map(states.playbook, missing))} first, or playbooks/migrate.yml for all",
            run_id=run_id,
            missing=missing,
        )


def _new_run(pair: Pair, previous: Run | None, state: str) -> Decision:
    number = previous.number + 1 if previous else 1
    return Decision(states.run_name(pair.before, pair.after, number), number, state, creates=True)


def _proceed(run: Run, row: PhaseRow | None, state: str) -> Decision:
    return Decision(run.id, run.number, state, row.state if row else "")


def _done(run: Run, row: PhaseRow | None, asked: Asked, reason: str) -> Decision:
    return Decision(
        run.id,
        run.number,
        run.state,
        row.state if row else "",
        proceed=asked.again,
        writes=False,
        text="" if asked.again else f"nothing to do: {reason}",
    )


def _skip(view: View, asked: Asked, reason: str) -> Decision:
    run = view.latest(asked.pair)
    return Decision(
        run.id if run else states.run_name(asked.pair.before, asked.pair.after, 1),
        run.number if run else 1,
        run.state if run else "planned",
        proceed=False,
        writes=False,
        text=f"nothing to do: {reason}",
    )


def _step(run: Run, after: str) -> str:
    if not states.may(run.state, after):
        raise MigrationError(
            "take",
            f"run {run.id}",
            f"it is {run.state} and cannot become {after}",
            "Look at playbooks/status.yml",
        )
    return after


def _when(at: datetime.datetime | None) -> str:
    return moment(at) if at else "an unknown time"
