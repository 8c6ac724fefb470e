# SPDX-License-Identifier: GPL-3.0-or-later
"""Module k8s_job against a real control plane; kubelets are played by kwok, or by the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import job
from ansible_collections.emailai.migration.plugins.modules import k8s_job
from cluster.world import SEEN_SECONDS, Result, World, image, kept_doomed, waiting
from lab.cluster import Cluster
from lab.ground import wait_until

# Nobody places such a pod, so that it does only what a test says.
HELD: t.Final = {"schedulerName": "nobody"}
_KILLED = """
import json, sys
from ansible_collections.emailai.migration.plugins.modules import k8s_job
k8s_job.run(json.loads(sys.argv[1]), False)
"""


@pytest.fixture
def world(cluster: Cluster) -> World:
    return World(cluster, ())


def manifest(pod: t.Optional[dict[str, t.Any]] = None, **spec: t.Any) -> dict[str, t.Any]:
    container = {"name": "migrate", "image": image(1), "command": ["npx", "prisma", "migrate", "deploy"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "migrate", "labels": {"team": "mail"}},
        "spec": {
            "backoffLimit": 0,
            **spec,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container], **(pod or {})}},
        },
    }


def options(world: World, **more: t.Any) -> dict[str, t.Any]:
    defaults = {
        "kubeconfig": str(world.cluster.kubeconfig), "context": "", "namespace": world.namespace,
        "manifest": manifest(), "release": "v2", "image": image(2), "container": "",
        "timeout_seconds": 60.0, "patience_seconds": 30.0,
    }  # fmt: skip
    return {**defaults, **more}


def call(world: World, check: bool = False, **more: t.Any) -> Result:
    return k8s_job.run(options(world, **more), check)


def jobs(world: World) -> list[t.Any]:
    found: list[t.Any] = world.cluster.call("GET", f"/apis/batch/v1/namespaces/{world.namespace}/jobs")[
        "items"
    ]
    return found


def end(world: World, phase: str) -> None:
    """As the kubelet tells it of pods that ended."""
    wait_until(lambda: bool(world.pods(2)), 20, "the pod of the Job")
    for pod in world.pods(2):
        world.cluster.call(
            "PATCH",
            f"{world.core}/pods/{pod['metadata']['name']}/status",
            {"status": {"phase": phase}},
            "application/merge-patch+json",
        )


def test_a_job_runs_once_in_check_mode_for_real_and_again(world: World) -> None:
    planned = call(world, check=True)
    assert (planned["changed"], planned["job"]["before"], planned["job"]["after"]) == (
        True,
        "absent",
        "complete",
    )
    assert not jobs(world)
    assert call(world)["changed"]
    (made,) = jobs(world)
    assert made["metadata"]["name"] == planned["job"]["name"]
    assert made["metadata"]["labels"]["team"] == "mail"
    assert [one["image"] for one in made["spec"]["template"]["spec"]["containers"]] == [image(2)]
    for check in (True, False):
        assert not call(world, check=check)["changed"]
    assert len(jobs(world)) == 1

    assert call(world, release="v3", image=image(3))["changed"]
    assert len(jobs(world)) == 2, "the next release has one of its own"


def test_one_that_runs_is_waited_for_whoever_began_it(world: World) -> None:
    """Its controller was killed; then another had no patience; the third sees the end."""
    held: dict[str, t.Any] = {"manifest": manifest(HELD)}
    text = json.dumps(options(world, **held))
    controller = subprocess.Popen([sys.executable, "-c", _KILLED, text])
    wait_until(lambda: bool(world.pods(2)), 30, "the Job has begun")
    os.kill(controller.pid, signal.SIGKILL)
    controller.wait()
    (first,) = jobs(world)

    assert call(world, check=True, **held)["job"]["before"] == "running"
    with pytest.raises(MigrationError, match="it still runs after 1 s"):
        call(world, timeout_seconds=1.0, **held)
    thread = threading.Timer(1.0, end, (world, "Succeeded"))
    thread.start()
    done = call(world, **held)
    thread.join()
    assert (done["changed"], done["job"]["before"]) == (True, "running")
    assert [one["metadata"]["uid"] for one in jobs(world)] == [first["metadata"]["uid"]]


def test_one_that_failed_stays_to_be_looked_at_and_is_made_anew(world: World) -> None:
    held: dict[str, t.Any] = {"manifest": manifest(HELD)}
    thread = threading.Thread(target=end, args=(world, "Failed"))
    thread.start()
    with pytest.raises(MigrationError, match="BackoffLimitExceeded") as caught:
        call(world, **held)
    thread.join()
    assert {"logs", "events"} <= set(caught.value.facts)
    (failed,) = jobs(world)
    planned = call(world, check=True, **held)
    assert (planned["changed"], planned["job"]["before"]) == (True, "failed")
    assert [one["metadata"]["uid"] for one in jobs(world)] == [failed["metadata"]["uid"]]

    def succeed() -> None:
        wait_until(
            lambda: [one["metadata"]["uid"] for one in jobs(world)] not in ([], [failed["metadata"]["uid"]]),
            30,
            "another Job",
        )
        end(world, "Succeeded")

    thread = threading.Thread(target=succeed)
    thread.start()
    assert call(world, **held)["changed"]
    thread.join()
    assert len(jobs(world)) == 1


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CreateContainerConfigError"])
def test_one_that_cannot_begin_ends_in_seconds_and_never_begins(world: World, reason: str) -> None:
    began = time.monotonic()
    with kept_doomed(world, 2, waiting(reason), "Job"), pytest.raises(MigrationError, match=reason):
        call(world, manifest=manifest(HELD))
    assert time.monotonic() - began < SEEN_SECONDS
    wait_until(lambda: not jobs(world), 20, "the Job is gone")


def test_one_that_crashes_has_the_tries_that_it_was_given(world: World) -> None:
    with (
        kept_doomed(world, 2, waiting("CrashLoopBackOff"), "Job"),
        pytest.raises(MigrationError, match="still runs"),
    ):
        call(
            world,
            manifest=manifest({**HELD, "restartPolicy": "OnFailure"}, backoffLimit=6),
            timeout_seconds=3.0,
        )
    assert len(jobs(world)) == 1


def test_no_room_on_any_node_is_seen(world: World) -> None:
    with pytest.raises(MigrationError, match=r"Unschedulable: .*node\(s\)"):
        call(world, manifest=manifest({"nodeSelector": {"disk": "none"}}))
    wait_until(lambda: not jobs(world), 20, "the Job is gone")


def test_a_quota_that_is_used_up_is_seen(world: World) -> None:
    quota = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "0"}}}
    world.cluster.call("POST", f"{world.core}/resourcequotas", quota)
    path = f"{world.core}/resourcequotas/pods"
    wait_until(lambda: "used" in world.cluster.call("GET", path).get("status", {}), 20, "the quota counts")
    began = time.monotonic()
    with pytest.raises(MigrationError, match=r"FailedCreate .*exceeded quota"):
        call(world)
    assert time.monotonic() - began < SEEN_SECONDS
    wait_until(lambda: not jobs(world), 20, "the Job is gone")


def test_its_own_deadline_is_respected(world: World) -> None:
    with pytest.raises(MigrationError, match="DeadlineExceeded"):
        call(world, manifest=manifest(HELD, activeDeadlineSeconds=1))


def test_a_job_of_somebody_else_is_left_alone(world: World) -> None:
    wish = job.Wish(manifest(HELD), "v2", image(2), "", 60.0)
    theirs = {**manifest(HELD), "metadata": {"name": wish.name}}
    world.cluster.call("POST", f"/apis/batch/v1/namespaces/{world.namespace}/jobs", theirs)
    for check in (True, False):
        with pytest.raises(MigrationError, match="of somebody else is there"):
            call(world, check=check, manifest=manifest(HELD))
    assert len(jobs(world)) == 1


def test_what_the_server_does_not_admit_is_refused_in_check_mode_too(world: World) -> None:
    for check in (True, False):
        with pytest.raises(MigrationError, match=r"Cannot create Job .*restartPolicy"):
            call(world, check=check, manifest=manifest({"restartPolicy": "Always"}))
    assert not jobs(world)
