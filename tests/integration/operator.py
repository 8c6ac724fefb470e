# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator: his inventory of one side, the playbooks he calls, and a journal that waits for one phase."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

from unit.report.sample import document

from ansible_collections.emailai.migration.plugins.module_utils._journal.states import FORWARD, PHASES
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from check.export import ROOT
from integration import report_world


class Operator:
    """One database and, by ``hosts``, whatever else the side has; what nobody may read is in no answer."""

    def __init__(self, folder: Path, target: Target, **variables: t.Any) -> None:
        self.folder, self.target = folder, target
        self.secrets = [target.password]
        address = f"{target.host}:{target.port}/{target.dbname}"
        url = f"postgresql://{target.user}:{target.password}@{address}?schema=public"
        self.hosts: dict[str, dict[str, dict[str, t.Any]]] = {"database": {"db-1": {}}}
        self.variables: dict[str, t.Any] = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "migration_side": "prod",
            "migration_release_before": "v1.9.0",
            "migration_release_after": "v2.0.0-orgs",
            "migration_work_folder": str(folder),
            **{f"migration_{role}_url": url for role in ("owner", "writer", "reader")},
            "announcement_folder": str(folder / "outbox"),
            "announcement_facts": {"contact": "support@example.com", "status_url": "https://status.example"},
            "report_folder": str(folder / "reports"),
            **variables,
        }

    def wait_for(self, phase: str) -> None:
        """The journal holds all that the phase builds on, as if it had been done."""
        sample = document()
        done = FORWARD[: FORWARD.index(phase)]
        report_world.fill(
            self.target,
            run={**sample["run"], "state": PHASES[done[-1]].state},
            phases=[row for row in sample["phases"] if row["name"] in done],
            **{name: [] for name in ("artifacts", "progress", "messages", "quarantine", "baselines")},
        )

    def begin(self, playbook: str, *words: str) -> subprocess.Popen[str]:
        side: dict[str, t.Any] = {host: {} for hosts in self.hosts.values() for host in hosts}
        groups = {"prod": {"hosts": side}, **{kind: {"hosts": hosts} for kind, hosts in self.hosts.items()}}
        inventory = {"all": {"children": groups, "vars": self.variables}}
        (self.folder / "hosts.json").write_text(json.dumps(inventory))
        return subprocess.Popen(
            [
                Path(sys.executable).with_name("ansible-playbook"),
                *("-i", self.folder / "hosts.json", ROOT / "playbooks" / f"{playbook}.yml", "-l", "prod"),
                *words,
            ],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def play(self, playbook: str, *words: str, fails: bool = False) -> str:
        """What he reads, without the breaks that a terminal puts into sentences."""
        process = self.begin(playbook, *words)
        try:
            output, _none = process.communicate(timeout=150)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert (process.returncode != 0) is fails, output
        assert [secret for secret in self.secrets if secret in output] == []
        return " ".join(output.split())

    def kill(self, process: subprocess.Popen[str]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    @property
    def run(self) -> str:
        """The state of the run."""
        ((state,),) = report_world.rows(self.target, "SELECT state FROM emailai_migration.run")
        return str(state)
