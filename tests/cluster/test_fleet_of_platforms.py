# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers under traffic, workers on a cluster, a project of Vercel: one fleet, by the playbooks."""

from __future__ import annotations

import shutil
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from e2e.desk import Desk, Run
from e2e.last_words import last_words

from cluster.test_k8s_job import jobs, manifest
from cluster.world import World, image, kept_doomed, waiting
from lab.cluster import Cluster
from lab.migration import lost
from vercel_world.stand_in import OLD, TEAM, TOKEN, StandIn, running

BEFORE, AFTER = "v1.9.0", "v2.0.0-orgs"
SERVERS = ("app-1", "app-2", "app-3", "app-4")
# All that deploy builds on; the rehearsal takes longest and knows nothing of platforms.
_FIRST = ("prepare", "back_up", "expand", "move", "verify")
# The processors of this machine are shared: whose answers take longer is not the question here.
_LIMITS = {"p95_ms": 0, "slower_floor_ms": 5000}


@dataclass
class Fleet:
    desk: Desk
    workers: World
    vercel: StandIn

    def play(self, playbook: str, *words: str, **variables: t.Any) -> Run:
        inventories = ("-i", "inventories/lab", "-i", str(self.desk.layout.folder.parent / "more.yml"))
        return self.desk.play(
            playbook, *words, *inventories, journal_without=["rehearse"], gate_limits=_LIMITS, **variables
        )

    def write_inventory(self) -> None:
        """Beside the lab's own: one variable says what a host is."""
        folder = self.desk.layout.folder.parent
        (folder / "job.yml").write_text(yaml.safe_dump(manifest()))
        workers = {
            "app_platform": "kubernetes",
            "app_url": "",
            "app_kubernetes_kubeconfig": str(self.workers.cluster.kubeconfig),
            "app_kubernetes_namespace": self.workers.namespace,
            "app_kubernetes_deployments": [{"name": "worker"}],
            "app_kubernetes_canary_percent": 0,
            "app_kubernetes_image": image(2),
            "app_kubernetes_job": str(folder / "job.yml"),
        }
        project = {
            "app_platform": "vercel",
            "app_url": self.vercel.url,
            "app_smoke_user": "",
            "app_vercel_token": TOKEN,
            "app_vercel_project": "emailai",
            "app_vercel_team_id": TEAM,
            "app_vercel_api_url": self.vercel.url,
        }
        hosts = {"workers": workers, "vercel": project}
        more = {"app": {"hosts": hosts}, "prod": {"hosts": dict.fromkeys(hosts)}}
        (folder / "more.yml").write_text(yaml.safe_dump(more))

    def standing(self) -> tuple[set[str], t.Any, str]:
        return set(self.desk.releases().values()), self.workers.template("worker"), self.vercel.production


@pytest.fixture
def fleet(cluster: Cluster) -> t.Iterator[Fleet]:
    folder = Path(tempfile.mkdtemp(prefix="emailai-fleet-"))
    folder.chmod(0o755)
    with running() as vercel:
        place = Fleet(Desk(folder / "lab"), World(cluster, ("worker",)), vercel)
        try:
            place.desk.lab("up")
            place.write_inventory()
            yield place
        finally:
            place.desk.lab("load", "stop")
            place.desk.lab("down")
            shutil.rmtree(folder, ignore_errors=True)


def test_one_fleet_of_three_platforms_goes_forth_and_back(fleet: Fleet) -> None:
    desk = fleet.desk
    before = fleet.standing()
    desk.lab("load", "start")
    fleet.play(*(f"playbooks/{name}.yml" for name in _FIRST)).must_succeed()
    planned = fleet.play("playbooks/deploy.yml", "--check").must_succeed()
    assert fleet.standing() == before, planned.output[-3000:]
    assert not jobs(fleet.workers)

    # A release that the cluster cannot start takes the servers back with it.
    with kept_doomed(fleet.workers, 2, waiting("CrashLoopBackOff")):
        fleet.play("playbooks/deploy.yml").must_fail("CrashLoopBackOff", f"Every server is back on {BEFORE}")
    assert fleet.standing() == before

    done = fleet.play("playbooks/deploy.yml").must_succeed()
    rows = desk.rows("SELECT host, state FROM emailai_migration.artifact")
    assert dict(rows) == dict.fromkeys((*SERVERS, "workers", "vercel"), "deployed")
    now = fleet.standing()
    assert now[0] == {AFTER}
    assert now[1]["spec"]["containers"][0]["image"] == image(2), done.output[-3000:]
    assert now[2] != OLD
    assert len(jobs(fleet.workers)) == 1
    again = fleet.play("playbooks/deploy.yml").must_succeed()
    assert not any(again.changed.values()), again.output[-3000:]

    fleet.play("playbooks/roll_back.yml").must_succeed()
    assert fleet.standing() == before
    desk.lab("load", "stop")
    report = desk.load_report()
    assert report["failed"] == 0, last_words(desk.layout)
    assert report["requests"] > 500
    assert set(report["by_server_counts"]) == set(SERVERS)
    assert lost(desk.layout) == []
