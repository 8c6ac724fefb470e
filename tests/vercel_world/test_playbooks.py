# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as an operator calls them, with a project of Vercel for a fleet and a real journal."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from integration import report_world
from integration.conftest import Postgres, postgres
from integration.operator import Operator
from integration.tenancy_world import Database
from lab.ground import wait_until
from vercel_world.stand_in import OLD, TEAM, TOKEN, StandIn

__all__ = ["postgres"]


@pytest.fixture(scope="module")
def moved(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """People in their organizations."""
    database = Database(postgres.new_database(), tmp_path_factory.mktemp("work"))
    database.build()
    database.fill()
    for module, options in (("org_schema", {"state": "indexed"}), ("org_migration", {"grace_seconds": 0})):
        answer = database.call(module, **options)
        assert not answer["failed"], answer["msg"]
    return database


class Desk(Operator):
    """With a project of Vercel, watched by its own log."""

    def __init__(self, folder: Path, stand: StandIn, target: Target) -> None:
        figures = {"kind": "http_json", "url": f"{stand.url}/figures?from=$since&to=$until"}
        super().__init__(
            folder,
            target,
            app_public_url=stand.url,
            app_final_soak_seconds=3,
            gate_window_seconds=1,
            gate_poll_seconds=0.5,
            gate_minimum_requests=20,
            gate_compared_with={"p95_ms": 40},
            gate_limits={"extensions": 1},
            gate_host="vercel",
            gate_providers=[
                {"kind": "vercel", "url": stand.url, "token": TOKEN, "project": "emailai", "team_id": TEAM,
                 "timeout_seconds": 2},
                {**figures, "requests": "requests", "p95": "p95", "duration": "ms"},
            ],
        )  # fmt: skip
        self.stand = stand
        self.secrets.append(TOKEN)
        self.hosts["app"] = {
            "vercel": {
                "app_platform": "vercel",
                "app_url": stand.url,
                "app_health_host": "vercel",
                "app_health_timeout_seconds": 5,
                "app_vercel_token": TOKEN,
                "app_vercel_project": "emailai",
                "app_vercel_team_id": TEAM,
                "app_vercel_api_url": stand.url,
                "app_vercel_timeout_seconds": 20,
            }
        }

    @property
    def recorded(self) -> list[tuple[str, ...]]:
        """Of each project how it stands, and by which deployments the new release came and would go."""
        return report_world.rows(
            self.target,
            "SELECT host, state, detail ->> 'deployment', detail ->> 'deployment_before'"
            " FROM emailai_migration.artifact",
        )


@pytest.fixture
def operator(tmp_path: Path, stand: StandIn, postgres: Postgres, moved: Database) -> Desk:
    """A copy of the database for each test, with a journal of its own whose next phase is deploy."""
    target = postgres.new_database()
    for words in ("DROP DATABASE {}", "CREATE DATABASE {} TEMPLATE " + moved.target.dbname):
        postgres.server.execute(words.format(target.dbname))
    desk = Desk(tmp_path, stand, target)
    desk.wait_for("deploy")
    return desk


def test_a_killed_rollout_is_resumed_recorded_shown_and_taken_back(operator: Desk) -> None:
    """Check, killed once users are there, on, again; status; back: check, real, again."""
    stand = operator.stand
    stand.traffic = 200
    checked = operator.play("deploy", "--check")
    assert "Check mode: nothing was changed" in checked, checked
    assert [verb for verb, _path, _body in stand.seen if verb != "GET"] == []
    assert (operator.run, operator.recorded) == ("verifying", [])

    process = operator.begin("deploy")
    with contextlib.ExitStack() as stack:
        stack.callback(operator.kill, process)
        wait_until(lambda: stand.production == "dpl_1", 90, "users are led to the new release")
    assert operator.recorded == []
    operator.play("deploy")
    assert (stand.production, len(stand.made())) == ("dpl_1", 1)
    assert operator.recorded == [("vercel", "deployed", "dpl_1", OLD)]
    again = operator.play("deploy")
    assert "Nothing changed on any host" in again, again
    status = operator.play("status")
    assert f"vercel: v2.0.0-orgs is dpl_1, v1.9.0 is {OLD}" in status, status

    checked = operator.play("roll_back", "--check")
    assert stand.production == "dpl_1", checked
    operator.play("roll_back")
    assert (stand.production, operator.run) == (OLD, "rolled_back")
    again = operator.play("roll_back")
    assert "Nothing changed on any host" in again, again


def test_a_release_whose_log_is_full_of_errors_goes_back_by_its_id(operator: Desk) -> None:
    stand = operator.stand
    stand.traffic = 503
    failed = operator.play("deploy", fails=True)
    assert "Every server is back on v1.9.0" in failed, failed
    assert [path for verb, path, _body in stand.seen if verb == "POST"][-1].endswith(f"/rollback/{OLD}")
    assert (stand.production, operator.run) == (OLD, "failed")
    assert operator.recorded == [("vercel", "returned", "dpl_1", OLD)]
