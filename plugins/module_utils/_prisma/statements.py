# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SQL of a Prisma migration makes, read from its text; nothing of the world."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

_TOKEN: t.Final = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"'
    r"|(?P<tag>\$\w*\$).*?(?P=tag)"
    r"|(?P<end>;)|.",
    re.DOTALL,
)
_NAME: t.Final = r'(?:"[^"]+"\.)?(?:"(?P<{0}>[^"]+)"|(?P<{0}_bare>\w+))'
_TYPE: t.Final = re.compile(r"CREATE TYPE " + _NAME.format("name") + r" AS ENUM\b", re.IGNORECASE)
_TABLE: t.Final = re.compile(
    r"CREATE TABLE (?:IF NOT EXISTS )?" + _NAME.format("name") + r" ?\(", re.IGNORECASE
)
_INDEX: t.Final = re.compile(
    r"CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?"
    + _NAME.format("name")
    + r" ON (?:ONLY )?"
    + _NAME.format("table"),
    re.IGNORECASE,
)
_ALTER: t.Final = re.compile(
    r"ALTER TABLE (?:ONLY )?" + _NAME.format("table") + r" (?P<clauses>.*)", re.IGNORECASE
)
_COLUMN: t.Final = re.compile(r"ADD COLUMN (?:IF NOT EXISTS )?" + _NAME.format("name"), re.IGNORECASE)
_KEY: t.Final = re.compile(r"ADD CONSTRAINT " + _NAME.format("name") + r" FOREIGN KEY\b", re.IGNORECASE)
_ON_DELETE: t.Final = re.compile(
    r"ON DELETE (CASCADE|SET NULL|SET DEFAULT|RESTRICT|NO ACTION)", re.IGNORECASE
)


@dataclass(frozen=True)
class Made:
    """One object that a statement makes. ``on_delete`` is of a foreign key only."""

    thing: str
    table: str
    name: str
    on_delete: str = ""


def split(text: str) -> list[str]:
    """The statements of a file, each on one line, without comments."""
    statements, part = [], ""
    for token in _TOKEN.finditer(text):
        if token["end"]:
            statements.append(part)
            part = ""
        else:
            part += " " if token["comment"] else token[0]
    return [" ".join(one.split()) for one in [*statements, part] if one.strip()]


def made_by(statement: str) -> list[Made] | None:
    """What a statement makes; None for one that does anything else, which only Prisma can judge."""
    found = _TYPE.match(statement)
    if found:
        return [Made(f"type {_of(found, 'name')}", "", _of(found, "name"))]
    found = _TABLE.match(statement)
    if found:
        return [Made(f"table {_of(found, 'name')}", "", _of(found, "name"))]
    found = _INDEX.match(statement)
    if found:
        return [Made(f"index {_of(found, 'name')}", _of(found, "table"), _of(found, "name"))]
    found = _ALTER.match(statement)
    return _added(_of(found, "table"), found["clauses"]) if found else None


def _added(table: str, clauses: str) -> list[Made] | None:
    made = []
    for clause in _clauses(clauses):
        column, key = _COLUMN.match(clause), _KEY.match(clause)
        if column:
            name = _of(column, "name")
            made.append(Made(f"column {table}.{name}", table, name))
        elif key:
            action = _ON_DELETE.search(clause)
            name = _of(key, "name")
            made.append(Made(f"key {name}", table, name, action[1].upper() if action else "NO ACTION"))
        else:
            return None
    return made


def _clauses(text: str) -> list[str]:
    """Split at commas that stand in no bracket and in no quotes."""
    parts, depth = [""], 0
    for token in _TOKEN.finditer(text):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if token[0] == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token[0]
    return [part.strip() for part in parts]


def _of(found: re.Match[str], group: str) -> str:
    return found[group] or found[f"{group}_bare"].lower()
