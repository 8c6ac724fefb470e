# SPDX-License-Identifier: GPL-3.0-or-later
"""Composed SQL: nothing in a name or a value is ever read as SQL or as a placeholder."""

from __future__ import annotations

import typing as t

from hypothesis import given
from hypothesis import strategies as st
from psycopg2 import sql

from ansible_collections.emailai.migration.plugins.module_utils._postgres.statement import (
    compose,
    join,
    value,
    values,
)

NAME = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=20)


def flat(part: t.Any) -> list[t.Any]:
    """The pieces of a composition, in order."""
    return [leaf for one in part.seq for leaf in flat(one)] if isinstance(part, sql.Composed) else [part]


@given(NAME, NAME)
def test_a_name_stays_an_identifier(schema: str, table: str) -> None:
    parts = flat(compose("SELECT 1 FROM {table} t", table=(schema, table)))
    assert parts == [sql.SQL("SELECT 1 FROM "), sql.Identifier(schema, table), sql.SQL(" t")]


def test_braces_and_percent_in_a_name_are_not_read_again() -> None:
    inner = compose("{name} = 1", name="{other} %s")
    assert flat(compose("SELECT {inner}", inner=inner))[1] == sql.Identifier("{other} %s")


@given(st.lists(NAME, max_size=5))
def test_an_array_literal_can_be_read_back(keys: list[str]) -> None:
    literal = values(keys).wrapped  # type: ignore[attr-defined]
    assert read_array(literal) == keys


def read_array(literal: str) -> list[str]:
    """PostgreSQL's own rule for quoted elements."""
    elements, current, inside, position = [], "", False, 1
    while position < len(literal):
        sign = literal[position]
        if sign == "\\" and inside:
            position += 1
            current += literal[position]
        elif sign == '"':
            if inside:
                elements.append(current)
                current = ""
            inside = not inside
        elif inside:
            current += sign
        position += 1
    return elements


def test_values_and_lists() -> None:
    assert flat(compose("{a}, {b}", a=value(1), b=join(["x", "y"])))[0] == sql.Literal(1)
