# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that runs in the task's own process answers as it does from an interpreter of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from check.export import ROOT
from integration.call_module import login
from integration.conftest import Postgres

SECRET = "Tr0ub4dor-and-3"
PACKED = {"environment": {"LANG": "C"}}  # another environment than the controller's own

Result = dict[str, t.Any]


def play(folder: Path, *tasks: Result, **variables: t.Any) -> tuple[list[Result], str]:
    """Each task's result in order, and all that was printed; ``variables`` are of host ``there``."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {"all": {"hosts": {"here": here, "there": {**here, **variables}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    named = [dict(task, name=f"Do {n}", ignore_errors=True, register=f"r{n}") for n, task in enumerate(tasks)]
    keep = {
        "name": "Keep what was answered",
        "ansible.builtin.copy": {
            "content": "{{ [" + ", ".join(f"r{n}" for n in range(len(tasks))) + "] | to_json }}",
            "dest": str(folder / "answers.json"),
            "mode": "0600",
        },
    }
    plays = [{"name": "Try", "hosts": "here", "gather_facts": False, "tasks": [*named, keep]}]
    (folder / "play.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    done = subprocess.run(
        ["ansible-playbook", "-i", str(folder / "hosts.yml"), str(folder / "play.yml"), "-vvv"],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "answers.json").read_text()), done.stdout + done.stderr


def packed(printed: str) -> int:
    """How many modules of ours got an interpreter of their own."""
    lines = printed.splitlines()
    return sum("Using module file" in line and "/emailai/migration/" in line for line in lines)


def plain(result: Result) -> Result:
    return {key: value for key, value in result.items() if key not in ("exception", "invocation")}


@pytest.mark.parametrize(
    "task",
    [
        {
            "emailai.migration.lb_member_info": {
                "balancers": [{"kind": "haproxy", "socket": "/no"}],
                "backend": "be",
            }
        },
        {
            "emailai.migration.org_integrity": {
                "login_db": "a",
                "login_host": "/nowhere",
                "login_password": SECRET,
            }
        },
        {
            "emailai.migration.migration_journal": {"state": "opened", "login_password": SECRET}
        },  # more is required
        {"emailai.migration.lb_member": {"unknown": SECRET}},
    ],
    ids=lambda task: next(iter(task)).rpartition(".")[2],
)
def test_an_answer_is_the_same_and_no_secret_is_told(tmp_path: Path, task: Result) -> None:
    [here, there], told = play(tmp_path, task, {**task, **PACKED})
    assert packed(told) == 1, told
    assert plain(here) == plain(there)
    if "login_password" in next(iter(task.values())):
        assert SECRET not in told


def test_a_result_is_the_same_also_in_check_mode(tmp_path: Path, postgres: Postgres) -> None:
    look = {"emailai.migration.migration_journal_info": login(postgres.new_database())}
    make = {
        "emailai.migration.migration_journal": {
            **next(iter(look.values())), "state": "present", "release_before": "v1", "release_after": "v2",
        },
        "check_mode": True,
    }  # fmt: skip
    answers, told = play(tmp_path, make, look, {**make, **PACKED}, {**look, **PACKED})
    assert packed(told) == 2, told
    assert [answer["changed"] for answer in answers[:2]] == [True, False]
    assert not answers[1].get("failed"), answers
    assert [plain(answer) for answer in answers[:2]] == [plain(answer) for answer in answers[2:]]


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"ansible_python_interpreter": str(Path(sys.executable).with_name("python3"))},
        {"ansible_become": True, "ansible_become_exe": "env", "ansible_become_flags": ""},
    ],
    ids=["another interpreter", "another user"],
)
def test_what_is_not_quite_this_process_gets_one_of_its_own(tmp_path: Path, elsewhere: Result) -> None:
    task = {"emailai.migration.lb_member": {}}
    _answers, told = play(tmp_path, task, {**task, "delegate_to": "there"}, **elsewhere)
    assert packed(told) == 1, told


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_lost_host_is_a_failure_where_the_play_does_not_give_it_up(tmp_path: Path, goes_on: bool) -> None:
    """Else a rescue would never see it, and what it did not say would be taken for an answer."""
    nowhere = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    look = {
        "emailai.migration.lb_member_info": {"balancers": [{"socket": "/no"}], "backend": "be"},
        "delegate_to": "there",
        "ignore_unreachable": goes_on,
    }
    keeps = {"ansible.builtin.ping": {}}
    if not goes_on:
        with pytest.raises(AssertionError, match="unreachable=1"):
            play(tmp_path, look, keeps, **nowhere)
        return
    [seen, kept], _told = play(tmp_path, look, keeps, **nowhere)
    assert seen["failed"] is True
    assert "unreachable" not in seen
    assert seen["msg"].startswith("there cannot be reached: "), seen
    assert kept["ping"] == "pong"
