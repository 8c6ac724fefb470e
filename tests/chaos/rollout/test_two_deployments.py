# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operators deploy at once: one works, the other waits, and nobody who lives loses his lock."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from ansible_collections.emailai.migration.plugins.module_utils._journal.lease import FencedError
from chaos.rollout.test_lost_runs import kill_controller
from chaos.rollout.test_rollout import AFTER, BEFORE, Rollout, started
from integration.conftest import Postgres
from integration.haproxy_fixture import ROOT, wait_until
from integration.test_migration_journal import Operator, change, rows

ROUNDS = 50
PHASES = ("prepare", "back_up", "rehearse", "expand", "move", "verify")
_SILENT = "UPDATE emailai_migration.lease SET expires_at = clock_timestamp()"
_EPOCH = "SELECT epoch FROM emailai_migration.lease WHERE name = 'run'"
_HOLDER = "SELECT owner FROM emailai_migration.lease WHERE name = 'run'"


def at_once(*operators: Operator) -> list[Operator]:
    """All give the command at one moment; those whose deployment may begin."""
    gate = threading.Barrier(len(operators))

    def give(operator: Operator) -> dict[str, t.Any]:
        gate.wait(30)
        return dict(operator.open("deploy"))

    with ThreadPoolExecutor(len(operators)) as pool:
        answers = list(pool.map(give, operators))
    for answer in answers:
        # Whoever may not begin is told who does; nobody is left with neither.
        assert answer["proceed"] != answer["attached"], answers
    return [operator for operator, answer in zip(operators, answers) if answer["proceed"]]


def note(operator: Operator) -> None:
    operator.call("recorded", kind="artifact", name="app-1", data={"state": "deployed", "by": operator.name})


def test_fifty_times_exactly_one_may_deploy(postgres: Postgres) -> None:
    """Each round: a free lock, a lock whose holder lives, and one whose holder has fallen silent."""
    ada = Operator(postgres.new_database())
    ada.do(*PHASES)
    change(ada.target, _SILENT)
    won: list[list[str]] = []
    for number in range(ROUNDS):
        epoch = rows(ada.target, _EPOCH)[0][0]
        pair = [ada.beside(f"{name}{number}", pid=number) for name in ("joe", "eve")]
        first = at_once(*pair)
        assert len(first) == 1
        # His is not taken, by nobody, until he has fallen silent.
        assert at_once(*(ada.beside(f"{name}{number}") for name in ("kim", "sam"))) == []
        assert rows(ada.target, _HOLDER) == [(first[0].name,)]
        note(first[0])
        change(ada.target, _SILENT)
        second = at_once(*(ada.beside(f"{name}{number}") for name in ("lea", "tom")))
        assert len(second) == 1
        with pytest.raises(FencedError):
            note(first[0])
        note(second[0])
        # One epoch each time that somebody took the lock, and not one more.
        assert rows(ada.target, _EPOCH) == [(epoch + 2,)]
        won.append([first[0].name[:3], second[0].name[:3]])
        second[0].call("failed", phase="deploy", error="let the next round begin")
    print({name: sum(name in names for names in won) for name in ("joe", "eve", "lea", "tom")})


@pytest.fixture
def fleet(postgres: Postgres, tmp_path: Path) -> t.Iterator[tuple[Rollout, Operator]]:
    """A fleet whose run has come as far as the deployment."""
    target = postgres.new_database()
    url = f"postgresql://{target.user}:{target.password}@{target.host}:{target.port}/{target.dbname}"
    with started(tmp_path, 2) as rollout:
        path = tmp_path / "hosts.yml"
        inventory = yaml.safe_load(path.read_text())
        whole = inventory["all"]
        whole["children"]["database"] = {"hosts": {"db-1": None}}
        whole["children"]["prod"]["hosts"]["db-1"] = None
        whole["vars"] |= {
            "migration_owner_url": url,
            "migration_reader_url": url,
            "app_soak_seconds": 1,
            "app_final_soak_seconds": 1,
            "app_batches": [50, 100],
            "gate_minimum_requests": 1,
            "gate_poll_seconds": 0.5,
            "gate_limits": {"p95_ms": 0},
            "gate_compared_with": {"requests": 5000},
            "gate_providers": [
                {"kind": "haproxy", "socket": rollout.fleet.haproxy.socket, "backend": "emailai"}
            ],
            # The lock is what is tried here; there is no data to verify.
            "gate_databases": [],
        }
        path.write_text(yaml.safe_dump(inventory))
        ada = Operator(target, releases=(BEFORE, AFTER))
        ada.do(*PHASES)
        change(target, _SILENT)
        yield rollout, ada


def deploy_command(rollout: Rollout, owner: str, **more: t.Any) -> list[str]:
    return [
        str(Path(sys.executable).parent / "ansible-playbook"),
        *("-i", str(rollout.folder / "hosts.yml"), "-l", "prod"),
        *("-e", json.dumps({"journal_owner": owner, "balancer_lease_seconds": 0.5, **more})),
        "playbooks/deploy.yml",
    ]


