# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal of a database says, as values: runs, phases, and what an operator names a migration by."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._journal import states


@dataclass(frozen=True)
class Run:
    id: str
    number: int
    release_before: str
    release_after: str
    map_digest: str
    state: str
    owner: str
    host: str
    started_at: datetime.datetime
    finished_at: datetime.datetime | None = None

    @property
    def is_finished(self) -> bool:
        return states.is_finished(self.state)

    def is_of(self, pair: Pair) -> bool:
        return (self.release_before, self.release_after) == (pair.before, pair.after)

    def whose(self) -> str:
        """Who works on it, where and since when."""
        return f"{self.owner} on {self.host} since {moment(self.started_at)}"


@dataclass(frozen=True)
class PhaseRow:
    name: str
    state: str
    started_at: datetime.datetime
    finished_at: datetime.datetime | None = None
    error: str | None = None
    outcome: dict[str, t.Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """What an operator names a migration by."""

    before: str
    after: str
    map_digest: str = ""


@dataclass(frozen=True)
class View:
    """What the journal of this database says: all its runs in order, and the phases of each."""

    runs: tuple[Run, ...] = ()
    phases: t.Mapping[str, tuple[PhaseRow, ...]] = field(default_factory=dict)
    wanted: str = "run"
    wanted_by: str = ""
    # What the database's clock said while it was read.
    now: datetime.datetime | None = None

    def latest(self, pair: Pair) -> Run | None:
        return max((run for run in self.runs if run.is_of(pair)), key=lambda run: run.number, default=None)

    def unfinished(self) -> Run | None:
        return next((run for run in self.runs if not (run.is_finished or self._is_out(run))), None)

    def is_release(self, run: Run) -> bool:
        return states.is_release([row.name for row in self.phases.get(run.id, ())])

    def _is_out(self, run: Run) -> bool:
        """A later release on every server. It may still be watched and taken back, but holds nobody up."""
        row = self.phase(run.id, "deploy")
        is_deployed = row is not None and row.state == "completed"
        return self.is_release(run) and is_deployed and self.open_phase(run.id) is None

    def phase(self, run_id: str, name: str) -> PhaseRow | None:
        return next((row for row in self.phases.get(run_id, ()) if row.name == name), None)

    def outcomes(self, run_id: str) -> dict[str, dict[str, t.Any]]:
        """What each completed phase of a run has left for those after it."""
        return {row.name: row.outcome for row in self.phases.get(run_id, ()) if row.state == "completed"}

    def open_phase(self, run_id: str) -> PhaseRow | None:
        """The phase that is under way or failed; the run cannot go past it. A repair holds nobody up."""
        rows = [
            row for row in self.phases.get(run_id, ()) if row.state != "completed" and row.name != "repair"
        ]
        return max(rows, key=lambda row: row.started_at, default=None)


def moment(at: datetime.datetime) -> str:
    return at.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
