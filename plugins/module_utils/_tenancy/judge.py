# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answers to the checks mean together; nothing of the world."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

# From good to bad. Pending is no fault: the sweep is still to come.
ORDER: t.Final = ("ok", "pending", "finding", "inconclusive", "failed")
_MARKS: t.Final = {"ok": "✓", "pending": "✓", "finding": "!", "inconclusive": "?", "failed": "✗"}


@dataclass(frozen=True)
class Verdict:
    """One check. ``count`` counts what made the result; ``pending`` is counted apart."""

    name: str
    title: str
    result: str
    count: int = 0
    ids: tuple[str, ...] = ()
    pending: int = 0
    cause: str = ""
    repair: str = ""
    known: int = 0

    def line(self) -> str:
        text = f"{_MARKS[self.result]} {self.title}"
        if self.result not in ("ok", "pending"):
            text += f": {self.count:,} {self.cause}" if self.count else f": {self.cause}"
        if self.pending:
            text += f" ({self.pending:,} pending)"
        return text

    def as_dict(self) -> dict[str, t.Any]:
        return dict(vars(self), ids=list(self.ids))


@dataclass(frozen=True)
class Judgement:
    result: str
    verdicts: tuple[Verdict, ...]
    unacknowledged: tuple[str, ...] = field(default=())

    @property
    def may_go_on(self) -> bool:
        return self.result in ("ok", "findings") and not self.unacknowledged

    def advice(self) -> list[str]:
        """What holds the run up, and what to type."""
        told = []
        for one in self.verdicts:
            if one.result in ("failed", "inconclusive"):
                told.append(f"{one.name} ({one.result}): {one.count or ''} {one.cause}. Try: {one.repair}")
            elif one.name in self.unacknowledged:
                told.append(
                    f"{one.name} (finding): {one.count} {one.cause}. Repair it ({one.repair}), or"
                    f" accept it with"
                    f""" -e '{{"migration_acknowledged_findings": {{"{one.name}": "your name"}}}}'"""
                )
        return [" ".join(sentence.split()) for sentence in told]

    def summary(self) -> str:
        """The runbook's block: each check, three numbers and one word."""
        count = {kind: sum(v.result == kind for v in self.verdicts) for kind in ORDER}
        word = {"ok": "PASSED", "findings": "PASSED with findings", "failed": "FAILED"}.get(
            self.result, "INCONCLUSIVE"
        )
        rule = "=" * 50
        return "\n".join(
            [
                *(verdict.line() for verdict in self.verdicts),
                rule,
                f"Passed: {count['ok'] + count['pending']}",
                f"Failed: {count['failed']}",
                f"Warnings: {count['finding'] + count['inconclusive']}",
                rule,
                f"Migration verification {word}",
            ]
        )


def verdict(
    name: str,
    title: str,
    answer: t.Mapping[str, tuple[int, list[str]]],
    cause: str,
    repair: str,
    known: t.Collection[str] = (),
) -> Verdict:
    """One check from its counted classes; what was known before the run is a finding, not a failure."""
    failed, failed_ids = answer.get("failed", (0, []))
    old = [one for one in failed_ids if one in known]
    failed -= len(old)
    fresh = [one for one in failed_ids if one not in known]
    finding, finding_ids = answer.get("finding", (0, []))
    finding += len(old)
    pending = answer.get("pending", (0, []))[0]
    parts: dict[str, t.Any] = {"name": name, "title": title, "pending": pending, "known": len(old)}
    if failed:
        return Verdict(result="failed", count=failed, ids=tuple(fresh), cause=cause, repair=repair, **parts)
    if finding:
        ids = (*old, *finding_ids)
        return Verdict(result="finding", count=finding, ids=ids, cause=cause, repair=repair, **parts)
    return Verdict(result="pending" if pending else "ok", **parts)


def judge(verdicts: t.Sequence[Verdict], acknowledged: t.Mapping[str, t.Any]) -> Judgement:
    """The worst of all, and the findings that nobody has put his name to."""
    worst = max((ORDER.index(one.result) for one in verdicts), default=0)
    result = {"pending": "ok", "finding": "findings"}.get(ORDER[worst], ORDER[worst])
    open_findings = tuple(
        one.name for one in verdicts if one.result == "finding" and not acknowledged.get(one.name)
    )
    return Judgement(result, tuple(verdicts), open_findings)
