# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the time of a rollout went: what the application needs, and what the tool adds. Touches nothing."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

Interval = tuple[float, float]


@dataclass(frozen=True)
class Event:
    """One line of the stopwatch."""

    at: float
    event: str
    name: str = ""
    host: str = ""


@dataclass(frozen=True)
class Span:
    """A task or a play, from its beginning to that of the next."""

    name: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def read(lines: t.Iterable[str]) -> list[Event]:
    return [Event(**json.loads(line)) for line in lines if line.strip()]


def spans(events: t.Sequence[Event], kind: str) -> list[Span]:
    """Plays end where the next one begins, tasks also where a play does; each batch is a play of its own."""
    ends = {"play": {"play", "over"}, "task": {"play", "task", "over"}}[kind]
    marks = [event for event in events if event.event in ends]
    return [
        Span(mark.name, mark.at, after.at)
        for mark, after in zip(marks, marks[1:], strict=False)
        if mark.event == kind
    ]


def within(found: t.Iterable[Span], frames: t.Sequence[Span]) -> list[Span]:
    """Those that began while one of the frames lasted."""
    return [span for span in found if any(frame.began <= span.began < frame.ended for frame in frames)]


def union(intervals: t.Iterable[Interval]) -> float:
    """The seconds that at least one of the intervals covers."""
    total, reached = 0.0, float("-inf")
    for began, ended in sorted(intervals):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return total


def overhead(frames: t.Sequence[Span], needed: t.Iterable[Interval]) -> float:
    """The seconds of the frames in which nothing that is needed anyhow was going on."""
    clipped = [
        (max(began, frame.began), min(ended, frame.ended))
        for began, ended in needed
        for frame in frames
        if began < frame.ended and ended > frame.began
    ]
    return sum(frame.seconds for frame in frames) - union(clipped)


def by_name(found: t.Iterable[Span]) -> list[tuple[str, float, int]]:
    """Seconds and number of the spans of each name, the longest first."""
    seconds: dict[str, list[float]] = {}
    for span in found:
        seconds.setdefault(span.name, []).append(span.seconds)
    rows = [(name, sum(each), len(each)) for name, each in seconds.items()]
    return sorted(rows, key=lambda row: -row[1])
