# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines a person reads while a run goes on: phases as they open and close, and the table at the end."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._report import clock
from ansible_collections.emailai.migration.plugins.module_utils._report.way_back import ways_back

_SAID: t.Final = {
    "closed": "completed",
    "failed": "failed",
    "skipped": "was done before",
    "left_out": "is not part of this run",
}


@dataclass
class _Phase:
    name: str
    opened_at: t.Optional[float]
    state: str = "opened"
    seconds: t.Optional[float] = None


class Timeline:
    """Phases in the order in which they were heard of. Several hosts tell of one phase; it counts once."""

    def __init__(self, now: t.Callable[[], float]) -> None:
        self._now = now
        self._phases: dict[tuple[str, str], _Phase] = {}

    def learn(self, event: t.Mapping[str, t.Any], hints: t.Sequence[str] = ()) -> list[str]:
        """What to print about an event; nothing for one that is known or not understood."""
        name, kind, run_id = (str(event.get(key) or "") for key in ("phase", "event", "run_id"))
        key = (run_id, name)
        if not name:
            return []
        if kind == "opened":
            return self._open(key, hints)
        return self._end(key, kind) if kind in _SAID else []

    def closing_lines(
        self, totals: t.Sequence[t.Mapping[str, int]], is_check: bool, words: str = ""
    ) -> list[str]:
        lines = [*self._table(), *self._unfinished(words)]
        sentence = _changes(totals, is_check)
        return [*lines, sentence] if sentence else lines

    def _open(self, key: tuple[str, str], hints: t.Sequence[str]) -> list[str]:
        known = self._phases.get(key)
        if known is not None and known.state == "opened":
            return []
        self._phases[key] = _Phase(key[1], self._now())
        run = f" ({key[0]})" if key[0] else ""
        return [f"▶ {key[1]} opened{run}", *(f"  {hint}" for hint in hints)]

    def _end(self, key: tuple[str, str], kind: str) -> list[str]:
        phase = self._phases.setdefault(key, _Phase(key[1], None))
        if phase.state == kind:
            return []
        phase.state = kind
        if phase.opened_at is None:
            return [f"■ {phase.name} {_SAID[kind]}"]
        phase.seconds = self._now() - phase.opened_at
        return [f"■ {phase.name} {_SAID[kind]} after {clock.duration(phase.seconds)}"]

    def _table(self) -> list[str]:
        if not self._phases:
            return []
        wide = max(len(phase.name) for phase in self._phases.values())
        rows = [
            f"  {phase.name:{wide}}  {_seconds(phase.seconds):>10}  {_SAID.get(phase.state, 'not finished')}"
            for phase in self._phases.values()
        ]
        return ["", "TIMELINE", *rows]

    def _unfinished(self, words: str) -> list[str]:
        """After a failure: how to go on and how to go back."""
        phase = next((phase for phase in self._phases.values() if phase.state in ("failed", "opened")), None)
        if phase is None:
            return []
        return [
            "",
            f"{phase.name} is not finished.",
            "  to go on: the same command again",
            *(f"  {line}" for line in _back(phase.name, words)),
        ]


def what_to_type(words: str) -> list[str]:
    """How to hold a phase and let it go on, from another terminal."""
    return [
        f"to pause:   {_command('playbooks/control.yml', words)} -e journal_wanted=pause",
        f"to go on:   {_command('playbooks/control.yml', words)} -e journal_wanted=run",
        f"to go back: {_command('playbooks/roll_back.yml', words)}",
    ]


def _back(phase: str, words: str) -> list[str]:
    way = ways_back(phase)[0]
    return [f"to go back: {_command(way.command, words)}"] if way.command else [way.text + "."]


def _command(playbook: str, words: str) -> str:
    return " ".join(filter(None, ["ansible-playbook", playbook, words]))


def _seconds(seconds: t.Optional[float]) -> str:
    return "" if seconds is None else f"{seconds:,.1f} s"


def _changes(totals: t.Sequence[t.Mapping[str, int]], is_check: bool) -> str:
    """What this command did to the machines, in a sentence; none where nothing ran or something failed."""
    if not totals or any(row.get("failures") or row.get("unreachable") for row in totals):
        return ""
    changed = sum(row.get("changed", 0) for row in totals)
    if is_check:
        would = f"{changed} tasks would change something" if changed else "nothing would change"
        return f"Check mode: nothing was changed; {would}."
    return "" if changed else "Nothing changed on any host."
