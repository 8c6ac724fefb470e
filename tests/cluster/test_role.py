# SPDX-License-Identifier: GPL-3.0-or-later
"""The role on a cluster: forth, again, a release that cannot start, and back."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from check.export import ROOT
from cluster.test_contexts import joined
from cluster.test_k8s_job import HELD, end, jobs, manifest
from cluster.world import World, image, kept_doomed, waiting
from lab.cluster import Cluster

_RELEASES = {image(1): "v1.9.0", image(2): "v2.0.0-orgs"}


@pytest.fixture
def world(cluster: Cluster) -> World:
    return World(cluster, ("web", "worker"))


@dataclass
class Bad:
    """How bad the new release is to its users, and how often somebody has asked."""

    errors: int = 0
    asked: int = 0


@pytest.fixture
def bad() -> Bad:
    return Bad()


@pytest.fixture
def address(world: World, bad: Bad) -> t.Iterator[str]:
    with answering(world, bad) as url:
        yield url


@contextlib.contextmanager
def answering(world: World, bad: Bad) -> t.Iterator[str]:
    """What answers for the cluster: the release that the template of web has."""

    class Ingress(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/figures"):
                # Of a stretch of time; the new release is as bad as the test says.
                errors = 100 * bad.errors if world.pods(2) else 0
                document: dict[str, t.Any] = {"requests": 400, "errors": errors, "p95": 20}
                bad.asked += 1
            else:
                release = _RELEASES[world.template()["spec"]["containers"][0]["image"]]
                document = {"status": "ok", "version": release}
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: t.Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ingress) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def play(
    folder: Path,
    world: World,
    address: str,
    door: str,
    *words: str,
    hosts: t.Optional[dict[str, dict[str, t.Any]]] = None,
    job: t.Optional[dict[str, t.Any]] = None,
) -> subprocess.CompletedProcess[str]:
    tasks = [
        {
            "name": "Go",
            "ansible.builtin.include_role": {"name": "emailai.migration.app", "tasks_from": door},
        }
    ]
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "migration_side": "prod",
        "migration_release_before": "v1.9.0",
        "migration_release_after": "v2.0.0-orgs",
        "app_platform": "kubernetes",
        "app_url": address,
        "app_health_host": "cluster-1",
        "app_health_timeout_seconds": 20,
        "app_kubernetes_kubeconfig": str(world.cluster.kubeconfig),
        "app_kubernetes_namespace": world.namespace,
        "app_kubernetes_deployments": [{"name": name} for name in world.names],
        "app_kubernetes_image": image(2),
        "app_kubernetes_timeout_seconds": 60,
        "app_soak_seconds": 3,
        "gate_host": "cluster-1",
        "gate_window_seconds": 1,
        "gate_poll_seconds": 0.5,
        "gate_minimum_requests": 20,
        "gate_compared_with": {"p95_ms": 40},
        "gate_providers": [
            {
                "kind": "http_json",
                "url": f"{address}/figures?from=$since&to=$until",
                "lag_seconds": 0,
                "requests": "requests",
                "errors": "errors",
                "p95": "p95",
                "duration": "ms",
            }
        ],
    }
    if job:
        (folder / "job.yaml").write_text(json.dumps(job))
        variables["app_kubernetes_job"] = str(folder / "job.yaml")
    hosts = hosts or {"cluster-1": {}}
    inventory = {"all": {"children": {"prod": {"hosts": hosts}, "app": {"hosts": hosts}}, "vars": variables}}
    (folder / "hosts.json").write_text(json.dumps(inventory))
    book = [{"name": "Play", "hosts": "app", "gather_facts": False, "tasks": tasks}]
    (folder / "play.yml").write_text(json.dumps(book))
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.json", "play.yml", "-v", *words],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_a_cluster_goes_forth_and_back(world: World, address: str, bad: Bad, tmp_path: Path) -> None:
    before = {name: world.template(name) for name in world.names}
    job = manifest()
    checked = play(tmp_path, world, address, "deploy", "--check", job=job)
    assert checked.returncode == 0, checked.stdout
    assert {name: world.template(name) for name in world.names} == before
    assert not jobs(world)

    done = play(tmp_path, world, address, "deploy", job=job)
    assert done.returncode == 0, done.stdout
    (ran,) = jobs(world)
    new = world.replica_sets(2)
    assert new
    assert ran["status"]["completionTime"] <= min(one["metadata"]["creationTimestamp"] for one in new)
    assert [world.template(name)["spec"]["containers"][0]["image"] for name in world.names] == [image(2)] * 2
    assert bad.asked >= 3, "the canary was not watched"
    assert not world.is_there(f"{world.apps}/deployments/web-canary")
    again = play(tmp_path, world, address, "deploy", job=job)
    assert "changed=0" in again.stdout, again.stdout
    assert world.cluster.token not in done.stdout

    back = play(tmp_path, world, address, "roll_back", job=job)
    assert back.returncode == 0, back.stdout
    assert {name: world.template(name) for name in world.names} == before
    assert "changed=0" in play(tmp_path, world, address, "roll_back", job=job).stdout
    assert len(jobs(world)) == 1, "nothing runs on the way back"


def test_a_job_that_fails_keeps_the_release_from_everybody(
    world: World, address: str, tmp_path: Path
) -> None:
    before = {name: world.deployment(name)["spec"] for name in world.names}
    thread = threading.Thread(target=end, args=(world, "Failed"))
    thread.start()
    failed = play(tmp_path, world, address, "deploy", job=manifest(HELD))
    thread.join()
    assert failed.returncode != 0
    assert "BackoffLimitExceeded" in failed.stdout, failed.stdout
    assert {name: world.deployment(name)["spec"] for name in world.names} == before


def test_a_release_that_cannot_start_is_taken_back(world: World, address: str, tmp_path: Path) -> None:
    before = world.template()
    with kept_doomed(world, 2, waiting("CrashLoopBackOff")):
        failed = play(tmp_path, world, address, "deploy")
    assert failed.returncode != 0
    assert "CrashLoopBackOff" in failed.stdout
    assert world.template() == before


def test_a_canary_that_does_badly_goes_and_the_others_never_left(
    world: World, address: str, bad: Bad, tmp_path: Path
) -> None:
    before = {name: world.deployment(name)["spec"] for name in world.names}
    bad.errors = 1
    failed = play(tmp_path, world, address, "deploy")
    assert failed.returncode != 0
    assert "The server is back on v1.9.0" in failed.stdout, failed.stdout
    assert all("deletionTimestamp" in pod["metadata"] for pod in world.pods(2))
    assert {name: world.deployment(name)["spec"] for name in world.names} == before


def test_what_is_under_way_is_stopped_and_then_taken_back(world: World, address: str, tmp_path: Path) -> None:
    """As the playbook does it: first everywhere a stop, then one host after the other goes back."""
    before = {name: world.template(name) for name in world.names}
    with kept_doomed(world, 2, waiting("ContainerCreating")):
        with pytest.raises(MigrationError, match="after 2 s"):
            world.call(release="v2.0.0-orgs", serving="v1.9.0", timeout_seconds=2.0)
        for words in (["--check"], []):
            stopped = play(tmp_path, world, address, "stop", *words)
            assert stopped.returncode == 0, stopped.stdout
            assert bool(world.deployment()["spec"].get("paused")) == (not words)
        assert "changed=0" in play(tmp_path, world, address, "stop").stdout
        assert not world.deployment("worker")["spec"].get("paused"), "it had nothing under way"
        # Whoever wants to go on instead may do so.
        assert world.call(release="v2.0.0-orgs", check=True)["changed"]

    back = play(tmp_path, world, address, "roll_back")
    assert back.returncode == 0, back.stdout
    assert {name: world.template(name) for name in world.names} == before
    after = world.deployment()
    assert not after["spec"].get("paused")
    assert "emailai.migration/stopped" not in after["metadata"]["annotations"]


def test_two_clusters_of_one_kubeconfig_in_one_run(
    world: World, address: str, bad: Bad, tmp_path: Path
) -> None:
    with Cluster() as other:
        other.add_nodes(1)
        second = World(other)
        kubeconfig = str(joined(tmp_path / "kubeconfig", {"eu": world.cluster, "us": other}))
        with answering(second, bad) as second_address:
            hosts: dict[str, dict[str, t.Any]] = {
                "cluster-1": {"app_kubernetes_context": "eu"},
                "cluster-2": {
                    "app_kubernetes_context": "us",
                    "app_kubernetes_namespace": second.namespace,
                    "app_kubernetes_deployments": [{"name": "web"}],
                    "app_url": second_address,
                },
            }
            for one in hosts.values():
                one["app_kubernetes_kubeconfig"] = kubeconfig
            before = [one.template() for one in (world, second)]
            done = play(tmp_path, world, address, "deploy", hosts=hosts)
            assert done.returncode == 0, done.stdout
            assert [len(one.pods(2)) for one in (world, second)] == [6, 3]
            back = play(tmp_path, world, address, "roll_back", hosts=hosts)
            assert back.returncode == 0, back.stdout
            assert [one.template() for one in (world, second)] == before
        second.remove()
        World.made.remove(second)
