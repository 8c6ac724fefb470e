# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the checklist and the next steps into the journal, and reads them back."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._report import completion, evidence, keeping
from ansible_collections.emailai.migration.plugins.module_utils._report.reading import Document, read_document

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target


@dataclass(frozen=True)
class Conclusion:
    items: list[completion.Item]
    next_steps: list[dict[str, str]]
    changed: bool

    @property
    def still_open(self) -> list[completion.Item]:
        return [item for item in self.items if item.state == completion.OPEN]

    def as_result(self) -> dict[str, t.Any]:
        return {
            "changed": self.changed,
            "is_complete": not self.still_open,
            "checklist": [item.as_dict() for item in self.items],
            "still_open": [item.item for item in self.still_open],
            "next_steps": self.next_steps,
            "summary": [
                *(f"{item.state:9}  {item.text}: {item.found}" for item in self.items),
                *(f"due {step['due']}  {step['text']}" for step in self.next_steps),
            ],
        }

    def refusal(self, run_id: str) -> MigrationError:
        names = ", ".join(item.text[:1].lower() + item.text[1:] for item in self.still_open)
        return MigrationError(
            "conclude",
            f"run {run_id}",
            f"{len(self.still_open)} of {len(self.items)} items are open ({names})",
            completion.cure(self.still_open),
            **dict(self.as_result(), kind="person"),
        )


def conclude(
    target: Target,
    run_id: str,
    confirmations: t.Mapping[str, str],
    now: datetime.datetime,
    check_mode: bool,
    is_rehearsal: bool = False,
) -> Conclusion:
    """Keep the names given; once no item is open, keep the next steps, counted from ``now``."""
    before = _read(target, run_id)
    _refuse_unknown(before, confirmations)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    names = completion.new_confirmations(before, confirmations)
    items = completion.judge(before, confirmations, stamp, is_rehearsal)
    steps = recorded_steps(before)
    is_complete = all(item.state != completion.OPEN for item in items)
    lacks_steps = is_complete and len(steps) < len(completion.NEXT_STEPS)
    if lacks_steps:
        steps = _merge(steps, completion.next_steps(now))
    if check_mode or not (names or lacks_steps):
        return Conclusion(items, steps, changed=bool(names) or lacks_steps)
    with session(target, "conclude") as connection:
        keeping.keep_confirmations(connection, run_id, names, now)
        if lacks_steps:
            keeping.keep_next_steps(connection, run_id, steps, now)
    after = _read(target, run_id)
    return Conclusion(completion.judge(after, {}, stamp, is_rehearsal), recorded_steps(after), changed=True)


def recorded_steps(document: Document) -> list[dict[str, str]]:
    """The next steps that stand in the journal, with the dates they got then."""
    return [
        {
            "step": event["detail"].get("step", ""),
            "text": event["message"],
            "due": event["detail"].get("due", ""),
        }
        for event in document["events"]
        if event["kind"] == "next_step"
    ]


def message_facts(document: Document) -> dict[str, t.Any]:
    return {"proven": evidence.claims(document), "writes_lost_since": evidence.writes_lost_since(document)}


def _read(target: Target, run_id: str) -> Document:
    with session(target, "conclude") as connection:
        return read_document(connection, run_id)


def _merge(kept: t.Sequence[dict[str, str]], wanted: t.Sequence[dict[str, str]]) -> list[dict[str, str]]:
    known = {step["step"]: step for step in kept}
    return [known.get(step["step"], step) for step in wanted]


def _refuse_unknown(document: Document, confirmations: t.Mapping[str, str]) -> None:
    """A name for what the journal has to prove is a mistake somebody should hear of."""
    allowed = completion.confirmable(document)
    wrong = [item for item in confirmations if item in completion.TEXTS and item not in allowed]
    if wrong:
        raise MigrationError(
            "confirm",
            " and ".join(wrong),
            "the journal has to prove it, a name cannot",
            "Take it out of migration_confirmations",
            kind="person",
        )
