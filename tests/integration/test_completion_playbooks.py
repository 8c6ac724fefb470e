# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as an operator calls them: announce, conclude, report, with the timeline on screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from unit.report.sample import NAMES, RUN, document

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from check.export import ROOT
from integration.report_world import fill, rows

REPORT = """
- name: Report
  hosts: database
  gather_facts: false
  tasks:
    - name: Render the report
      ansible.builtin.include_role:
        name: emailai.migration.report
        tasks_from: render
"""

Play = t.Callable[..., str]


@pytest.fixture
def database(postgres: t.Any) -> Target:
    target: Target = postgres.new_database()
    return target


@pytest.fixture
def play(database: Target, tmp_path: Path) -> Play:
    url = (
        f"postgresql://{database.user}:{database.password}@{database.host}:{database.port}/{database.dbname}"
    )
    facts = (
        "date", "start_time", "complete_time", "verified_time", "contact", "status_url", "organization_url",
        "invitation_url", "documentation_url", "support_url",
    )  # fmt: skip
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "migration_side": "prod",
        "migration_release_before": "v1.9.0",
        "migration_release_after": "v2.0.0-orgs",
        **{f"migration_{role}_url": url for role in ("owner", "writer", "reader")},
        "announcement_facts": {name: f"the {name}" for name in facts},
        "announcement_folder": str(tmp_path / "outbox"),
        "report_folder": str(tmp_path / "reports"),
    }
    hosts = {"db-1": {}}
    inventory = {
        "all": {"children": {"prod": {"hosts": hosts}, "database": {"hosts": hosts}}, "vars": variables}
    }
    (tmp_path / "hosts.json").write_text(json.dumps(inventory), "utf-8")
    (tmp_path / "report.yml").write_text(REPORT, "utf-8")
    (tmp_path / "ansible.cfg").write_text(
        "[defaults]\ncallbacks_enabled = emailai.migration.timeline\n", "utf-8"
    )
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
    }

    def call(playbook: str | Path, *words: str, fails: bool = False, **extra: t.Any) -> str:
        command = [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            tmp_path / "hosts.json",
            "-l",
            "prod",
        ]
        done = subprocess.run(
            [*command, ROOT / "playbooks" / playbook, "-e", json.dumps(extra), *words],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout

    return call


def test_a_week_before_the_run_gets_its_name_and_the_message_goes_out_once(
    play: Play, database: Target, tmp_path: Path
) -> None:
    play("announce.yml", announcement_name="scheduled")
    assert [path.name for path in (tmp_path / "outbox").iterdir()] == ["v1.9.0..v2.0.0-orgs-1-scheduled.txt"]
    assert rows(database, "SELECT run_id, name, channel FROM emailai_migration.message") == [
        (RUN, "scheduled", "file")
    ]

    again = play("announce.yml", announcement_name="scheduled")
    assert "Nothing changed on any host." in again


def test_a_run_is_concluded_by_name_and_reported(play: Play, database: Target, tmp_path: Path) -> None:
    sample = document()
    fill(
        database,
        phases=[row for row in sample["phases"] if row["name"] != "conclude"],
        run={**sample["run"], "state": "watching"},
    )
    refused = play("conclude.yml", fails=True)
    assert "5 of 10 items are open" in refused
    assert "▶ conclude opened" in refused
    assert "ansible-playbook playbooks/control.yml -i hosts.json -l prod -e journal_wanted=pause" in refused
    assert "conclude is not finished." in refused

    done = play("conclude.yml", migration_confirmations=NAMES)
    assert "■ conclude completed" in done
    assert rows(database, "SELECT state FROM emailai_migration.run") == [("concluded",)]
    assert rows(database, "SELECT count(*) FROM emailai_migration.event WHERE kind = 'next_step'") == [(6,)]

    again = play("conclude.yml")
    assert "Nothing changed on any host." in again

    play(tmp_path / "report.yml")
    page = (tmp_path / "reports" / "v1.9.0..v2.0.0-orgs-1.html").read_text("utf-8")
    assert "confirmed by Grace Hopper" in page
