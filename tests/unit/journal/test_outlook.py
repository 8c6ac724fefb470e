# SPDX-License-Identifier: GPL-3.0-or-later
"""What a status says to the person who reads it."""

from __future__ import annotations

import datetime
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._journal import outlook

NOON = datetime.datetime(2026, 3, 2, 12, tzinfo=datetime.timezone.utc)
HOLDER = {"text": "ada on lap (pid 7) since noon for run v1..v2#1"}


def a_phase(name: str, state: str = "completed", **more: t.Any) -> dict[str, t.Any]:
    ended = None if state == "in_progress" else NOON + datetime.timedelta(seconds=75)
    row = {
        "name": name,
        "state": state,
        "started_at": NOON,
        "finished_at": ended,
        "error": None,
        "outcome": {},
    }
    return {**row, **more}


def found(state: str | None, *phases: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    run = None
    if state:
        run = {"id": "v1..v2#1", "state": state, "owner": "ada", "host": "lap", "started_at": NOON}
        run["finished_at"] = NOON if state in ("concluded", "rolled_back") else None
    return {
        "run": run, "phases": list(phases), "holder": None, "counts": [], "progress": [], "artifacts": [],
        "control": {"wanted": "run", "pace": None, "batch_rows": None},
        "now": NOON + datetime.timedelta(minutes=2), **more,
    }  # fmt: skip


def test_without_a_run_it_says_so() -> None:
    seen = outlook.judge(found(None), "prod")
    assert seen["text"].startswith("No run was ever begun in this database.")
    assert seen["safe_to_stop"]
    assert seen["how_to_go_back"] == ""


def test_while_servers_are_deployed_it_is_not_safe_to_stop() -> None:
    seen = outlook.judge(found("deploying", a_phase("deploy", "in_progress"), holder=HOLDER), "prod")
    assert not seen["safe_to_stop"]
    assert "Safe to stop:     no. A server may be drained" in seen["text"]
    assert "Who works:        ada on lap" in seen["text"]
    assert seen["how_to_go_back"] == "ansible-playbook playbooks/roll_back.yml -l prod"


def test_a_later_release_goes_on_by_its_own_playbooks() -> None:
    seen = outlook.judge(found("deploying", a_phase("deploy", "failed")), "prod")
    assert seen["how_to_go_on"] == "ansible-playbook playbooks/deploy.yml -l prod"
    assert "prepare" not in seen["text"]
    seen = outlook.judge(found("deploying", a_phase("deploy")), "prod")
    assert (seen["how_to_go_on"], seen["due"]) == (
        "ansible-playbook playbooks/watch.yml -l prod",
        ["next: watch"],
    )
    seen = outlook.judge(found("watching", a_phase("deploy"), a_phase("watch")), "prod")
    assert (seen["how_to_go_on"], seen["due"]) == ("", [])


def test_while_data_is_moved_it_is_safe_to_stop() -> None:
    assert outlook.judge(found("moving", a_phase("move", "in_progress"), holder=HOLDER), "")["safe_to_stop"]


def test_an_interrupted_phase_is_told_from_one_that_goes_on() -> None:
    seen = outlook.judge(found("moving", a_phase("move", "in_progress")), "prod")
    assert "it was interrupted" in seen["safe_to_stop_because"]
    assert seen["how_to_go_on"] == "ansible-playbook migrate.yml -l prod"


def test_a_failed_phase_shows_its_error_and_its_seconds() -> None:
    seen = outlook.judge(found("failed", a_phase("move", "failed", error="Cannot move.\nmore")), "prod")
    assert "Cannot move." in seen["text"]
    assert "more" not in seen["text"]
    assert "1 min 15 s" in seen["text"]
    assert seen["due"] == ["move failed"]


def test_a_paused_run_is_gone_on_with_by_control() -> None:
    seen = outlook.judge(found("paused", control={"wanted": "pause", "pace": 0.5, "batch_rows": 9}), "prod")
    assert seen["how_to_go_on"].endswith("playbooks/control.yml -l prod -e journal_wanted=run")
    assert "Wanted:           pause, pace 0.5, 9 rows in a batch" in seen["text"]


def test_a_concluded_run_names_the_dates_of_what_follows() -> None:
    seen = outlook.judge(found("concluded", a_phase("conclude")), "prod")
    assert seen["due"] == [
        "2026-03-09 end of the daily watch",
        "2026-04-01 earliest day of playbooks/contract.yml",
    ]
    assert seen["how_to_go_on"] == ""
    assert seen["how_to_go_back"]


def test_what_conclude_wrote_down_wins() -> None:
    steps = [{"due": "2026-03-10", "text": "Train the support team"}]
    seen = outlook.judge(found("concluded", a_phase("conclude", outcome={"next_steps": steps})), "prod")
    assert seen["due"] == ["2026-03-10 Train the support team"]


def test_what_a_finished_run_left_open_is_not_under_way() -> None:
    seen = outlook.judge(found("rolled_back", a_phase("move", "failed"), a_phase("roll_back")), "prod")
    assert seen["due"] == []
    assert seen["how_to_go_back"] == ""


def test_the_next_phase_is_due() -> None:
    assert outlook.judge(found("preparing", a_phase("prepare")), "")["due"] == ["next: back_up"]


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [
        (1250, 1250, "1,250 / 1,250 (100 %)"),
        (1249, 1250, "1,249 / 1,250 (99 %)"),
        (0, 0, "0 / 0 (100 %)"),
        (None, 5, "? / 5"),
        (5, None, "5 / ?"),
    ],
)
def test_a_share_is_never_rounded_up_nor_made_up(done: int | None, total: int | None, text: str) -> None:
    assert outlook.share(done, total) == text


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_hundred_percent_means_all(done: int, total: int) -> None:
    assert ("(100 %)" in outlook.share(done, total)) == (done >= total)


