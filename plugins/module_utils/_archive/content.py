# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database holds, as a backup remembers it, and where two of them differ. Pure."""

from __future__ import annotations

import hashlib
import re
import typing as t

# {"tables": {name: {"rows": n, "digest": text}}, "sequences": {name: {...}},
#  "schema": {kind: {name: digest}}, "grants": {name: digest}, "extensions": {...}, "large_objects": {...}}
Content = t.Dict[str, t.Any]

# An expression is stored as a tree and shown as text; after a dump and a restore
# PostgreSQL shows `x = ANY ((ARRAY['a'::varchar])::text[])` as
# `x = ANY (ARRAY[('a'::varchar)::text])`. Casts between the text types,
# parentheses and spaces are therefore no difference.
_TEXT_CASTS = re.compile(r"::(?:character varying|varchar|text|bpchar|character)(?:\(\d+\))?(?:\[\])*")
_NOISE = re.compile(r"[\s()]+")


def settled(definition: str) -> str:
    """A definition as it survives a dump and a restore."""
    return _NOISE.sub("", _TEXT_CASTS.sub("", definition))


def digest_of(definition: str) -> str:
    return hashlib.sha256(settled(definition).encode()).hexdigest()[:16]


def compare(expected: Content, found: Content, with_grants: bool, same_major: bool) -> list[str]:
    """One line a difference; none means that the two databases hold the same.

    Another major may describe the same schema in other words, so there only the
    data is compared. Grants count where the restore was to keep them.
    """
    differences = _tables(expected["tables"], found["tables"])
    differences += _sequences(expected["sequences"], found["sequences"])
    differences += _large_objects(expected["large_objects"], found["large_objects"])
    if same_major:
        kinds = sorted(set(expected["schema"]) | set(found["schema"]))
        for kind in kinds:
            differences += _named(kind, expected["schema"].get(kind, {}), found["schema"].get(kind, {}))
        if with_grants:
            differences += _named("grants of", expected["grants"], found["grants"])
    return differences


def changed_tables(before: Content, now: Content) -> dict[str, dict[str, int]]:
    """Tables whose content is another than before, with the rows then and now."""
    changed = {}
    for name in sorted(set(before["tables"]) | set(now["tables"])):
        then, today = before["tables"].get(name), now["tables"].get(name)
        if then != today:
            changed[name] = {
                "rows_then": (then or {}).get("rows", 0),
                "rows_now": (today or {}).get("rows", 0),
            }
    return changed


def _tables(expected: dict[str, t.Any], found: dict[str, t.Any]) -> list[str]:
    lines = []
    for name in sorted(set(expected) | set(found)):
        if name not in found:
            lines.append(f"table {name} is missing")
        elif name not in expected:
            lines.append(f"table {name} is not in the backup")
        elif expected[name]["rows"] != found[name]["rows"]:
            lines.append(f"table {name} has {found[name]['rows']} rows instead of {expected[name]['rows']}")
        elif expected[name]["digest"] != found[name]["digest"]:
            lines.append(f"table {name} has the same number of rows with another content")
    return lines


def _large_objects(expected: dict[str, t.Any], found: dict[str, t.Any]) -> list[str]:
    if expected["count"] != found["count"]:
        return [f"there are {found['count']} large objects instead of {expected['count']}"]
    both = (expected["digest"], found["digest"])
    # Only a superuser may read their content; without one their number is what can be compared.
    return ["large objects have another content"] if None not in both and both[0] != both[1] else []


def _sequences(expected: dict[str, t.Any], found: dict[str, t.Any]) -> list[str]:
    """A sequence stands outside snapshots: the dump reads it later, so it may be ahead, never behind."""
    lines = []
    for name, then in sorted(expected.items()):
        now = found.get(name)
        if now is None:
            lines.append(f"sequence {name} is missing")
        elif not then["cycles"] and then["value"] is not None and _is_behind(then, now["value"]):
            lines.append(f"sequence {name} stands at {now['value']}, behind {then['value']}")
    return lines


def _is_behind(then: dict[str, t.Any], value: t.Any) -> bool:
    if value is None:
        return True
    ahead: bool = value >= then["value"] if then["increment"] > 0 else value <= then["value"]
    return not ahead


def _named(kind: str, expected: dict[str, str], found: dict[str, str]) -> list[str]:
    lines = []
    for name in sorted(set(expected) | set(found)):
        if expected.get(name) != found.get(name):
            fault = (
                "is missing"
                if name not in found
                else "differs"
                if name in expected
                else "is not in the backup"
            )
            lines.append(f"{kind} {name} {fault}")
    return lines
