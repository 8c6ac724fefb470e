# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the migration may begin, by what was read on all hosts: one table, one verdict, one sentence."""

from __future__ import annotations

import textwrap
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._readiness import contact
from ansible_collections.emailai.migration.plugins.module_utils._readiness.lines import Line

_STATES: t.Final = ("met", "open", "due", "not_watched")
_COLUMNS: t.Final = (("item", 34), ("required", 34), ("found", 40), ("read_by", 26), ("state", 11))
_TITLES: t.Final = {"read_by": "how it was read"}


@dataclass(frozen=True)
class Verdict:
    lines: tuple[Line, ...]
    refusal: MigrationError | None

    @property
    def open(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line["state"] == "open")

    def counts(self) -> dict[str, int]:
        return {state: sum(line["state"] == state for line in self.lines) for state in (*_STATES, "accepted")}


def judge(
    by_host: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]],
    accepted: t.Mapping[str, t.Any],
    contacts: t.Mapping[str, t.Any],
) -> Verdict:
    """Merge the hosts' lines, accept by name what cannot be watched, refuse while one line is open."""
    merged = tuple(_accept(line, accepted) for line in merge(by_host))
    found = [line for line in merged if line["state"] == "open"]
    return Verdict(merged, _refusal(found, len(merged), contacts) if found else None)


def merge(by_host: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]) -> list[Line]:
    """All lines in the hosts' order. A host that gave none is open: nobody asked it, or it did not answer.

    Where several hosts speak of an item, each line names its host.
    """
    speakers: dict[str, set[str]] = {}
    for host, given in by_host.items():
        for line in given:
            speakers.setdefault(str(line.get("item")), set()).add(host)
    result = []
    for host, given in by_host.items():
        if not given:
            result.append(_silent(host))
        for line in given:
            clean = _clean(line)
            if len(speakers[clean["item"]]) > 1:
                clean["item"] = f"{host}: {clean['item']}"
            if clean not in result:
                result.append(clean)
    return result or [_silent("every host")]


def render(lines: t.Sequence[Line]) -> str:
    """The table *required / found / how it was read*, one screen wide."""
    rows = [tuple(_TITLES.get(name, name) for name, _ignored in _COLUMNS)]
    rows += [
        tuple(line[name].replace("_", " ") if name == "state" else line[name] for name, _ignored in _COLUMNS)
        for line in lines
    ]
    widths = [min(most, max(len(row[n]) for row in rows)) for n, (_ignored, most) in enumerate(_COLUMNS)]
    text = []
    for number, row in enumerate(rows):
        text += _wrapped(row, widths)
        if number == 0:
            text.append("  ".join("-" * width for width in widths))
    return "\n".join(text)


def _wrapped(row: t.Sequence[str], widths: t.Sequence[int]) -> list[str]:
    cells = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths)]
    height = max(len(cell) for cell in cells)
    padded = [cell + [""] * (height - len(cell)) for cell in cells]
    return [
        "  ".join(cell[n].ljust(width) for cell, width in zip(padded, widths)).rstrip() for n in range(height)
    ]


def _clean(line: t.Mapping[str, t.Any]) -> Line:
    """A line of any role, with every field, and a state that is known: an unknown one is not met."""
    clean = {
        name: str(line.get(name) or "") for name in ("item", "kind", "required", "found", "read_by", "state")
    }
    if clean["state"] not in _STATES:
        clean["found"] += f" (state {clean['state'] or 'missing'})"
        clean["state"] = "open"
    return clean


def _accept(line: Line, accepted: t.Mapping[str, t.Any]) -> Line:
    """What is not watched needs somebody who answers for it; it never counts as fine by itself."""
    if line["state"] != "not_watched":
        return line
    name = accepted.get(line["item"]) or accepted.get(line["item"].rpartition(": ")[2])
    if isinstance(name, str) and name.strip():
        return dict(line, state="accepted", found=f"{line['found']}; accepted by {name}")
    return dict(line, state="open", found=f"not watched: {line['found']}")


def _silent(host: str) -> Line:
    return {
        "item": f"{host} was read",
        "kind": "",
        "required": "lines of its own",
        "found": "it gave none",
        "read_by": "the check of its role",
        "state": "open",
    }


def _refusal(found: t.Sequence[Line], total: int, contacts: t.Mapping[str, t.Any]) -> MigrationError:
    told = [
        f"{line['item']} (found: {line['found']}; required: {line['required']};"
        f" ask {contact.name(line['kind'], contacts)})"
        for line in found
    ]
    noun = "line is" if len(found) == 1 else "lines are"
    return MigrationError(
        "begin",
        "the migration",
        f"{len(found)} of {total} readiness {noun} open: {', '.join(told)}",
        _cure(found),
        kind=found[0]["kind"],
        open_items=[line["item"] for line in found],
    )


def _cure(found: t.Sequence[Line]) -> str:
    cures = []
    if any(line["kind"] == "person" for line in found):
        cures.append("confirm by name with migration_confirmations")
    if any(line["found"].startswith("not watched") for line in found):
        cures.append("accept by name with readiness_accepted what cannot be watched")
    if any(line["kind"] == "window" for line in found):
        cures.append("wait for the window, or set readiness_window")
    if any(
        line["kind"] not in ("person", "window") and not line["found"].startswith("not watched")
        for line in found
    ):
        cures.append("put right what was found")
    text = ", ".join(cures)
    return f"{text[0].upper()}{text[1:]}, and run it again"
