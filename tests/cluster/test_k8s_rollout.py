# SPDX-License-Identifier: GPL-3.0-or-later
"""Module k8s_rollout against a real control plane; kubelets are played by kwok."""

from __future__ import annotations

import json
import signal
import threading
import time
import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import rollout
from cluster.world import SEEN_SECONDS, Result, World, image, kept_doomed, waiting
from lab.cluster import Cluster
from lab.ground import wait_until


def test_a_release_is_brought_in_check_mode_for_real_and_again_and_taken_back(cluster: Cluster) -> None:
    world = World(cluster, ("web", "worker"))
    before = {name: world.template(name) for name in world.names}
    planned = world.call(check=True)
    assert (planned["changed"], planned["is_current"]) == (True, False)
    assert [row["after"] for row in planned["deployments"]] == [image(2), image(2)]
    assert {name: world.template(name) for name in world.names} == before

    assert world.call()["changed"]
    assert [world.template(name)["spec"]["containers"][0]["image"] for name in world.names] == [image(2)] * 2
    for check in (True, False):
        again = world.call(check=check)
        assert (again["changed"], again["is_current"]) == (False, True)

    assert world.back(check=True)["changed"]
    assert world.template()["spec"]["containers"][0]["image"] == image(2)
    assert world.back()["changed"]
    assert {name: world.template(name) for name in world.names} == before
    for check in (True, False):
        assert not world.back(check=check)["changed"]
    assert world.deployment()["metadata"]["annotations"]["team"] == "mail"


def test_ten_chained_undos_end_at_the_exact_template(cluster: Cluster) -> None:
    world = World(cluster)
    first = world.template()
    for number in range(2, 7):
        world.call(release=f"v{number}", serving=f"v{number - 1}", image=image(number))
    known = {5: world.template()}
    for step, number in enumerate((5, 4, 3, 2, 1, 2, 3, 2, 6, 1)):
        done = world.call(release=f"v{number}", serving="", image="")
        assert done["changed"], (step, number)
        found = world.template()
        assert found["spec"]["containers"][0]["image"] == image(number)
        assert known.setdefault(number, found) == found or number == 5
    assert world.template() == first


@pytest.mark.parametrize(
    "reason",
    [
        "CrashLoopBackOff",
        "ErrImagePull",
        "ImagePullBackOff",
        "CreateContainerConfigError",
        "InvalidImageName",
    ],
)
def test_pods_that_are_doomed_fail_the_rollout_in_seconds(cluster: Cluster, reason: str) -> None:
    world = World(cluster)
    first = world.template()
    began = time.monotonic()
    with kept_doomed(world, 2, waiting(reason)), pytest.raises(MigrationError, match=reason) as caught:
        world.call()
    assert time.monotonic() - began < SEEN_SECONDS
    assert {"logs", "events"} <= set(caught.value.facts)
    assert world.back()["changed"]
    assert world.template() == first


def test_too_little_memory_is_seen(cluster: Cluster) -> None:
    world = World(cluster)
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    status = waiting("ContainerCreating")
    status["containerStatuses"][0]["lastState"] = ended
    began = time.monotonic()
    with kept_doomed(world, 2, status), pytest.raises(MigrationError, match="needs more memory"):
        world.call()
    assert time.monotonic() - began < SEEN_SECONDS


def test_no_room_on_any_node_is_seen(cluster: Cluster) -> None:
    world = World(cluster)
    huge = {"spec": {"template": {"spec": {"containers": [
        {"name": "app", "image": image(1), "resources": {"requests": {"cpu": "64"}}}]}}}}  # fmt: skip
    world.cluster.call(
        "PATCH", f"{world.apps}/deployments/web", huge, "application/strategic-merge-patch+json"
    )
    began = time.monotonic()
    with pytest.raises(MigrationError, match=r"Unschedulable: .*Insufficient cpu"):
        world.call()
    assert time.monotonic() - began < 2 * SEEN_SECONDS


