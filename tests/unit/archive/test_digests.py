# SPDX-License-Identifier: GPL-3.0-or-later
"""How the number of a row is made of its values."""

from __future__ import annotations

from ansible_collections.emailai.migration.plugins.module_utils._archive import digests


def test_each_hash_is_the_seed_of_the_next() -> None:
    inner = 'hashtextextended(t.a COLLATE "C", 0)'
    assert digests.row_number(["t.a", "t.b"]) == f'hashtextextended(t.b COLLATE "C", {inner})'


def test_rows_without_columns_are_only_counted() -> None:
    assert digests.row_number([]) == "0"


def test_a_very_wide_row_is_taken_as_one_text() -> None:
    assert digests.row_number(["t.a"] * 201) == 'hashtextextended(t::text COLLATE "C", 0)'
    assert digests.row_number(["t.a"] * 200).count("hashtextextended") == 200
