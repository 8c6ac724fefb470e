# SPDX-License-Identifier: GPL-3.0-or-later
"""What the users saw: read from lines or a document, and thin enough for a page."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._report import load


def window(at: float, requests: int = 10, failed: int = 0, p95_ms: float | None = 40) -> dict[str, t.Any]:
    return {"at": at, "requests": requests, "failed": failed, "p95_ms": p95_ms}


def test_lines_are_windows_and_the_last_may_be_half_written(tmp_path: Path) -> None:
    path = tmp_path / "series.jsonl"
    path.write_text(
        "\n".join(json.dumps(window(at, failed=1)) for at in range(3)) + '\n{"at": 3, "requ', "utf-8"
    )
    found = load.read(str(path))
    assert (found["requests"], found["failed"], len(found["windows"])) == (30, 3, 3)


@pytest.mark.parametrize(
    "text",
    ['{"at": 1, "requests": 4, "failed": 0, "p95_ms": 9}\n', '{"windows": [{"at": 1, "requests": 4}]}'],
)
def test_one_line_and_a_document_are_read_as_well(tmp_path: Path, text: str) -> None:
    path = tmp_path / "load"
    path.write_text(text, "utf-8")
    assert load.read(str(path))["requests"] == 4


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"at": 1}\n{broken}\n{"at": 2}'])
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "load.json"
    path.write_text(text, "utf-8")
    assert load.read(str(path))["not_readable"].startswith("load.json: ")
    assert load.read(str(tmp_path / "missing"))["not_readable"] == "missing: FileNotFoundError"


@given(
    st.lists(
        st.builds(
            window, st.integers(0, 9), st.integers(0, 9), st.integers(0, 3), st.none() | st.integers(1, 99)
        )
    ),
    st.integers(1, 20),
)
def test_thinning_loses_no_failure_and_no_slow_moment(windows: list[dict[str, t.Any]], most: int) -> None:
    thinned = load.thin(windows, most)
    assert len(thinned) <= most
    for name in ("requests", "failed"):
        assert sum(row[name] for row in thinned) == sum(row[name] for row in windows)
    slowest = [row["p95_ms"] for row in windows if row["p95_ms"] is not None]
    assert max((row["p95_ms"] for row in thinned if row["p95_ms"] is not None), default=None) == max(
        slowest, default=None
    )


def test_a_long_run_keeps_its_beginning_and_its_end() -> None:
    thinned = load.thin([window(at) for at in range(100_000)])
    assert thinned[0]["at"] == 0
    assert thinned[-1]["at"] > 99_000
