# SPDX-License-Identifier: GPL-3.0-or-later
"""How a stream is cut into parts, and a database into streams."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._archive import backup, parts

SIZES = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), st.integers(0, 1 << 40), max_size=30)


def test_ten_thousand_parts_hold_the_largest_object_s3_knows() -> None:
    total = sum(parts.part_bytes(index) for index in range(parts.MOST_PARTS))
    assert total >= 5 * 1024 * 1024 * parts.MIB


@given(st.integers(0, parts.MOST_PARTS - 2))
def test_parts_never_shrink_and_stay_within_what_s3_takes(index: int) -> None:
    assert 5 * parts.MIB <= parts.part_bytes(index) <= parts.part_bytes(index + 1) <= parts.LARGEST_PART


def test_a_hundred_gigabytes_travel_in_parts_that_fit_into_memory() -> None:
    sent, index = 0, 0
    while sent < 100 * 1024 * parts.MIB:
        size = parts.part_bytes(index)
        assert size * parts.parts_in_flight(size, 1) <= parts.MEMORY
        sent, index = sent + size, index + 1


@given(st.integers(1, parts.LARGEST_PART), st.integers(1, 16))
def test_at_least_one_part_travels(size: int, streams: int) -> None:
    assert 1 <= parts.parts_in_flight(size, streams) <= 4


@given(SIZES, st.integers(1, 8))
def test_groups_hold_each_large_table_once_and_no_small_one(sizes: dict[str, int], groups: int) -> None:
    made = parts.group_tables(sizes, groups)
    grouped = [name for group in made for name in group]
    large = {name for name, size in sizes.items() if size >= parts.LARGE_TABLE}
    assert sorted(grouped) == sorted(set(grouped))
    assert set(grouped) == large or not made
    assert all(group for group in made)
    assert len(made) != 1


@given(SIZES, st.integers(1, 8))
def test_groups_are_balanced(sizes: dict[str, int], groups: int) -> None:
    weights = [sum(sizes[name] for name in group) for group in parts.group_tables(sizes, groups)]
    if weights:
        assert max(weights) - min(weights) <= max(sizes.values())


@given(SIZES, st.integers(1, 8))
def test_no_table_is_left_out_of_the_backup_and_none_is_in_it_twice(
    sizes: dict[str, int], groups: int
) -> None:
    plans = backup.plan_streams(sizes, groups)
    named = [name for plan in plans for name in plan.tables]
    excluded = [o.partition("=")[2] for o in plans[-1].options if o.startswith("--exclude-table-data=")]
    assert plans[0].name == "schema"
    assert plans[-1].name == "data-rest"
    assert sorted(named) == sorted(excluded)
