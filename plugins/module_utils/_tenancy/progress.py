# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the work is: the figures people see, the row that resumes it, the log that is tailed."""

from __future__ import annotations

import json
import os
import threading
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    rows,
    run,
    value,
)
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.pages import WHOLE, Part

if t.TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ansible_collections.emailai.migration.plugins.module_utils._journal.worker import Reporter

_QUIET_SECONDS: t.Final = 0.25
# Between the name of a pass and the number of its part.
_PART: t.Final = " part "


@dataclass
class Position:
    """Where a pass stands in its part of a table: the last key that is done, rows looked at, rows changed."""

    last: str | None = None
    part: Part = WHOLE
    done: int = 0
    changed: int = 0
    seconds: float = 0.0
    is_finished: bool = False


def load(connection: Connection, run_id: str, task: str) -> Position:
    found = rows(
        connection,
        compose(
            "SELECT position, counters, done, state FROM emailai_migration.progress"
            " WHERE database = emailai_migration.here() AND run_id = {run} AND task = {task}",
            run=value(run_id),
            task=value(task),
        ),
    )
    if not found:
        return Position()
    position, counters, done, state = found[0]
    return Position(
        position.get("last"),
        Part(position.get("until")),
        done,
        counters.get("changed", 0),
        counters.get("seconds", 0.0),
        state == "done",
    )


def parts(connection: Connection, run_id: str, task: str) -> list[str]:
    """Names of the parts into which an earlier attempt has divided a table, in the order of their keys."""
    found = rows(
        connection,
        compose(
            "SELECT task FROM emailai_migration.progress WHERE database = emailai_migration.here()"
            " AND run_id = {run} AND (task = {task} OR starts_with(task, {task} || {mark}))"
            " ORDER BY length(task), task",
            run=value(run_id),
            task=value(task),
            mark=value(_PART),
        ),
    )
    return [name for (name,) in found]


def part_name(task: str, number: int) -> str:
    """The first part bears the name of the whole."""
    return f"{task}{_PART}{number + 1}" if number else task


def save(
    connection: Connection, run_id: str, task: str, position: Position, total: int, epoch: int, reason: str
) -> None:
    """In the caller's transaction, so that the cursor and the rows stand or fall together."""
    run(
        connection,
        compose(
            "INSERT INTO emailai_migration.progress AS p"
            " (run_id, task, state, done, total, position, counters, epoch, reason, finished_at)"
            " VALUES ({run}, {task}, {state}, {done}, {total}, {position}, {counters}, {epoch},"
            " {reason}, {finished})"
            " ON CONFLICT (database, run_id, task) DO UPDATE SET state = excluded.state, done ="
            " excluded.done,"
            " total = excluded.total, position = excluded.position, counters = excluded.counters,"
            " epoch = excluded.epoch, reason = excluded.reason, error = NULL, updated_at = clock_timestamp(),"
            " finished_at = excluded.finished_at"
            " WHERE p.epoch <= excluded.epoch",
            run=value(run_id),
            task=value(task),
            state=value("done" if position.is_finished else "running"),
            done=value(position.done),
            total=value(total),
            position=value(json.dumps({"last": position.last, "until": position.part.until})),
            counters=value(json.dumps({"changed": position.changed, "seconds": round(position.seconds, 6)})),
            epoch=value(epoch),
            reason=value(reason),
            finished=compose("clock_timestamp()") if position.is_finished else value(None),
        ),
    )


def save_horizon(connection: Connection, run_id: str, mark: int, epoch: int) -> None:
    """In the caller's transaction: what the last sweep has proven, for the checks to compare with."""
    run(
        connection,
        compose(
            "INSERT INTO emailai_migration.progress AS p (run_id, task, state, position, epoch, finished_at)"
            " VALUES ({run}, 'move', 'done', {position}, {epoch}, clock_timestamp())"
            " ON CONFLICT (database, run_id, task) DO UPDATE SET state = 'done', position ="
            " excluded.position,"
            " epoch = excluded.epoch, updated_at = clock_timestamp(), finished_at = clock_timestamp()",
            run=value(run_id),
            position=value(json.dumps({"horizon": mark})),
            epoch=value(epoch),
        ),
    )


def forget(connection: Connection, run_id: str, tasks: t.Sequence[str]) -> None:
    """In the caller's transaction: the next pass begins at the first row."""
    run(
        connection,
        compose(
            "DELETE FROM emailai_migration.progress WHERE database = emailai_migration.here()"
            " AND run_id = {run} AND split_part(task, {mark}, 1) = ANY({tasks})",
            run=value(run_id),
            mark=value(_PART),
            tasks=value(list(tasks)),
        ),
    )


@dataclass
class Display:
    """What the report file and migration.log say. Cheap to call for each batch."""

    reporter: Reporter
    log_path: str
    database: str = ""
    clock: t.Callable[[], float] = time.monotonic
    stage: str = ""
    done: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    _begun: float = 0.0
    _shown: float = 0.0
    _logged: float = 0.0
    _at_start: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, stage: str) -> None:
        self.stage = stage
        self.log(stage)
        self.show(is_due=True)

    def begin(self, totals: t.Mapping[str, int], done: t.Mapping[str, int]) -> None:
        self.totals, self.done = dict(totals), dict(done)
        self._begun, self._at_start = self.clock(), sum(done.values())

    def advance(self, name: str, rows_done: int, reason: str) -> None:
        """Several workers move the same figures on."""
        with self._lock:
            self.done[name] = self.done.get(name, 0) + rows_done
            self.reason = reason
            self.show()

    def show(self, is_due: bool = False) -> None:
        now = self.clock()
        if not is_due and now - self._shown < _QUIET_SECONDS:
            return
        self._shown = now
        figures = self.figures()
        self.reporter.update(progress=figures)
        if now - self._logged >= 1 and self.totals:
            self._logged = now
            self.log(line(figures))

    def figures(self) -> dict[str, t.Any]:
        done, total = sum(self.done.values()), sum(self.totals.values())
        elapsed = self.clock() - self._begun if self._begun else 0.0
        rate = (done - self._at_start) / elapsed if elapsed > 0 else 0.0
        return {
            "stage": self.stage,
            "done": done,
            "total": total,
            "percent": round(100 * done / total, 1) if total else 100.0,
            "rate": round(rate, 1),
            "eta_seconds": round((total - done) / rate, 1) if rate > 0 else None,
            "reason": self.reason,
            "parts": {name: [self.done.get(name, 0), count] for name, count in self.totals.items()},
        }

    def log(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        os.makedirs(os.path.dirname(self.log_path), mode=0o700, exist_ok=True)
        with open(self.log_path, "a", encoding="utf-8") as handle:
            for one in text.splitlines():
                handle.write(f"{stamp} [{self.database}] {one}\n")


def line(figures: t.Mapping[str, t.Any]) -> str:
    """One line for a person: done / total, percent, rate, time left, why it is slow."""
    eta = figures.get("eta_seconds")
    parts = [
        f"{figures['stage']}: {figures['done']:,} / {figures['total']:,} ({figures['percent']:g}%)",
        f"{figures['rate']:,.0f} rows/s",
        f"{eta:,.0f} s left" if eta is not None else "time left unknown",
    ]
    if figures.get("reason"):
        parts.append(f"slowed down: {figures['reason']}")
    return ", ".join(parts)
