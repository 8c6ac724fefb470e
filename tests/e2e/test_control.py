# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout that an operator pauses stops before its next batch, says how to resume, and resumes."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from e2e.desk import Desk
from lab.migration import lost
from lab.whole import Lab


@pytest.fixture(autouse=True)
def users(desk: Desk) -> t.Iterator[None]:
    desk.lab("load", "start")
    yield
    desk.lab("load", "stop")
    assert desk.load_report()["failed"] == 0, desk.load_report()
    assert lost(desk.layout) == []


def read_in_background(stream: t.IO[str]) -> list[str]:
    """The lines as they come, so that a full pipe never stops who writes them."""
    lines: list[str] = []
    threading.Thread(target=lambda: lines.extend(stream), daemon=True).start()
    return lines


def wait_until(is_so: t.Callable[[], bool], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"it did not come to this: {what}"
        time.sleep(0.2)


def test_a_pause_stops_before_the_next_batch_and_status_answers_meanwhile(desk: Desk) -> None:
    for phase in ("prepare", "back_up", "rehearse", "expand", "move", "verify"):
        desk.play(f"playbooks/{phase}.yml").must_succeed()
    # Long enough for two commands from another terminal.
    process = desk.start("playbooks/deploy.yml", app_soak_seconds=20)
    assert process.stdout is not None
    lines = read_in_background(process.stdout)
    wait_until(lambda: any("Watch the servers" in line for line in lines), "the first batch is watched")

    events = desk.value("SELECT count(*) FROM emailai_migration.event")
    status = desk.play("playbooks/status.yml").must_succeed()
    assert status.seconds < 15
    assert "deploy" in status.one_line
    assert sum(status.changed.values()) == 0
    assert desk.value("SELECT count(*) FROM emailai_migration.event") == events

    desk.play("playbooks/control.yml", journal_wanted="pause").must_succeed()
    assert process.wait(timeout=240) != 0
    wait_until(lambda: "PLAY RECAP" in "".join(lines), "the output is read to its end", 10)
    said = " ".join("".join(lines).split())
    assert "paused it before app-2, app-3, app-4" in said, said[-4000:]
    assert "playbooks/control.yml -e journal_wanted=run" in said
    assert desk.releases() == {
        "app-1": "v2.0.0-orgs",
        "app-2": "v1.9.0",
        "app-3": "v1.9.0",
        "app-4": "v1.9.0",
    }
    assert set(Lab(desk.layout).balancer.states().values()) == {"UP"}


def test_while_it_is_paused_it_does_not_begin_again(desk: Desk) -> None:
    desk.play("playbooks/deploy.yml").must_fail("paused it", "journal_wanted=run")
    assert desk.releases()["app-2"] == "v1.9.0"


def test_resumed_it_finishes(desk: Desk) -> None:
    desk.play("playbooks/control.yml", journal_wanted="run").must_succeed()
    desk.play("playbooks/deploy.yml").must_succeed()
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    assert set(Lab(desk.layout).balancer.states().values()) == {"UP"}
