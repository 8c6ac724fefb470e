# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small parts a page is made of: a badge, a table, a list of facts."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._report.html import Child, Html, el

_GOOD: t.Final = frozenset(
    [
        "completed",
        "ok",
        "pass",
        "passed",
        "proven",
        "confirmed",
        "concluded",
        "contracted",
        "met",
        "done",
        "sent",
        "healthy",
        "finished",
    ]
)
_BAD: t.Final = frozenset(["failed", "fail", "breach", "abandoned", "lost", "error", "broken"])
_WAIT: t.Final = frozenset(
    [
        "in_progress",
        "open",
        "inconclusive",
        "finding",
        "findings",
        "pending",
        "paused",
        "hold",
        "ask",
        "due",
        "not_watched",
        "rolling_back",
        "running",
    ]
)
_MOST_ROWS: t.Final = 200
_MOST_IDS: t.Final = 50


def badge(state: str) -> Html:
    kind = "good" if state in _GOOD else "bad" if state in _BAD else "wait" if state in _WAIT else "plain"
    return el("span", state.replace("_", " ") or "\u2013", class_=f"badge {kind}")


def section(anchor: str, title: str, *children: Child) -> Html:
    return el("section", el("h2", title), *children, id=anchor)


def table(heads: t.Sequence[str], rows: t.Sequence[t.Sequence[Child]]) -> Html:
    """A head that begins with # is a column of numbers, with @ one of times."""
    kinds = [{"#": "number", "@": "time"}.get(head[:1]) for head in heads]
    head = el("tr", [el("th", name.lstrip("#@"), class_=kind) for name, kind in zip(heads, kinds)])
    body = [
        el("tr", [el("td", cell, class_=kind) for cell, kind in zip(row, kinds)]) for row in rows[:_MOST_ROWS]
    ]
    more = el("p", f"{len(rows) - _MOST_ROWS} more rows stand in the JSON file.", class_="soft")
    return Html(
        el("div", el("table", el("thead", head), el("tbody", body)), class_="scroll")
        + (more if len(rows) > _MOST_ROWS else "")
    )


def facts(value: t.Any) -> Child:
    """Any JSON value, readable: dicts as terms, lists of dicts as a table, all else as text."""
    if isinstance(value, dict):
        shown = {name: inner for name, inner in value.items() if inner not in (None, "", [], {})}
        if len(shown) > 1 and all(isinstance(inner, dict) for inner in shown.values()):
            return facts([{"": name, **inner} for name, inner in shown.items()])
        return el("dl", [(el("dt", words(name)), el("dd", facts(inner))) for name, inner in shown.items()])
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        heads = list(dict.fromkeys(name for row in value for name in row))
        return table(
            [words(name) for name in heads], [[facts(row.get(name)) for name in heads] for row in value]
        )
    if isinstance(value, list):
        return ids(value)
    return scalar(value)


def ids(values: t.Any) -> str:
    if not isinstance(values, list):
        return scalar(values)
    rest = len(values) - _MOST_IDS
    return ", ".join(scalar(value) for value in values[:_MOST_IDS]) + (
        f" and {rest} more" if rest > 0 else ""
    )


def scalar(value: t.Any) -> str:
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    # A reader counts digits of a large number; a year or a port needs no comma.
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)


def count(value: t.Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else scalar(value)


def words(name: str) -> str:
    return str(name).replace("_", " ")


def command(text: str) -> Html:
    return el("code", text)
