# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the record of a watch proves about a release. Pure: figures in, findings out."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._gate import happenings, statistics
from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits
from ansible_collections.emailai.migration.plugins.module_utils._gate.policy import Finding
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import WHOLE
from ansible_collections.emailai.migration.plugins.module_utils._gate.record import (
    NOBODY,
    Record,
    Source,
    joined,
)
from ansible_collections.emailai.migration.plugins.module_utils._gate.tally import Tally

_UNNAMED: t.Final = (*NOBODY, WHOLE)


@dataclass(frozen=True)
class Question:
    """Which servers are judged, against what. Without members all servers are, together and each."""

    limits: Limits = field(default_factory=Limits)
    members: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    window_seconds: int = 60
    minimum_requests: int = 100
    baseline: t.Mapping[str, t.Any] = field(default_factory=dict)

    def watched(self, source: Source) -> tuple[str, ...]:
        if source.is_whole:
            return (WHOLE,)
        return self.members or tuple(server for server in source.servers() if server not in self.others)

    def scopes(self, source: Source) -> list[tuple[str, tuple[str, ...]]]:
        """Each server alone, so that none hides behind the others, and all together."""
        watched = self.watched(source)
        alone: list[tuple[str, tuple[str, ...]]] = [
            (server, (server,)) for server in watched if server not in _UNNAMED
        ]
        return [*alone, ("", watched)] if len(watched) != 1 or not alone else alone


def urgent(record: Record, question: Question) -> list[Finding]:
    """What cannot wait for the end of the watch: asked after every look."""
    findings = [f for source in record.measuring("errors") for f in _hard_breaches(source, question)]
    return findings + happenings.findings(record, question.limits)


def proven(record: Record, question: Question) -> list[Finding]:
    """Error rates of 2 to 5 percent that more requests would not change: asked as windows close."""
    return [
        finding
        for source in record.measuring("errors")
        for scope, servers in question.scopes(source)
        for finding in _proven_errors(source, scope, servers, question.limits, question.limits.windows_over)
    ]


def final(record: Record, question: Question) -> list[Finding]:
    """Everything that stands against the release at the end of the watch."""
    findings = urgent(record, question)
    for source in record.measuring("errors"):
        for scope, servers in question.scopes(source):
            findings += _soft_errors(source, scope, servers, question)
    for source in record.measuring("p95"):
        for scope, servers in question.scopes(source):
            findings += _slow(source, scope, servers, question)
    if question.limits.alerts_hold:
        findings += [Finding("alert", text) for text in alerts(record, question)]
    return findings + _unknown(record, question)


def alerts(record: Record, question: Question) -> list[str]:
    """The runbook's three alerts. They tell people; they are no gate of themselves."""
    limits = question.limits
    found = []
    for source in record.measuring("errors"):
        for slot, tally in source.over(source.servers()):
            per_minute = tally.errors * 60 / question.window_seconds
            if per_minute > limits.alert_errors_per_minute:
                found.append(f"{source.name}: {per_minute:.0f} errors a minute in window {slot + 1}")
    for source in record.sources.values():
        for query in source.figures.get("queries", []):
            if query["mean_ms"] > limits.alert_query_ms:
                found.append(
                    f"{source.name}: a query takes {query['mean_ms']:.0f} ms on average: {query['query']}"
                )
    return found + happenings.failed_logins(record, limits)


def _hard_breaches(source: Source, question: Question) -> t.Iterator[Finding]:
    limits = question.limits
    for scope, servers in question.scopes(source):
        windows = [tally for _slot, tally in source.over(servers)]
        # Over everything, for what is slowly true; and window by window, so
        # that an hour of good answers does not hide a bad minute.
        for tally in [source.total(servers), *windows]:
            if _is_hard(tally, limits):
                rate = 100 * (tally.rate or 0)
                yield Finding(
                    "error_rate_over_5",
                    f"{_who(scope, servers)} failed {tally.errors} of {tally.requests} requests"
                    f" ({rate:.1f} %, limit {limits.error_percent_roll_back:g} %) by {source.name}"
                    + _against_others(tally, source, question),
                    source.name,
                    scope,
                )
                break


def _is_hard(tally: Tally, limits: Limits) -> bool:
    bad = limits.error_percent_roll_back / 100
    return (tally.rate or 0) > bad and statistics.sequential_test(
        tally.requests, tally.errors, limits.error_percent_ask / 100, bad, limits.hard_false_alarm
    )


def _proven_errors(
    source: Source, scope: str, servers: tuple[str, ...], limits: Limits, windows_over: int
) -> t.Iterator[Finding]:
    tally = source.total(servers)
    hold = limits.error_percent_hold / 100
    if (tally.rate or 0) <= limits.error_percent_ask / 100:
        return
    over, of = _count_over(source, servers, limits, lambda window: (window.rate or 0) > hold)
    chance = statistics.tail(tally.requests, tally.errors, hold)
    if over >= windows_over and chance <= limits.soft_false_alarm:
        yield Finding(
            "error_rate_2_to_5",
            f"{_who(scope, servers)} failed {tally.errors} of {tally.requests} requests"
            f" ({100 * (tally.rate or 0):.1f} %, limit {limits.error_percent_ask:g} %),"
            f" over {limits.error_percent_hold:g} % in {over} of {of} windows by {source.name}",
            source.name,
            scope,
        )