def test_a_quota_that_is_used_up_is_seen(cluster: Cluster) -> None:
    world = World(cluster)
    quota = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "3"}}}
    world.cluster.call("POST", f"{world.core}/resourcequotas", quota)
    path = f"{world.core}/resourcequotas/pods"
    wait_until(lambda: "used" in world.cluster.call("GET", path).get("status", {}), 20, "the quota counts")
    began = time.monotonic()
    with pytest.raises(MigrationError, match=r"FailedCreate: .*exceeded quota"):
        world.call()
    assert time.monotonic() - began < SEEN_SECONDS


def test_a_progress_deadline_is_seen(cluster: Cluster) -> None:
    world = World(cluster)
    world.patch("web", {"spec": {"progressDeadlineSeconds": 2}})
    with kept_doomed(world, 2, waiting("ContainerCreating")), pytest.raises(MigrationError) as caught:
        world.call()
    assert "has timed out progressing" in str(caught.value)


def read(world: World) -> tuple[str, str]:
    """How the only Deployment stands in the readiness table, and what was found."""
    (line,) = world.call(state="read")["readiness"]
    assert line["item"] == "Deployment web"
    return line["state"], line["found"]


def test_a_paused_rollout_is_refused_and_may_be_resumed(cluster: Cluster) -> None:
    world = World(cluster)
    assert world.call(check=True, state="paused")["changed"]
    assert not world.deployment()["spec"].get("paused")
    assert world.call(state="paused")["changed"]
    assert not world.call(state="paused")["changed"]
    with pytest.raises(MigrationError, match="its rollout is paused"):
        world.call()
    # The controller sees a new specification a moment after it was written.
    wait_until(lambda: read(world) == ("open", "3 pods are available, paused"), 10, "the pause is seen")
    assert world.call(state="resumed")["changed"]
    wait_until(lambda: read(world) == ("met", "3 pods are available"), 10, "the rollout is seen to go on")
    assert not world.call(state="resumed")["changed"]
    assert world.call()["changed"]


def test_what_we_have_stopped_goes_on_forth_or_back(cluster: Cluster) -> None:
    world = World(cluster)
    first = world.template()
    assert not world.call(state="stopped")["changed"], "nothing was under way"
    for way in ("forth", "back"):
        with kept_doomed(world, 2, waiting("ContainerCreating")):
            with pytest.raises(MigrationError, match="after 1 s"):
                world.call(timeout_seconds=1.0)
            assert world.call(check=True, state="stopped")["changed"]
            assert world.call(state="stopped")["changed"]
            assert not world.call(state="stopped")["changed"]
        for pod in world.pods(2):
            world.cluster.call("DELETE", f"{world.core}/pods/{pod['metadata']['name']}")
        assert (world.call() if way == "forth" else world.back())["changed"]
        assert not world.deployment()["spec"].get("paused")
        assert rollout.STOPPED not in world.deployment()["metadata"]["annotations"]
        world.back()
        assert world.template() == first


def test_a_release_that_was_stopped_before_anything_began_is_taken_back(cluster: Cluster) -> None:
    """While it is paused no ReplicaSet has the new template, and the newest one is still that of before."""
    world = World(cluster)
    first = world.template()
    world.call()
    world.back()
    world.patch("web", {"spec": {"paused": True}})
    container = {"name": "app", "image": image(2)}
    merged = {"spec": {"template": {"spec": {"containers": [container]}}}}
    kind = "application/strategic-merge-patch+json"
    world.cluster.call("PATCH", f"{world.apps}/deployments/web", merged, kind)
    assert not world.back(check=True)["is_current"]
    assert world.back()["changed"]
    assert world.template() == first
    assert not world.deployment()["spec"].get("paused")


def test_somebody_who_pauses_it_on_the_way_stops_it(cluster: Cluster) -> None:
    world = World(cluster)
    timer = threading.Timer(1.5, lambda: world.patch("web", {"spec": {"paused": True}}))
    timer.start()
    doomed = kept_doomed(world, 2, waiting("ContainerCreating"))
    with doomed, pytest.raises(MigrationError, match="somebody paused"):
        world.call()
    timer.join()