def refused_plan(rollout: Rollout, **more: t.Any) -> str:
    """What a check run tells that fails."""
    run = subprocess.run(
        [*deploy_command(rollout, "joe", **more), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=rollout.environment,
    )
    assert run.returncode != 0, run.stdout
    return run.stdout


def deploy(rollout: Rollout, owner: str, **more: t.Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        deploy_command(rollout, owner, **more),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=rollout.environment,
    )


def test_of_two_playbooks_one_deploys_and_the_other_finds_it_done(fleet: tuple[Rollout, Operator]) -> None:
    rollout, ada = fleet
    with rollout.fleet.users(count=3).visiting() as users:
        epoch = rows(ada.target, _EPOCH)[0][0]
        runs = [deploy(rollout, owner) for owner in ("joe", "eve")]
        outputs = [run.communicate(timeout=150)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(outputs)
    assert sum("Waiting for " in output for output in outputs) == 1, "\n".join(outputs)
    assert rows(ada.target, _EPOCH) == [(epoch + 1,)]
    assert rollout.current == [AFTER] * 2
    assert rollout.drains() == 2
    assert rollout.states == ["UP"] * 2
    assert users.failures == []


def test_the_one_who_waits_takes_over_from_a_killed_controller(fleet: tuple[Rollout, Operator]) -> None:
    rollout, ada = fleet
    with rollout.fleet.users(count=3).visiting() as users:
        first = deploy(rollout, "joe")
        wait_until(lambda: rollout.drains() > 0, 60)
        second = deploy(rollout, "eve")
        time.sleep(1)
        kill_controller(t.cast("subprocess.Popen[bytes]", first))
        assert first.stdout is not None
        first.stdout.close()
        output, _none = second.communicate(timeout=150)
    assert second.returncode == 0, output
    assert rows(ada.target, _HOLDER) == [("eve",)]
    assert rollout.current == [AFTER] * 2
    wait_until(lambda: rollout.states == ["UP"] * 2)
    assert users.failures == []


def test_no_batch_begins_after_one_that_failed(fleet: tuple[Rollout, Operator]) -> None:
    """The barrier before each batch reads it in the journal: Ansible itself would go on."""
    rollout, _ada = fleet
    with rollout.fleet.users(count=3).visiting() as users:
        run = deploy(rollout, "joe", app_smoke_command=["false"])
        output, _none = run.communicate(timeout=150)
    assert run.returncode != 0
    assert f"Every server is back on {BEFORE}." in output, output
    log = (rollout.fleet.haproxy.folder / "haproxy.log").read_text()
    assert "app-1 enters drain state" in log
    assert "app-2 enters drain state" not in log
    assert rollout.current == [BEFORE] * 2
    assert rollout.states == ["UP"] * 2
    assert users.failures == []


@pytest.mark.parametrize("is_lost", [False, True], ids=["another artifact", "a lost server"])
def test_what_cannot_be_brought_to_one_server_keeps_it_from_all(
    fleet: tuple[Rollout, Operator], is_lost: bool
) -> None:
    """The last server of the fleet is at fault, and the first is never drained."""
    rollout, _ada = fleet
    path = rollout.folder / "hosts.yml"
    sound = path.read_text()
    lost = rollout.folder / "lost-app-2"
    if is_lost:
        lost.touch()
    else:
        inventory = yaml.safe_load(sound)
        inventory["all"]["children"]["app"]["hosts"]["app-2"]["app_artifact_sha256"] = "0" * 64
        path.write_text(yaml.safe_dump(inventory))
    with rollout.fleet.users(count=3).visiting() as users:
        assert f"Cannot bring {AFTER} to app-2: " in refused_plan(rollout)
        output, _none = deploy(rollout, "joe").communicate(timeout=150)
        assert f"Cannot bring {AFTER} to app-2: " in output, output
        assert ("app-2 cannot be reached" if is_lost else "its sha256 is") in output, output
        assert "The fleet stays as it is. Run the same command again to go on" in output
        assert rollout.drains() == 0
        assert rollout.current == [BEFORE] * 2
        path.write_text(sound)
        lost.unlink(missing_ok=True)
        run = deploy(rollout, "joe")
        output, _none = run.communicate(timeout=150)
    assert run.returncode == 0, output
    assert rollout.current == [AFTER] * 2
    assert users.failures == []


def test_a_check_run_fails_where_a_batch_could_not_be_rolled_out(fleet: tuple[Rollout, Operator]) -> None:
    rollout, _ada = fleet
    output = refused_plan(rollout, balancer_min_healthy=2)
    assert "Cannot drain app-1: 1 of 2 members would go on serving" in output, output
    assert f"is back on {BEFORE}" not in output, "nothing was taken away"
