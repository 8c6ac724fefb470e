# SPDX-License-Identifier: GPL-3.0-or-later
"""A log that is written, rotated and truncated while it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate import follow
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Position


class Log:
    """A log file and somebody who reads it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "a.log"
        self.path.write_text("")
        self.position: Position = {"offset": 0}
        self.notes: list[str] = []

    def write(self, text: str) -> None:
        with self.path.open("a") as handle:
            handle.write(text)

    def read(self) -> list[str]:
        return list(follow.lines_since(str(self.path), self.position, self.notes))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_each_line_is_read_once(log: Log) -> None:
    log.write("one\ntwo\n")
    assert log.read() == ["one", "two"]
    assert log.read() == []
    log.write("three\n")
    assert log.read() == ["three"]
    assert log.notes == []


def test_half_a_line_waits_for_its_other_half(log: Log) -> None:
    log.write("one\nhal")
    assert log.read() == ["one"]
    log.write("f\n")
    assert log.read() == ["half"]


def test_what_was_rotated_away_is_read_to_its_end(log: Log) -> None:
    log.write("one\n")
    assert log.read() == ["one"]
    log.write("two\n")
    os.rename(log.path, f"{log.path}.1")
    log.write("three\n")
    assert log.read() == ["two", "three"]
    assert log.notes == []


def test_a_rotated_file_that_is_gone_is_said(log: Log) -> None:
    log.write("one\n")
    assert log.read() == ["one"]
    os.rename(log.path, f"{log.path}.gz")
    log.write("three\n")
    assert log.read() == ["three"]
    assert "rotated" in log.notes[0]


def test_truncated_to_nothing(log: Log) -> None:
    log.write("one\n")
    assert log.read() == ["one"]
    os.truncate(log.path, 0)
    assert log.read() == []
    log.write("two\n")
    assert log.read() == ["two"]
    assert "truncated" in log.notes[0]


def test_truncated_and_grown_past_where_we_were(log: Log) -> None:
    log.write("one\n")
    assert log.read() == ["one"]
    os.truncate(log.path, 0)
    log.write("another and much longer\nthird\n")
    assert log.read() == ["another and much longer", "third"]
    assert "truncated" in log.notes[0]


def test_the_end_is_after_the_last_whole_line(log: Log) -> None:
    log.write("one\ntwo\nhal")
    log.position = follow.end_of(str(log.path))
    log.write("f\nthree\n")
    assert log.read() == ["half", "three"]


def test_a_missing_log_is_an_error(log: Log) -> None:
    log.path.unlink()
    with pytest.raises(MigrationError, match="Cannot read log"):
        log.read()
    with pytest.raises(MigrationError, match="Cannot read log"):
        follow.end_of(str(log.path))


def number(line: str) -> int | None:
    return int(line.split()[1]) if line.startswith("line ") else None


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 4000), st.integers(0, 4200))
def test_a_place_in_time_is_found(count: int, wanted: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder))
        log.write("".join(f"line {n} some more words\nno time\n" for n in range(count)))

        def is_late(line: str) -> bool | None:
            found = number(line)
            return None if found is None else found >= wanted

        log.position = follow.first_at(str(log.path), is_late)
        numbers = [n for n in map(number, log.read()) if n is not None]
        late = [n for n in numbers if n >= wanted]
        # All that is late, and not much that is early.
        assert late == list(range(wanted, count))
        assert len(numbers) - len(late) < 500


def test_a_place_before_the_log_began_is_in_the_rotated_file(log: Log) -> None:
    log.write("line 1\nline 2\nline 3\n")
    os.rename(log.path, f"{log.path}.1")
    log.write("line 4\n")
    log.position = follow.first_at(str(log.path), lambda line: (number(line) or 0) >= 2)
    assert log.read()[-3:] == ["line 2", "line 3", "line 4"]
