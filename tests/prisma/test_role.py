# SPDX-License-Identifier: GPL-3.0-or-later
"""The role tenancy with either strategy, as the playbooks enter it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

from ansible_collections.emailai.migration.plugins.module_utils._prisma.client import url_for
from prisma.conftest import INIT, ORGANIZATIONS, World

_ROOT = Path(__file__).parents[2]


def play(world: World, *doors: str, check: bool = False, **variables: t.Any) -> str:
    """Enter the role by its doors, one after the other; gives what Ansible printed."""
    tasks = [
        {"ansible.builtin.include_role": {"name": "emailai.migration.tenancy", "tasks_from": door}}
        for door in doors
    ]
    url = url_for(world.database.target, 1000)
    folder = world.project.folder.parent
    given = {
        "migration_owner_url": url,
        "migration_reader_url": url,
        "migration_work_folder": str(folder),
        "ansible_python_interpreter": sys.executable,
        "tenancy_prisma_folder": str(world.project.folder),
        "tenancy_prisma_names": [ORGANIZATIONS],
        "tenancy_prisma_command": world.project.command,
        **variables,
    }
    book = folder / "play.yml"
    book.write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": given, "tasks": tasks}])
    )
    done = subprocess.run(
        [
            "ansible-playbook",
            "-i",
            "localhost,",
            "-c",
            "local",
            "-vvv",
            *(["--check"] if check else []),
            str(book),
        ],
        cwd=_ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert world.database.target.password not in said
    return said


def test_the_strategy_prisma_leads_in_and_back(world: World) -> None:
    world.add_organizations()
    strategy = {"tenancy_schema_strategy": "prisma"}
    assert "ALTER TABLE" in play(world, "expand", check=True, **strategy)
    assert world.applied() == [INIT]
    play(world, "expand", **strategy)
    assert world.applied() == [INIT, ORGANIZATIONS]
    assert world.database.rows("SELECT status FROM migration_log") == [("completed",)]
    play(world, "withdraw", **strategy)
    assert world.applied() == [INIT]
    assert world.database.one("SELECT to_regclass('\"Organization\"') IS NULL")


def test_the_built_in_strategy_tells_prisma_after_its_last_index(world: World) -> None:
    world.add_organizations()
    play(world, "expand")
    assert world.applied() == [INIT]
    play(world, "move", tenancy_grace_seconds=0)
    assert world.applied() == [INIT, ORGANIZATIONS]
