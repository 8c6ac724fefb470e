# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operators give one command at the same second: one works, the other attaches, both read one answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from chaos.data.faults import OPTIONS, STATE, Arena
from integration.conftest import Postgres
from integration.tenancy_world import Database
from lab.layout import REPOSITORY

ROUNDS = 50
_MODULE = "ansible_collections.emailai.migration.plugins.modules.org_migration"


def _begin(database: Database) -> subprocess.Popen[str]:
    target = database.target
    options = {
        "login_host": target.host, "login_port": target.port, "login_user": target.user,
        "login_password": target.password, "login_db": target.dbname, "work_folder": database.folder,
        "wait_seconds": 60, **OPTIONS,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "collections")},
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    return process


def _answer(process: subprocess.Popen[str]) -> dict[str, t.Any]:
    output, _errors = process.communicate(timeout=90)
    found: dict[str, t.Any] = json.loads(output.strip().splitlines()[-1])
    return found


def _to_the_end(database: Database, answer: dict[str, t.Any]) -> dict[str, t.Any]:
    """As the action plugin does: a call gives what there is, and is followed until the work has ended."""
    deadline = time.monotonic() + 60
    while not answer.get("failed") and not answer["finished"] and time.monotonic() < deadline:
        answer = database.call("org_migration", wait_seconds=5, follow=answer["job"], **OPTIONS)
    return answer


def test_fifty_times_exactly_one_works(postgres: Postgres, tmp_path: Path) -> None:
    arena = Arena(postgres, tmp_path)
    workers, answers = [], []
    for _round in range(ROUNDS):
        database = arena.copy()
        pair = [_begin(database), _begin(database)]
        for process in pair:
            # The interpreters have started; the end of their input lets them go.
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        found = [_to_the_end(database, _answer(process)) for process in pair]
        assert not [answer for answer in found if answer.get("failed")], found
        # Each worker that ever began had raised the epoch.
        workers.append(database.one("SELECT max(epoch) FROM emailai_migration.lease WHERE name = 'move'"))
        answers.append({(answer["finished"], answer["counts"]["users"]["done"]) for answer in found})
        assert database.rows(STATE) == arena.wanted
        arena.drop(database)
    print(f"{ROUNDS} rounds, one worker in {workers.count(1)}")
    assert workers == [1] * ROUNDS
    assert answers == [{(True, 90)}] * ROUNDS
