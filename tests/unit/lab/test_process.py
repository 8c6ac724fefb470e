# SPDX-License-Identifier: GPL-3.0-or-later
"""Detached processes: known by pid and start time, ended only when they are ours."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest

from lab.process import Process, all_recorded, started_at


@pytest.fixture
def sleeper(tmp_path: Path) -> t.Iterator[Process]:
    process = Process(tmp_path / "pids", "sleeper")
    process.start(["sleep", "60"], tmp_path / "log")
    yield process
    process.end()


def test_it_lives_once_and_ends_once(sleeper: Process, tmp_path: Path) -> None:
    pid = sleeper.pid
    assert sleeper.is_alive()
    assert sleeper.start(["sleep", "60"], tmp_path / "log") == pid
    assert [process.name for process in all_recorded(tmp_path / "pids")] == ["sleeper"]
    sleeper.end()
    assert started_at(pid) is None
    assert all_recorded(tmp_path / "pids") == []
    sleeper.end()


def test_a_crash_is_noticed_and_leaves_the_record(sleeper: Process) -> None:
    sleeper.kill()
    assert not sleeper.is_alive()
    assert sleeper.record.exists()


def test_a_pid_that_belongs_to_somebody_else_now_is_left_alone(sleeper: Process) -> None:
    entry = json.loads(sleeper.record.read_text())
    forged = Process(sleeper.record.parent, "forged")
    forged.record.write_text(json.dumps(dict(entry, started=entry["started"] - 1)))
    assert not forged.is_alive()
    forged.end()
    assert sleeper.is_alive()


def test_a_process_that_ignores_the_request_is_ended_all_the_same(tmp_path: Path) -> None:
    process = Process(tmp_path / "pids", "stubborn")
    pid = process.start(["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], tmp_path / "log")
    process.end(0.5)
    assert started_at(pid) is None


def test_our_own_start_time_is_known() -> None:
    assert started_at(os.getpid()) == started_at(os.getpid())
    assert started_at(2**22 + 1) is None