@pytest.fixture
def own() -> t.Iterator[Cluster]:
    """A control plane that may be broken: what plays the kubelets does not always survive that."""
    with Cluster() as made:
        made.add_nodes(2)
        yield made


def test_an_api_server_that_restarts_on_the_way_is_waited_for(own: Cluster) -> None:
    world = World(own)
    world.patch("web", {"spec": {"minReadySeconds": 8}})
    wait_until(lambda: world.deployment()["status"].get("availableReplicas") == 3, 60, "ready again")
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(world.call(timeout_seconds=90.0)))
    thread.start()
    wait_until(lambda: bool(world.pods(2)), 30, "the rollout is under way")
    world.cluster.restart_server()
    thread.join()
    assert [one["changed"] for one in found] == [True]
    assert world.deployment()["status"]["updatedReplicas"] == 3


def test_an_api_server_that_never_answers_is_not_waited_for_without_an_end(own: Cluster) -> None:
    world = World(own)
    own.server.send(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(MigrationError, match="does not answer"):
            world.call(patience_seconds=2.0)
    finally:
        own.server.send(signal.SIGCONT)
    # Two requests at most: the library's own tries do not come on top.
    assert time.monotonic() - began < 8


def test_what_was_changed_under_the_same_release_comes_back_too(cluster: Cluster) -> None:
    world = World(cluster)
    world.call()
    world.back()
    container = {"name": "app", "env": [{"name": "COLOR", "value": "green"}]}
    merged = {"spec": {"template": {"spec": {"containers": [container]}}}}
    kind = "application/strategic-merge-patch+json"
    world.cluster.call("PATCH", f"{world.apps}/deployments/web", merged, kind)
    green = world.template()
    world.call()
    world.back()
    assert world.template() == green


def test_another_image_of_the_same_release_is_not_taken_for_it(cluster: Cluster) -> None:
    world = World(cluster)
    world.call()
    again = world.call(check=True, image=image(3))
    assert (again["changed"], again["is_current"]) == (True, False)
    assert world.call(image=image(3))["changed"]
    assert world.template()["spec"]["containers"][0]["image"] == image(3)


def test_what_was_never_touched_has_nothing_to_take_back(cluster: Cluster) -> None:
    world = World(cluster)
    before = world.deployment()
    for check in (True, False):
        assert not world.back(check=check)["changed"]
    after = world.deployment()
    assert (after["spec"], after["metadata"]["annotations"]) == (
        before["spec"], before["metadata"]["annotations"],
    )  # fmt: skip
    world.call()
    with pytest.raises(MigrationError, match="no ReplicaSet has its template any more"):
        world.call(release="v0", serving="", image="")


def test_one_after_the_other_and_none_after_one_that_failed(cluster: Cluster) -> None:
    world = World(cluster, ("web", "worker"))
    with kept_doomed(world, 2, waiting("CrashLoopBackOff")), pytest.raises(MigrationError, match="on web"):
        world.call()
    assert world.template("worker")["spec"]["containers"][0]["image"] == image(1)
    world.back()
    assert world.template("web")["spec"]["containers"][0]["image"] == image(1)


def test_bad_input_is_one_sentence_before_anything_is_changed(cluster: Cluster) -> None:
    world = World(cluster)
    before = json.dumps(world.deployment()["spec"])
    with pytest.raises(MigrationError, match="is not pinned to a digest"):
        world.call(image="registry.example.com/emailai/app:v2")
    with pytest.raises(MigrationError, match=r"Deployment lost in test-.*404"):
        world.call(deployments=[{"name": "web"}, {"name": "lost"}])
    with pytest.raises(MigrationError, match="0 of its containers are called side"):
        world.call(deployments=[{"name": "web", "container": "side"}])
    with pytest.raises(MigrationError, match="Cannot read /nowhere"):
        world.call(kubeconfig="/nowhere")
    assert json.dumps(world.deployment()["spec"]) == before
    with pytest.raises(MigrationError) as caught:
        world.call(context="lost")
    assert cluster.token not in str(caught.value)
