# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the figures of a kind in what the phases handed to the journal.

A phase's outcome is free JSON. What is looked for here is a shape, wherever in
the outcome it stands:

- a *verdict* of a gate: a dict with ``verdict``, under whatever name,
- a *check*: a list ``checks`` of ``{name|check, state|result, count}``,
- a *finding*: a list ``findings`` of ``{name|kind|check, count, ids, repair}``,
- a *prediction*: two dicts ``predicted`` and ``actual`` side by side.
"""

from __future__ import annotations

import typing as t

Json = t.Dict[str, t.Any]

NAMES: t.Final = ("name", "metric", "check", "kind", "item", "id")
STATES: t.Final = ("verdict", "state", "result", "status", "outcome")
# Results of a check that somebody has to look at.
FOUND: t.Final = ("finding", "findings", "failed", "inconclusive")
_DEEPEST: t.Final = 8


def walk(value: t.Any, depth: int = 0) -> t.Iterator[Json]:
    """Each dict in a structure, the outermost first."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, depth + 1)


def name_of(row: t.Mapping[str, t.Any]) -> str:
    return next((str(row[key]) for key in NAMES if row.get(key) is not None), "")


def state_of(row: t.Mapping[str, t.Any]) -> str:
    return next((str(row[key]) for key in STATES if isinstance(row.get(key), str)), "")


def phase(document: t.Mapping[str, t.Any], name: str) -> t.Optional[Json]:
    return next((row for row in document.get("phases", ()) if row["name"] == name), None)


def outcome(document: t.Mapping[str, t.Any], name: str) -> Json:
    found = phase(document, name)
    return dict(found["outcome"]) if found and isinstance(found.get("outcome"), dict) else {}


def listed(document: t.Mapping[str, t.Any], key: str) -> list[Json]:
    """Every row of every list of that name, with the phase it comes from. A list of one phase counts once."""
    rows: list[Json] = []
    for each in document.get("phases", ()):
        seen: list[Json] = []
        for part in walk(each.get("outcome")):
            found = part.get(key)
            if isinstance(found, list):
                seen += [
                    dict(row, phase=each["name"])
                    for row in found
                    if isinstance(row, dict) and row not in seen
                ]
        rows += seen
    return rows


def findings(document: t.Mapping[str, t.Any]) -> list[Json]:
    """What a phase listed, and each check that did not simply pass. A name counts once a phase."""
    rows = listed(document, "findings")
    known = {(row["phase"], name_of(row)) for row in rows}
    failed = [row for row in listed(document, "checks") if state_of(row) in FOUND]
    return rows + [row for row in failed if (row["phase"], name_of(row)) not in known]


def verdicts(document: t.Mapping[str, t.Any]) -> list[Json]:
    """Everything a gate said, with its phase and the name it stands under."""
    return [
        dict(row, name=name or each["name"], phase=each["name"])
        for each in document.get("phases", ())
        for name, row in _named("", each.get("outcome"))
        if isinstance(row.get("verdict"), str)
    ]


def _named(name: str, value: t.Any, depth: int = 0) -> t.Iterator[tuple[str, Json]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        yield name_of(value) or name, value
        for key, inner in value.items():
            yield from _named(str(key), inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(name, inner, depth + 1)


def predictions(document: t.Mapping[str, t.Any]) -> list[Json]:
    """Each figure that was predicted, beside what it became."""
    rows = []
    for each in document.get("phases", ()):
        for part in walk(each.get("outcome")):
            predicted, actual = part.get("predicted"), part.get("actual")
            if isinstance(predicted, dict):
                actual = actual if isinstance(actual, dict) else {}
                rows += [
                    {"phase": each["name"], "name": name, "predicted": value, "actual": actual.get(name)}
                    for name, value in predicted.items()
                ]
    return rows
