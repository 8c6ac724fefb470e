# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback: what it prints, and that it is never in the way."""

from __future__ import annotations

import os
import typing as t
from types import SimpleNamespace

import pytest
from ansible import constants, context
from ansible.utils.context_objects import CLIArgs

from ansible_collections.emailai.migration.plugins.callback.timeline import CallbackModule

RUN = "v1.9.0..v2.0.0-orgs#1"


class Stage:
    """The callback with a display that keeps what it is told, and a clock that we turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: t.Any) -> None:
        known = {"inventory": (f"{os.getcwd()}/inventories/example",), "subset": "prod", "check": False}
        monkeypatch.setattr(context, "CLIARGS", CLIArgs({**known, **options}))
        self.callback = CallbackModule()
        self.lines: list[str] = []
        self.whispers: list[str] = []
        self.now = 100.0
        self.callback._display = SimpleNamespace(display=self.lines.append, vvv=self.whispers.append)
        self.callback.timeline._now = lambda: self.now

    def hear(self, event: t.Any, failed: bool = False) -> str:
        """The lines that one result of a task makes."""
        before = len(self.lines)
        result = SimpleNamespace(result={"phase_event": event, "changed": True, "secret": "s3cret"})
        (self.callback.v2_runner_on_failed if failed else self.callback.v2_runner_on_ok)(result)
        return "\n".join(self.lines[before:])

    def phase(self, name: str, event: str, after: float = 0, **more: t.Any) -> str:
        self.now += after
        return self.hear({"phase": name, "event": event, "run_id": RUN}, **more)

    def end(self, **hosts: dict[str, int]) -> str:
        before = len(self.lines)
        stats = SimpleNamespace(processed=hosts, summarize=lambda host: hosts[host])
        self.callback.v2_playbook_on_stats(stats)
        return "\n".join(self.lines[before:])


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


OK = {"ok": 3, "changed": 0, "failures": 0, "unreachable": 0, "skipped": 0}


def test_it_is_loaded_only_where_it_is_asked_for() -> None:
    assert CallbackModule.CALLBACK_NEEDS_ENABLED
    assert CallbackModule.CALLBACK_TYPE == "aggregate"


def test_a_phase_opens_with_what_to_type_and_closes_with_its_duration(stage: Stage) -> None:
    text = stage.phase("move", "opened")
    assert f"move opened ({RUN})" in text
    assert (
        "ansible-playbook playbooks/control.yml -i inventories/example -l prod -e journal_wanted=pause"
        in text
    )
    assert "-e journal_wanted=run" in text
    assert "ansible-playbook playbooks/roll_back.yml -i inventories/example -l prod" in text
    assert stage.phase("move", "closed", after=187) == "■ move completed after 3 m 07 s"


def test_an_inventory_of_the_configuration_is_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_HOST_LIST", ["/opt/emailai/inventories/lab"])
    stage = Stage(monkeypatch, inventory=("/opt/emailai/inventories/lab",))
    assert "playbooks/control.yml -l prod -e" in stage.phase("move", "opened")


def test_an_inventory_elsewhere_is_typed_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, inventory=("/etc/emailai/hosts.yml",), subset=None)
    assert "playbooks/control.yml -i /etc/emailai/hosts.yml -e" in stage.phase("move", "opened")


def test_several_hosts_tell_of_one_phase_once(stage: Stage) -> None:
    assert stage.phase("move", "opened")
    assert stage.phase("move", "opened") == ""
    assert stage.phase("move", "closed")
    assert stage.phase("move", "closed") == ""


def test_the_end_is_a_table_and_a_sentence_if_nothing_changed(stage: Stage) -> None:
    stage.phase("expand", "opened")
    stage.phase("expand", "closed", after=2.5)
    stage.phase("move", "skipped")
    stage.phase("rehearse", "left_out")
    text = stage.end(db=OK, app=OK)
    assert "expand         2.5 s  completed" in text
    assert "was done before" in text
    assert "rehearse              is not part of this run" in text
    assert text.endswith("Nothing changed on any host.")
    assert "Nothing changed" not in stage.end(db=OK, app={**OK, "changed": 1})


@pytest.mark.parametrize("trouble", ["failures", "unreachable"])
def test_a_failure_says_how_to_go_on_and_back_and_nothing_about_changes(stage: Stage, trouble: str) -> None:
    stage.phase("move", "opened")
    assert "move failed after 1.0 s" in stage.phase("move", "failed", after=1, failed=True)
    text = stage.end(db={**OK, trouble: 1})
    assert "move is not finished." in text
    assert "the same command again" in text
    assert "migration_roll_back_depth=data -i inventories/example -l prod" in text
    assert "Nothing changed" not in text


def test_a_phase_that_was_cut_off_is_not_finished(stage: Stage) -> None:
    stage.phase("verify", "opened")
    assert "not finished" in stage.end(db=OK)


@pytest.mark.parametrize(
    ("changed", "words"), [(0, "nothing would change"), (4, "4 tasks would change something")]
)
def test_check_mode_says_that_nothing_was_changed(
    monkeypatch: pytest.MonkeyPatch, changed: int, words: str
) -> None:
    text = Stage(monkeypatch, check=True).end(db={**OK, "changed": changed})
    assert text == f"Check mode: nothing was changed; {words}."


def test_without_phases_and_hosts_it_is_silent(stage: Stage) -> None:
    assert stage.end() == ""


@pytest.mark.parametrize(
    "event",
    [
        None,
        "opened",
        7,
        [],
        {},
        {"phase": "move"},
        {"event": "opened"},
        {"phase": "move", "event": "sung"},
        {"phase": {"a": 1}, "event": ["opened"]},
    ],
)
def test_what_it_does_not_understand_it_leaves_alone(stage: Stage, event: t.Any) -> None:
    assert stage.hear(event) == ""
    assert stage.whispers == []


def test_it_never_raises(stage: Stage) -> None:
    stage.callback.v2_runner_on_ok(t.cast(t.Any, None))
    stage.callback.v2_playbook_on_stats(t.cast(t.Any, None))
    assert len(stage.whispers) == 2
    assert stage.lines == []


def test_it_prints_nothing_of_a_result_but_the_phase(stage: Stage) -> None:
    stage.phase("move", "opened")
    stage.end(db=OK)
    assert "s3cret" not in "\n".join(stage.lines)
