# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a difference between a backup and the database restored from it."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import content

CONTENT: content.Content = {
    "tables": {"public.a": {"rows": 3, "digest": "17"}, "public.b": {"rows": 0, "digest": "0"}},
    "sequences": {"public.s": {"increment": 1, "cycles": False, "value": 10}},
    "schema": {"index": {"public.i": "aa"}, "column": {"public.a.id": "bb"}},
    "grants": {"public.a": "cc"},
    "large_objects": {"count": 1, "pages": 2, "digest": "5"},
}


def changed(path: str, value: t.Any) -> content.Content:
    result = copy.deepcopy(CONTENT)
    *parents, last = path.split("/")
    place = result
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return result


def test_the_same_is_the_same() -> None:
    assert content.compare(CONTENT, copy.deepcopy(CONTENT), True, True) == []


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("tables/public.a", None, "table public.a is missing"),
        ("tables/public.x", {"rows": 0, "digest": "0"}, "table public.x is not in the backup"),
        ("tables/public.a/rows", 2, "table public.a has 2 rows instead of 3"),
        ("tables/public.a/digest", "18", "table public.a has the same number of rows with another content"),
        ("sequences/public.s", None, "sequence public.s is missing"),
        ("sequences/public.s/value", 9, "sequence public.s stands at 9, behind 10"),
        ("schema/index/public.i", None, "index public.i is missing"),
        ("schema/index/public.i", "ab", "index public.i differs"),
        ("schema/trigger", {"public.t": "x"}, "trigger public.t is not in the backup"),
        ("grants/public.a", "cd", "grants of public.a differs"),
        ("large_objects/count", 0, "there are 0 large objects instead of 1"),
        ("large_objects/digest", "6", "large objects have another content"),
    ],
)
def test_each_difference_is_named(path: str, value: t.Any, line: str) -> None:
    assert content.compare(CONTENT, changed(path, value), True, True) == [line]


@pytest.mark.parametrize(("path", "value"), [("sequences/public.s/value", 12), ("grants/public.a", "x")])
def test_what_may_differ_does(path: str, value: t.Any) -> None:
    """A sequence stands outside the snapshot; rights are left out where the roles are missing."""
    assert content.compare(CONTENT, changed(path, value), False, True) == []


def test_another_major_may_describe_the_schema_in_other_words() -> None:
    assert content.compare(CONTENT, changed("schema/index/public.i", "ab"), True, False) == []
    assert content.compare(CONTENT, changed("tables/public.a/digest", "18"), True, False) != []


def test_a_falling_sequence_is_behind_above() -> None:
    before = changed("sequences/public.s", {"increment": -1, "cycles": False, "value": -5})
    after = changed("sequences/public.s", {"increment": -1, "cycles": False, "value": -4})
    assert content.compare(before, after, True, True) == ["sequence public.s stands at -4, behind -5"]


def test_a_check_reads_the_same_after_a_dump_and_a_restore() -> None:
    """Both lines were printed by PostgreSQL for one constraint, before and after."""
    before = "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))"
    after = (
        "CHECK (((s)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))"
    )
    assert content.digest_of(before) == content.digest_of(after)
    assert content.digest_of(before) != content.digest_of(after.replace("'b'", "'c'"))


def test_lost_writes_are_counted_by_table() -> None:
    now = changed("tables/public.a", {"rows": 5, "digest": "99"})
    assert content.changed_tables(CONTENT, now) == {"public.a": {"rows_then": 3, "rows_now": 5}}
