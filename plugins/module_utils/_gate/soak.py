# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long to watch: to the end, less after a breach, more while it is not clear."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._gate import policy, verdict
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Reading
from ansible_collections.emailai.migration.plugins.module_utils._gate.record import Record
from ansible_collections.emailai.migration.plugins.module_utils._gate.tally import Tally, percent

LINE_SECONDS: t.Final = 5.0


class World(t.Protocol):
    """What a watch needs of the world around it."""

    def look(self) -> list[Reading]: ...

    def clock(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...

    def say(self, line: str) -> None: ...


@dataclass(frozen=True)
class Plan:
    """``already_seconds``: what of the watch lies in the past and is read from the logs."""

    soak_seconds: float
    poll_seconds: float = 2.0
    already_seconds: float = 0.0
    is_attended: bool = False
    unattended: t.Mapping[str, str] = field(default_factory=lambda: dict(policy.UNATTENDED))

    def longest(self, extensions: int) -> float:
        return self.soak_seconds * (1 + extensions)


def soak(world: World, question: verdict.Question, plan: Plan) -> dict[str, t.Any]:
    """Watch until there is a judgement; returns it with every figure that led to it."""
    watch = _Watch(world, question, plan)
    while not watch.step():
        world.sleep(plan.poll_seconds)
    return watch.outcome()


def observe(world: World, seconds: float, plan: Plan, question: verdict.Question) -> dict[str, t.Any]:
    """Watch without judging: the figures of the untouched system."""
    watch = _Watch(world, question, plan)
    while watch.elapsed < seconds + watch.record.lag_seconds:
        watch.look()
        watch.say(f"baseline {_minutes(watch.elapsed)} of {_minutes(seconds)}")
        left = seconds + watch.record.lag_seconds - watch.elapsed
        world.sleep(min(plan.poll_seconds, max(0.0, left)))
    watch.look()
    return baseline(watch.record, question, watch.elapsed)


class _Watch:
    def __init__(self, world: World, question: verdict.Question, plan: Plan) -> None:
        self.world = world
        self.question = question
        self.plan = plan
        self.record = Record()
        self.started = world.clock() - plan.already_seconds
        self.said_at: float | None = None
        self.asked_at = 0.0
        self.checked_windows = 0
        self.end = plan.soak_seconds
        self.judgement: policy.Judgement | None = None
        self.findings: list[policy.Finding] = []

    @property
    def elapsed(self) -> float:
        return self.world.clock() - self.started

    def look(self) -> None:
        readings = self.world.look()
        self.record.take(readings, self.elapsed)

    def step(self) -> bool:
        """One look and what follows from it; True once the watch is over."""
        self.look()
        if self.record.lag_seconds and self.end == self.plan.soak_seconds:
            self.end += self.record.lag_seconds
        if self._breaks_off() or self._is_decided():
            return True
        self.say(self.line())
        return False

    def _breaks_off(self) -> bool:
        """A breach that time does not heal ends the watch at once."""
        findings = [f for f in verdict.urgent(self.record, self.question) if f.action == policy.ROLL_BACK]
        closed = int(self.elapsed // self.question.window_seconds)
        if not findings and closed > self.checked_windows:
            self.checked_windows = closed
            findings = verdict.proven(self.record, self.question)
        if findings:
            self._judge(findings, is_over=True)
        return bool(findings)

    def _is_decided(self) -> bool:
        if self.elapsed < self.end:
            return False
        limits = self.question.limits
        findings = verdict.final(self.record, self.question)
        is_over = self.elapsed >= self.plan.longest(limits.extensions) + self.record.lag_seconds
        if findings and not is_over and all(f.action == policy.HOLD and f.heals for f in findings):
            self.findings = findings
            # Looked at again when a window closes, not at every look: who asks
            # often enough gets the answer he wants.
            self.end = self.elapsed + min(self.question.window_seconds, self.plan.soak_seconds)
            self.world.say(f"holding, watching on: {findings[0].reason}")
            return False
        self._judge(findings, is_over=True)
        return True

    def _judge(self, findings: list[policy.Finding], is_over: bool) -> None:
        self.findings = findings
        self.judgement = policy.judge(findings, is_over, self.plan.is_attended, self.plan.unattended)

    def say(self, line: str) -> None:
        """Now, if the line would come too late after another round as long as the last one."""
        now = self.elapsed
        round_seconds, self.asked_at = now - self.asked_at, now
        if self.said_at is None or now - self.said_at + round_seconds > LINE_SECONDS:
            self.said_at = now
            self.world.say(line)

    def line(self) -> str:
        parts = [f"soak {_minutes(self.elapsed)} of {_minutes(self.end)}"]
        for source in self.record.sources.values():
            if source.error:
                parts.append(f"{source.name}: cannot be read")
            elif source.measures:
                parts.append(f"{source.name}: {_line(source.total(self.question.watched(source)))}")
        return " | ".join(parts)

    def outcome(self) -> dict[str, t.Any]:
        judgement = t.cast(policy.Judgement, self.judgement)
        return {
            **judgement.facts(),
            "findings": [finding.facts() for finding in self.findings],
            "alerts": verdict.alerts(self.record, self.question),
            "elapsed_seconds": round(self.elapsed, 1),
            **figures(self.record, self.question),
        }


def figures(record: Record, question: verdict.Question) -> dict[str, t.Any]:
    """What is returned beside the verdict: per provider, per server, per window."""
    providers: dict[str, t.Any] = {}
    members: dict[str, t.Any] = {}
    others: dict[str, t.Any] = {}
    windows: list[dict[str, t.Any]] = []
    for source in record.sources.values():
        watched = question.watched(source)
        providers[source.name] = {
            "kind": source.kind,
            "measures": list(source.measures),
            "error": source.error,
            "notes": source.notes,
            **source.figures,
            **(source.total(watched).figures() if source.measures else {}),
        }
        if not source.measures:
            continue
        for server in () if source.is_whole else watched:
            members.setdefault(server, {})[source.name] = source.total((server,)).figures()
        for server in () if source.is_whole else question.others:
            others.setdefault(server, {})[source.name] = source.total((server,)).figures()
        for slot, tally in source.over(watched):
            windows.append({"provider": source.name, "window": slot + 1, **tally.figures()})
    return {"providers": providers, "members": members, "others": others, "windows": windows}


def baseline(record: Record, question: verdict.Question, seconds: float) -> dict[str, t.Any]:
    """The figures of the untouched system; whether they are enough to compare with is said, not assumed."""
    found = figures(record, question)
    # Response times come from one place; a provider that has them is the better witness.
    sources = record.measuring("p95") or record.measuring("errors")
    tally = sources[0].total(question.watched(sources[0])) if sources else Tally()
    errors = [
        f"{source.name} cannot be read: {source.error}" for source in record.sources.values() if source.error
    ]
    if tally.requests < question.minimum_requests:
        errors.append(f"{tally.requests} requests were seen, a baseline needs {question.minimum_requests}")
    return {
        "verdict": "inconclusive" if errors else "pass",
        "action": policy.HOLD if errors else policy.PASS,
        "trigger": "inconclusive" if errors else "",
        "reasons": errors,
        "findings": [],
        "alerts": [],
        "elapsed_seconds": round(seconds, 1),
        **found,
        "readiness": [
            {
                "item": "gate baseline",
                "kind": "gate",
                "required": f"{question.minimum_requests} requests of the untouched system",
                "found": "; ".join(errors) or f"{tally.requests} requests",
                "read_by": ", ".join(source.name for source in sources) or "no provider",
                "state": "open" if errors else "met",
            }
        ],
        "baseline": {
            "seconds": round(seconds, 1),
            "requests": tally.requests,
            "error_percent": percent(tally.rate),
            "p95_ms": tally.p95,
            "is_sufficient": not errors,
            "providers": {
                source.name: source.total(question.watched(source)).figures() for source in sources
            },
            "queries": [query for facts in found["providers"].values() for query in facts.get("queries", [])],
        },
    }


def _line(tally: Tally) -> str:
    if not tally.requests:
        return "no request yet"
    p95 = "" if tally.p95 is None else f", p95 {tally.p95} ms"
    return f"{tally.requests} requests, {tally.errors} failed ({100 * (tally.rate or 0):.2f} %){p95}"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
