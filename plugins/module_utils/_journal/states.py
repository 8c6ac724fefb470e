# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a run: its states, the phases that lead through them, and every arrow with its reason."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

STATES: t.Final[dict[str, str]] = {
    "planned": "The run has a name; nothing has been looked at.",
    "preparing": "The system is being read and the baseline taken.",
    "backing_up": "A backup is being made and proven.",
    "rehearsing": "The migration is being tried on staging.",
    "expanding": "The new schema is being added beside the old one.",
    "moving": "The data is being moved.",
    "verifying": "The data is being checked.",
    "deploying": "The servers are getting the new release.",
    "watching": "The new release is being watched.",
    "concluding": "The completion list is being worked through.",
    "concluded": "The migration is complete; the old schema still stands.",
    "contracted": "The old schema is gone; only the backup leads back.",
    "paused": "An operator holds the run before its next step.",
    "failed": "A phase ended with an error.",
    "abandoned": "An operator gave the run up; what it made still stands.",
    "rolling_back": "The run is being taken back.",
    "rolled_back": "The run was taken back as deep as asked.",
}

# Such a run holds nobody up: the same pair of releases may start its next number.
FINISHED: t.Final = frozenset({"concluded", "contracted", "rolled_back", "abandoned"})


@dataclass(frozen=True)
class Phase:
    """What a phase does to its run, and what it needs.

    ``budget_seconds`` is how long the phase may be silent towards the journal:
    the longest single step in which nothing else keeps a second controller away.
    """

    name: str
    state: str
    ends: str
    requires: tuple[str, ...]
    budget_seconds: int
    stopping: str
    is_safe_to_stop: bool = True


_READS = "It only reads: stop it at any time and run it again."

# In the runbook's order. The budgets hold the gate's own defaults: a baseline of 900 s, a watch of 3,600 s.
_FORWARD: t.Final = (
    Phase("prepare", "preparing", "", (), 1200, _READS),
    Phase("back_up", "backing_up", "", ("prepare",), 600, "A backup that is not finished does not exist."),
    Phase("rehearse", "rehearsing", "", ("back_up",), 600, "It works on a copy on staging only."),
    Phase(
        "expand", "expanding", "", ("prepare", "back_up", "rehearse"), 600,
        "Each object is made in a transaction of its own; the same command makes the rest.",
    ),
    Phase("move", "moving", "", ("expand",), 60, "What is moved stays; the same command goes on from there."),
    Phase("verify", "verifying", "", ("move",), 60, _READS),
    Phase(
        "deploy", "deploying", "", ("verify",), 1200,
        "A server may be drained or half deployed at this moment; pause, or take the run back.", False,
    ),
    Phase("watch", "watching", "", ("deploy",), 3900, _READS),
    Phase("conclude", "concluding", "concluded", ("watch",), 60, "What was confirmed stays confirmed."),
)  # fmt: skip
_APART: t.Final = (
    Phase(
        "roll_back", "rolling_back", "rolled_back", (), 1200,
        "A server may be on its way back at this moment; let it finish, or run it again at once.", False,
    ),
    Phase(
        "restore", "rolling_back", "rolled_back", (), 1200,
        "Writes may be refused at this moment; let it finish, or run it again at once.", False,
    ),
    Phase("repair", "", "", (), 60, "Each repair is a transaction of its own."),
    Phase(
        "contract", "", "contracted", ("conclude",), 600,
        "What is dropped stays dropped; let it finish.", False,
    ),
)  # fmt: skip

FORWARD: t.Final = tuple(phase.name for phase in _FORWARD)
# What a later release does without: the data is where it belongs already.
DATA: t.Final = FORWARD[: FORWARD.index("deploy")]
# What brings a release, this one or a later one.
RELEASE: t.Final = ("deploy", "watch")
WAYS_BACK: t.Final = ("roll_back", "restore")
PHASES: t.Final[dict[str, Phase]] = {phase.name: phase for phase in (*_FORWARD, *_APART)}
WORKING: t.Final = tuple(phase.state for phase in _FORWARD)

# How long a concluded run can still be taken back before it may be contracted.
RETENTION_DAYS: t.Final = 30

# Outside of a phase, between two of them, and while one is being called again.
BUDGET_SECONDS: t.Final = 30


@dataclass(frozen=True)
class Arrow:
    """A change of state that may happen, and why it does."""

    before: str
    after: str
    why: str


def _arrows() -> t.Iterator[Arrow]:
    for number, before in enumerate(WORKING):
        yield Arrow("planned", before, "The first phase was opened.")
        for after in WORKING[number + 1 :]:
            yield Arrow(before, after, "What the next phase builds on is completed or was waived by name.")
    yield Arrow("concluding", "concluded", "Every item of the completion list is proven or confirmed.")
    yield Arrow("concluded", "contracted", "Contract was confirmed by name, on a fresh proven backup.")
    for state in WORKING:
        yield Arrow(state, "failed", "The open phase ended with an error.")
        yield Arrow("failed", state, "The failed phase was opened again; it goes on where it stopped.")
        yield Arrow(state, "paused", "An operator asked to pause.")
        yield Arrow("paused", state, "An operator asked to go on; the open phase goes on.")
    yield Arrow("rolling_back", "failed", "A rung of the way back ended with an error.")
    yield Arrow("failed", "rolling_back", "The way back was begun, or begun again after an error.")
    for state in ("planned", *WORKING, "paused", "abandoned", "concluded"):
        yield Arrow(state, "rolling_back", "The way back was begun; whoever held the run is fenced.")
    yield Arrow("rolling_back", "rolled_back", "Every rung that was asked for is proven.")
    yield Arrow("rolled_back", "rolling_back", "A deeper rung is asked for.")
    yield Arrow("failed", "paused", "An operator asked to pause before the phase is tried again.")
    yield Arrow(
        "paused", "failed", "An operator asked to go on; the phase that failed is still to be tried again."
    )
    yield Arrow("planned", "paused", "An operator asked to pause before the first phase.")
    yield Arrow("paused", "planned", "An operator asked to go on; no phase was opened yet.")
    for state in ("planned", *WORKING, "paused", "failed"):
        yield Arrow(state, "abandoned", "An operator aborted the run and confirmed it by name.")


ARROWS: t.Final[dict[tuple[str, str], Arrow]] = {(arrow.before, arrow.after): arrow for arrow in _arrows()}


def may(before: str, after: str) -> bool:
    """Whether a run may go from one state to the other; staying is always allowed."""
    return before == after or (before, after) in ARROWS


def is_release(names: t.Collection[str]) -> bool:
    """Whether a run with these phases only exchanges a release: a later one, after the data was migrated."""
    return "deploy" in names and set(DATA).isdisjoint(names)


def is_finished(state: str) -> bool:
    return state in FINISHED


def run_name(release_before: str, release_after: str, number: int) -> str:
    return f"{release_before}..{release_after}#{number}"


def playbook(phase: str) -> str:
    """The file whose run is this phase."""
    return f"playbooks/{phase}.yml"
