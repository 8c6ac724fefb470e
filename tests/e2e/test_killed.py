# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that dies in mid-work costs nothing: the same command goes on and ends right."""

from __future__ import annotations

import os
import signal
import time

import pytest

from e2e.desk import Desk
from lab.migration import lost
from lab.whole import Lab


@pytest.fixture(autouse=True)
def users(desk: Desk) -> object:
    desk.lab("load", "start")
    yield
    desk.lab("load", "stop")
    assert desk.load_report()["failed"] == 0, desk.load_report()
    assert lost(desk.layout) == []


def kill_when(desk: Desk, words: str, after_seconds: float = 0.0) -> None:
    """Start the migration and kill it, with all its children, when its output first says ``words``."""
    process = desk.start("migrate.yml")
    assert process.stdout is not None
    deadline = time.monotonic() + 240
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            break
        assert time.monotonic() < deadline, "".join(seen)[-3000:]
    else:
        raise AssertionError(f"it never said {words!r}:\n{''.join(seen)[-4000:]}")
    time.sleep(after_seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize(
    "words",
    [
        "TASK [emailai.migration.backup : Make the backup]",
        "TASK [emailai.migration.tenancy : Move the data]",
        "TASK [emailai.migration.app : Make the release current]",
    ],
)
def test_the_same_command_goes_on_after_kill_9(desk: Desk, words: str) -> None:
    kill_when(desk, words, 0.3)


def test_a_different_run_meanwhile_is_refused_with_who_where_and_since_when(desk: Desk) -> None:
    desk.lab("artifact", "v3.0.0")
    run = desk.play("playbooks/prepare.yml", migration_release_after="v3.0.0")
    run.must_fail("v1.9.0..v2.0.0-orgs#1", "tester")


def test_the_last_one_finishes_right_and_nobody_stays_drained(desk: Desk) -> None:
    run = desk.play("migrate.yml").must_succeed()
    assert "conclude" in run.one_line
    assert desk.value("SELECT state FROM emailai_migration.run") == "concluded"
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    assert set(Lab(desk.layout).balancer.states().values()) == {"UP"}
    assert desk.value('SELECT count(*) FROM public."EmailAccount" WHERE "organizationId" IS NULL') == 0