def _soft_errors(source: Source, scope: str, servers: tuple[str, ...], question: Question) -> list[Finding]:
    limits = question.limits
    tally = source.total(servers)
    _over, of = _count_over(source, servers, limits, lambda window: True)
    found = list(_proven_errors(source, scope, servers, limits, min(limits.windows_over, max(of, 1))))
    hold = limits.error_percent_hold / 100
    if found or (tally.rate or 0) <= hold:
        return found
    # One server alone is held for what chance hardly explains; all together for what was counted.
    if (
        scope
        and len(question.watched(source)) > 1
        and statistics.tail(tally.requests, tally.errors, hold) > 0.01
    ):
        return []
    return [
        Finding(
            "error_rate_1_to_2",
            f"{_who(scope, servers)} failed {tally.errors} of {tally.requests} requests"
            f" ({100 * (tally.rate or 0):.1f} %, limit {limits.error_percent_hold:g} %) by {source.name},"
            " too few to tell chance from a fault"
            * (statistics.tail(tally.requests, tally.errors, hold) > 0.01),
            source.name,
            scope,
        )
    ]


def _slow(source: Source, scope: str, servers: tuple[str, ...], question: Question) -> t.Iterator[Finding]:
    limits = question.limits
    who = _who(scope, servers)
    over, of = _count_over(source, servers, limits, lambda window: (window.p95 or 0) >= limits.p95_ms)
    if limits.p95_ms and of and over >= min(limits.windows_over, of):
        yield Finding(
            "slow",
            f"p95 of {who} was {limits.p95_ms:g} ms or more in {over} of {of} windows by {source.name}"
            f"; over the whole watch it was {source.total(servers).p95} ms",
            source.name,
            scope,
        )
    for before, name in _references(source, question):
        bound = max(before * (1 + limits.slower_percent / 100), before + limits.slower_floor_ms)
        over, of = _count_over(source, servers, limits, _exceeds(bound))
        if of and over >= min(limits.windows_over, of):
            yield Finding(
                "slower_than_before",
                f"p95 of {who} is {source.total(servers).p95} ms, {name} {before:g} ms: more than"
                f" {limits.slower_percent:g} % worse in {over} of {of} windows by {source.name}",
                source.name,
                scope,
            )


def _references(source: Source, question: Question) -> t.Iterator[tuple[float, str]]:
    """What a response time is held against: the time before the run, and the old servers now."""
    before = baseline_p95(question.baseline, source.name)
    if before is not None:
        yield before, "before the run it was"
    others = source.total(question.others)
    if others.p95 is not None and others.requests >= question.minimum_requests:
        yield float(others.p95), "on the servers not yet updated"


def baseline_p95(baseline: t.Mapping[str, t.Any], provider: str) -> float | None:
    own = baseline.get("providers", {}).get(provider, {}).get("p95_ms")
    value = baseline.get("p95_ms") if own is None else own
    return None if value is None else float(value)


def _unknown(record: Record, question: Question) -> list[Finding]:
    """Everything that would have to be known for a pass, and is not."""
    passing = [
        f"{source.name} cannot be read: {source.error}" for source in record.sources.values() if source.error
    ]
    for source in (source for source in record.sources.values() if source.measures):
        passing += _too_few(source, question)
    lasting = [] if record.measuring("errors") or passing else ["no provider measures errors"]
    if question.limits.p95_ms:
        lasting += _unknown_times(record, question)
    return [Finding("inconclusive", reason) for reason in passing] + [
        Finding("inconclusive", reason, heals=False) for reason in lasting
    ]


def _too_few(source: Source, question: Question) -> t.Iterator[str]:
    watched = question.watched(source)
    count = source.total(watched).requests
    if count < question.minimum_requests:
        others = ", ".join(source.servers()) if not count and not source.is_whole else ""
        yield (
            f"{source.name} saw {count} of the {question.minimum_requests} requests that a judgement needs"
            + (f"; the servers it tells of are {others}" if others else "")
        )
        return
    for server in watched:
        alone = source.total((server,)).requests
        if server not in _UNNAMED and alone < min(question.limits.window_requests, question.minimum_requests):
            yield f"{source.name} saw only {alone} requests to {server}"


def _unknown_times(record: Record, question: Question) -> t.Iterator[str]:
    sources = record.measuring("p95")
    if not sources and not any(source.error for source in record.sources.values()):
        yield "no provider measures response times"
    for source in sources:
        tally = source.total(question.watched(source))
        if tally.requests and tally.p95 is None:
            yield f"{source.name} counted requests without their times"
        if baseline_p95(question.baseline, source.name) is None:
            yield f"there is no baseline of response times from before the run for {source.name}"


def _count_over(
    source: Source, servers: tuple[str, ...], limits: Limits, is_over: t.Callable[[Tally], bool]
) -> tuple[int, int]:
    """In how many of the last windows it was so, and how many these were."""
    windows = joined(source.over(servers), limits.window_requests)[-limits.windows_of :]
    return sum(1 for window in windows if is_over(window)), len(windows)


def _exceeds(bound: float) -> t.Callable[[Tally], bool]:
    return lambda window: (window.p95 or 0) > bound


def _who(scope: str, servers: t.Sequence[str]) -> str:
    if tuple(servers) == (WHOLE,):
        return "the service"
    return scope or f"all {len(servers)} servers together"


def _against_others(tally: Tally, source: Source, question: Question) -> str:
    others = source.total(question.others)
    if not others.requests:
        return ""
    low, high = statistics.difference((tally.requests, tally.errors), (others.requests, others.errors))
    rate = 100 * (others.rate or 0)
    return f"; servers not yet updated: {rate:.1f} %, difference {100 * low:.1f} to {100 * high:.1f} points"
