# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads while a backup runs."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import watch

FIGURES: dict[str, t.Any] = {
    "step": "dump",
    "bytes": 12_400_000,
    "bytes_expected": 40_000_000,
    "bytes_per_second": 6_000_000,
    "tables": 3,
    "tables_expected": 8,
    "seconds_left": 5,
}


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        ({}, "starting"),
        (FIGURES, "dump: 12 MB of about 40 MB, 6 MB/s, 3 of 8 tables compared, 5 s left"),
        (dict(FIGURES, bytes_expected=9, seconds_left=None), "dump: 12 MB, 6 MB/s, 3 of 8 tables compared"),
        (dict(FIGURES, bytes=0, tables=0, seconds_left=None), "dump"),
    ],
)
def test_a_line_says_what_is_known_and_no_more(figures: dict[str, t.Any], line: str) -> None:
    assert watch.describe(figures) == line


def test_figures_follow_what_was_counted() -> None:
    told: list[dict[str, t.Any]] = []
    progress = watch.Progress(lambda **figures: told.append(figures["progress"]))
    progress.begin("dump", 100, tables=2)
    progress.add_bytes(60)
    progress.add_table("a")
    assert (told[-1]["bytes"], told[-1]["tables"], told[0]["bytes"]) == (60, 1, 0)
    progress.add_bytes(60)
    progress.tell()
    # More than was expected: how long it still takes is not known.
    assert (told[-1]["bytes"], told[-1]["seconds_left"]) == (120, None)