@pytest.mark.parametrize(("seconds", "text"), [(9.9, "9 s"), (75, "1 min 15 s"), (7260, "2 h 01 min")])
def test_a_duration_is_read_at_a_glance(seconds: float, text: str) -> None:
    assert outlook.duration(seconds) == text


def test_no_moment_is_left_that_is_not_text() -> None:
    seen = outlook.judge(found("concluded", a_phase("conclude")), "prod")
    assert seen["run"]["started_at"] == "2026-03-02 12:00:00 UTC"
    assert seen["phases"][0]["seconds"] == 75.0


@pytest.mark.parametrize(
    ("detail", "line"),
    [
        ({"deployment": "d2", "deployment_before": "d1"}, "vercel:           v2 is d2, v1 is d1"),
        ({"deployment": "d2", "deployment_before": ""}, "vercel:           v2 is d2, v1 is not known"),
        ({"deployment": ""}, ""),
        ({}, ""),
    ],
)
def test_who_goes_back_by_an_id_reads_it_here(detail: dict[str, t.Any], line: str) -> None:
    row = {"host": "vercel", "release_before": "v1", "release_after": "v2", "detail": detail}
    seen = outlook.judge(found("failed", a_phase("deploy", "failed"), artifacts=[row]), "prod")
    assert [one for one in seen["text"].splitlines() if one.startswith("vercel")] == [line] * bool(line)


def a_host(state: str, epoch: int = 3) -> dict[str, t.Any]:
    return {"host": "app-1", "state": state, "detail": {"epoch": epoch}}


@pytest.mark.parametrize(
    ("goes_on", "changes"),
    [
        (True, {}),
        (True, {"artifacts": [a_host("deployed")]}),
        (True, {"artifacts": [a_host("failed", epoch=2)]}),
        (True, {"artifacts": [{"host": "app-1", "state": "failed", "detail": {}}]}),
        (False, {"artifacts": [a_host("deployed"), a_host("failed")]}),
        (False, {"artifacts": [a_host("held")]}),
        (False, {"control": {"wanted": "pause"}}),
        (False, {"control": {"wanted": "abort"}}),
        (False, {"run": {"state": "rolling_back"}}),
        (False, {"run": None}),
    ],
)
def test_a_batch_begins_only_while_nothing_of_its_attempt_went_wrong(
    goes_on: bool, changes: dict[str, t.Any]
) -> None:
    assert outlook.may_go_on({**found("deploying"), **changes}, 3) is goes_on


def test_who_names_no_attempt_is_held_up_by_what_any_of_them_left() -> None:
    assert not outlook.may_go_on({**found("deploying"), "artifacts": [a_host("failed", epoch=2)]}, 0)
