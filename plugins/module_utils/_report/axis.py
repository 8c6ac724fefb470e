# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of a run: its phases on a time axis, and the service's latency and errors over the same time."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._report import clock
from ansible_collections.emailai.migration.plugins.module_utils._report.html import Html, el

_WIDTH: t.Final = 960
_LEFT: t.Final = 110
_RIGHT: t.Final = 90
_ROW: t.Final = 26
_STEPS: t.Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800)
_BARS: t.Final = {"completed": "bar-good", "failed": "bar-bad"}


@dataclass(frozen=True)
class Axis:
    """Moments to places on the page."""

    start: datetime.datetime
    end: datetime.datetime

    @property
    def seconds(self) -> float:
        return max((self.end - self.start).total_seconds(), 1.0)

    def place(self, when: datetime.datetime) -> float:
        share = min(max((when - self.start).total_seconds() / self.seconds, 0.0), 1.0)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)

    def ticks(self) -> t.Iterator[tuple[float, str]]:
        step = next((each for each in _STEPS if self.seconds / each <= 8), self.seconds / 8)
        offset = 0.0
        while offset <= self.seconds:
            when = self.start + datetime.timedelta(seconds=offset)
            yield (
                self.place(when),
                when.strftime("%d %b" if step >= 86400 else "%H:%M:%S" if step < 60 else "%H:%M"),
            )
            offset += step


def axis_of(phases: t.Sequence[t.Mapping[str, t.Any]], until: t.Any) -> t.Optional[Axis]:
    """From the first phase's start to the last one's end, or to ``until`` while one is open."""
    starts = [found for row in phases if (found := clock.moment(row["started_at"]))]
    ends = [found for row in phases if (found := clock.moment(row["finished_at"] or until))]
    return Axis(min(starts), max(starts + ends)) if starts else None


def draw_phases(phases: t.Sequence[t.Mapping[str, t.Any]], until: t.Any) -> Html:
    axis = axis_of(phases, until)
    if axis is None:
        return el("p", "No phase has begun yet.", class_="soft")
    height = _ROW * len(phases) + 34
    return _svg(
        "Phases on a time axis",
        height,
        _grid(axis, height - 24),
        [_bar(axis, row, 6 + index * _ROW, until) for index, row in enumerate(phases)],
    )


def draw_load(
    windows: t.Sequence[t.Mapping[str, t.Any]],
    phases: t.Sequence[t.Mapping[str, t.Any]],
    until: t.Any,
    axis: Axis,
) -> Html:
    """p95 as a curve, failed answers as bars, phases as bands. What was not measured is left out."""
    height, floor = 190, 130.0
    points = [
        (axis.place(when), float(row["p95_ms"]))
        for row in windows
        if (when := clock.moment(row.get("at"))) and isinstance(row.get("p95_ms"), (int, float))
    ]
    highest = max([value for _ignored, value in points] + [1.0])
    curve = " ".join(f"{x},{round(floor - value / highest * 105, 1)}" for x, value in points)
    return _svg(
        "Latency and failed answers over the run",
        height,
        [
            [_band(axis, row, until, height - 24, number % 2) for number, row in enumerate(phases)],
            _grid(axis, height - 24),
            el("text", f"p95 {highest:.0f} ms", x=0, y=29, class_="soft"),
            el("text", "0 ms", x=0, y=floor, class_="soft"),
            el("text", "failed", x=0, y=160, class_="soft"),
            el("polyline", points=curve, class_="curve") if points else None,
            [_failures(axis, row) for row in windows],
        ],
    )


def _band(axis: Axis, row: t.Mapping[str, t.Any], until: t.Any, bottom: int, number: int) -> list[t.Any]:
    """A phase as a strip behind the curve, with its name where there is room for it."""
    start, end = clock.moment(row["started_at"]), clock.moment(row["finished_at"] or until)
    if start is None or end is None:
        return []
    left, wide = axis.place(start), round(max(axis.place(end) - axis.place(start), 0), 1)
    name = (
        el("text", row["name"], x=left + 4, y=11, class_="soft") if wide > 7 * len(row["name"]) + 8 else None
    )
    strip = el(
        "rect", el("title", row["name"]), x=left, y=0, width=wide, height=bottom, class_=f"band{number}"
    )
    return [strip, name]


def _bar(axis: Axis, row: t.Mapping[str, t.Any], top: int, until: t.Any) -> list[t.Any]:
    start, end = clock.moment(row["started_at"]), clock.moment(row["finished_at"] or until)
    if start is None:
        return []
    left, right = axis.place(start), axis.place(end or start)
    took = (
        clock.duration(clock.seconds_between(row["started_at"], row["finished_at"]))
        if row["finished_at"]
        else "open"
    )
    return [
        el("text", row["name"], x=0, y=top + 14),
        el(
            "rect",
            el("title", f"{row['name']}: {row['state']}, {took}"),
            x=left,
            y=top + 2,
            rx=3,
            height=16,
            width=max(round(right - left, 1), 3),
            class_=_BARS.get(row["state"], "bar-wait"),
        ),
        el("text", took, x=max(right, left + 3) + 6, y=top + 14, class_="soft"),
    ]


def _failures(axis: Axis, row: t.Mapping[str, t.Any]) -> t.Optional[Html]:
    when, failed = clock.moment(row.get("at")), row.get("failed")
    if when is None or not isinstance(failed, (int, float)) or failed <= 0:
        return None
    tall = min(4 + float(failed), 22.0)
    return el(
        "rect",
        el("title", f"{failed} failed"),
        x=axis.place(when),
        y=163 - tall,
        width=3,
        height=tall,
        class_="errors",
    )


def _grid(axis: Axis, bottom: int) -> list[Html]:
    return [
        part
        for x, label in axis.ticks()
        for part in (
            el("line", x1=x, x2=x, y1=0, y2=bottom, class_="grid"),
            el("text", label, x=x, y=bottom + 16, class_="soft", text_anchor="middle"),
        )
    ]


def _svg(label: str, height: int, *parts: t.Any) -> Html:
    drawing = el("svg", *parts, viewBox=f"0 0 {_WIDTH} {height}", role="img", aria_label=label)
    return el("div", drawing, class_="scroll")
