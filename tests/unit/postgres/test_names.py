# SPDX-License-Identifier: GPL-3.0-or-later
"""Names as Prisma makes them, and identifiers of any spelling."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._postgres.names import (
    MAX_BYTES,
    cut,
    distinct,
    object_name,
)

NAMES = st.text(min_size=1, max_size=80)


def test_the_runbooks_names() -> None:
    assert object_name("EmailAccount", ["organizationId"], "idx") == "EmailAccount_organizationId_idx"
    assert object_name("EmailAccount", ["organizationId"], "fkey") == "EmailAccount_organizationId_fkey"
    assert object_name("OrganizationMember", ["userId", "organizationId"], "key") == (
        "OrganizationMember_userId_organizationId_key"
    )
    assert object_name("Organization", (), "pkey") == "Organization_pkey"


@given(NAMES, st.lists(NAMES, min_size=1, max_size=3), st.sampled_from(["pkey", "key", "idx", "fkey"]))
def test_a_name_fits_and_keeps_its_kind(table: str, columns: list[str], kind: str) -> None:
    name = object_name(table, columns, kind)
    assert len(name.encode()) <= MAX_BYTES
    assert name.endswith(f"_{kind}")


def test_a_long_name_is_cut_before_its_kind() -> None:
    assert object_name("T" * 70, ["column"], "idx") == "T" * 59 + "_idx"


@given(st.lists(NAMES, min_size=1, max_size=8, unique=True))
def test_names_cut_to_the_same_text_are_told_apart(tables: list[str]) -> None:
    names = {table: object_name("x" * 70 + table, ["c"], "idx") for table in tables}
    told = distinct(names)
    assert len(set(told.values())) == len(tables)
    assert all(len(name.encode()) <= MAX_BYTES for name in told.values())
    assert told == distinct(names)


def test_the_first_keeps_prismas_name() -> None:
    assert distinct({"a": "x_idx", "b": "x_idx"})["a"] == "x_idx"


@given(st.text(max_size=40), st.integers(0, 30))
def test_half_a_character_is_never_left(text: str, size: int) -> None:
    assert text.startswith(cut(text, size))
    assert len(cut(text, size).encode()) <= size
