# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on Vercel: killed on the way, a release that is bad, stage by stage; its playbooks stand apart."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from check.export import ROOT
from lab.ground import wait_until
from vercel_world.stand_in import OLD, TEAM, TOKEN, StandIn

Process = subprocess.CompletedProcess[str]


class Place:
    """A folder with an inventory in which one host stands for the project."""

    def __init__(self, folder: Path, stand: StandIn) -> None:
        self.folder, self.stand = folder, stand
        self.variables: dict[str, t.Any] = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "migration_side": "prod",
            "migration_release_before": "v1.9.0",
            "migration_release_after": "v2.0.0-orgs",
            "app_platform": "vercel",
            "app_url": stand.url,
            "app_public_url": stand.url,
            "app_health_host": "vercel",
            "app_health_timeout_seconds": 3,
            "app_vercel_token": TOKEN,
            "app_vercel_project": "emailai",
            "app_vercel_team_id": TEAM,
            "app_vercel_api_url": stand.url,
            "app_vercel_timeout_seconds": 20,
        }

    def begin(self, door: str, *words: str) -> subprocess.Popen[str]:
        hosts: dict[str, t.Any] = {"vercel": {}}
        children = {"prod": {"hosts": hosts}, "app": {"hosts": hosts}}
        inventory = {"all": {"children": children, "vars": self.variables}}
        (self.folder / "hosts.json").write_text(json.dumps(inventory))
        role = "emailai.migration.app"
        tasks = [
            {"name": "Go", "ansible.builtin.include_role": {"name": role, "tasks_from": one}}
            for one in door.split("+")
        ]
        book = [{"name": "Play", "hosts": "app", "gather_facts": False, "tasks": tasks}]
        (self.folder / "play.yml").write_text(json.dumps(book))
        ansible = Path(sys.executable).with_name("ansible-playbook")
        return subprocess.Popen(
            [ansible, "-i", "hosts.json", "play.yml", "-vvv", *words],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def play(self, door: str, *words: str) -> Process:
        process = self.begin(door, *words)
        try:
            output, _none = process.communicate(timeout=120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert TOKEN not in output
        return subprocess.CompletedProcess(process.args, process.returncode, output)


@pytest.fixture
def place(tmp_path: Path, stand: StandIn) -> Place:
    return Place(tmp_path, stand)


@pytest.mark.parametrize("trouble", ["build", "health", "alias"])
def test_a_release_that_is_bad_is_taken_back(place: Place, trouble: str) -> None:
    stand = place.stand
    if trouble == "build":
        stand.builds = [{"readyState": "ERROR", "errorCode": "BUILD_FAILED", "errorMessage": "no"}]
    elif trouble == "health":
        stand.sick = {"v2.0.0-orgs"}
    else:
        stand.jobs = ["failed"]
    failed = place.play("deploy")
    assert failed.returncode != 0
    words = {
        "build": "its build failed (BUILD_FAILED: no)",
        "health": "v2.0.0-orgs",
        "alias": "its alias job failed",
    }
    assert words[trouble] in failed.stdout, failed.stdout
    assert "The server is back on v1.9.0" in failed.stdout
    assert stand.production == OLD


def test_a_run_that_is_killed_while_it_builds_is_gone_on_with_or_stopped(place: Place) -> None:
    stand = place.stand
    stand.builds = [{"stuck": True}]
    for _time in range(2):
        process = place.begin("deploy")
        try:
            wait_until(lambda: bool(stand.made()), 60, "the deployment is created")
            wait_until(functools.partial(stand.is_asked_again, len(stand.seen)), 30, "it is looked at")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert len(stand.made()) == 1

    back = place.play("roll_back")
    assert back.returncode == 0, back.stdout
    assert stand.deployments["dpl_1"]["readyState"] == "CANCELED"
    assert stand.production == OLD
    assert place.play("deploy").returncode == 0
    assert (stand.production, len(stand.made())) == ("dpl_2", 2)


def watched(place: Place) -> None:
    """The runtime log for errors, and figures for response times."""
    stand = place.stand
    figures = {
        "kind": "http_json",
        "url": f"{stand.url}/figures?from=$since&to=$until",
        "requests": "requests",
    }
    place.variables |= {
        "app_soak_seconds": 4,
        "gate_window_seconds": 2,
        "gate_poll_seconds": 0.5,
        "gate_minimum_requests": 20,
        "gate_compared_with": {"p95_ms": 40},
        "gate_limits": {"extensions": 1},
        "gate_host": "vercel",
        "gate_providers": [
            {"kind": "vercel", "url": stand.url, "token": TOKEN, "project": "emailai", "team_id": TEAM,
             "timeout_seconds": 2},
            {**figures, "p95": "p95", "duration": "ms"},
        ],
    }  # fmt: skip
    stand.configure_rolling(10, 50, 100)


def test_stages_go_on_after_good_verdicts_alone(place: Place) -> None:
    watched(place)
    stand = place.stand
    stand.traffic = 200
    done = place.play("deploy")
    assert done.returncode == 0, done.stdout
    assert stand.production == "dpl_1"
    assert [body["nextStageIndex"] for body in stand.sent("/approve-stage")] == [1]
    assert len(stand.sent("/complete")) == 1
    assert "changed=0" in place.play("deploy").stdout


def test_a_stage_that_fails_gives_its_users_back(place: Place) -> None:
    watched(place)
    stand = place.stand
    stand.traffic = 503
    began = time.monotonic()
    failed = place.play("deploy")
    assert failed.returncode != 0
    assert "The server is back on v1.9.0" in failed.stdout, failed.stdout
    assert time.monotonic() - began < 60
    assert stand.sent("/approve-stage") == stand.sent("/complete") == []
    assert stand.rolling is not None
    assert (stand.rolling["state"], stand.production) == ("ABORTED", OLD)
