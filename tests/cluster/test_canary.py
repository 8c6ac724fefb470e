# SPDX-License-Identifier: GPL-3.0-or-later
"""A share of the users first: a second Deployment, ended by the release itself or by the way back."""

from __future__ import annotations

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from cluster.world import World, image, kept_doomed, waiting
from lab.cluster import Cluster


def ready(world: World, number: int) -> list[str]:
    """The names of the pods that a Service with the selector of web leads to."""
    return [
        pod["metadata"]["name"]
        for pod in world.pods(number)
        if pod["metadata"]["labels"].get("app") == "web" and "deletionTimestamp" not in pod["metadata"]
    ]


def test_a_canary_four_times_then_the_release_then_back(cluster: Cluster) -> None:
    world = World(cluster, ("web", "worker"))
    before = {name: world.deployment(name)["spec"] for name in world.names}
    planned = world.call(check=True, state="canary")
    assert (planned["changed"], planned["canary"]) == (True, {"name": "web-canary", "pods": 1})
    assert not world.is_there(f"{world.apps}/deployments/web-canary")

    assert world.call(state="canary")["changed"]
    assert (len(ready(world, 1)), len(ready(world, 2))) == (3, 1)
    assert {name: world.deployment(name)["spec"] for name in world.names} == before
    for check in (True, False):
        again = world.call(check=check, state="canary")
        assert (again["changed"], again["canary"]["pods"]) == (False, 1)

    # The release is not there yet, and whoever asks must not be told so.
    assert not world.call(check=True)["is_current"]
    assert world.call()["is_current"]
    assert (len(ready(world, 1)), len(ready(world, 2))) == (0, 3)
    assert not world.is_there(f"{world.apps}/deployments/web-canary")
    late = world.call(state="canary")
    assert (late["changed"], late["canary"], late["is_current"]) == (False, {"name": "", "pods": 0}, True)

    world.back()
    assert {name: world.deployment(name)["spec"]["template"] for name in world.names} == {
        name: spec["template"] for name, spec in before.items()
    }


def test_back_from_a_canary_leaves_no_trace(cluster: Cluster) -> None:
    world = World(cluster)
    before = world.deployment()
    world.call(state="canary")
    planned = world.back(check=True)
    assert (planned["changed"], planned["is_current"]) == (True, False)
    assert len(ready(world, 2)) == 1
    assert world.back()["changed"]
    assert (len(ready(world, 1)), len(ready(world, 2))) == (3, 0)
    after = world.deployment()
    assert (after["spec"], after["metadata"]["generation"]) == (
        before["spec"],
        before["metadata"]["generation"],
    )
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    for check in (True, False):
        assert not world.back(check=check)["changed"]


def test_a_canary_that_is_doomed_fails_in_seconds_and_users_keep_what_they_have(cluster: Cluster) -> None:
    world = World(cluster)
    with (
        kept_doomed(world, 2, waiting("CrashLoopBackOff")),
        pytest.raises(MigrationError, match=r"web-canary.*Crash"),
    ):
        world.call(state="canary")
    assert len(ready(world, 1)) == 3
    world.back()
    assert ready(world, 2) == []


def test_another_image_of_the_release_gets_a_canary_too(cluster: Cluster) -> None:
    world = World(cluster)
    world.call()
    again = world.call(state="canary", image=image(3))
    assert (again["canary"]["pods"], again["is_current"]) == (1, False)
    assert (len(ready(world, 2)), len(ready(world, 3))) == (3, 1)
    world.call(image=image(3))


def test_what_a_run_that_was_stopped_has_left_is_replaced(cluster: Cluster) -> None:
    """Its selector cannot be changed, and its pods shall not be of two releases."""
    world = World(cluster)
    world.call(state="canary", release="v2")
    assert world.call(state="canary", release="v3", image=image(3))["changed"]
    assert (len(ready(world, 2)), len(ready(world, 3))) == (0, 1)
    assert (
        world.call(state="canary", release="v3", image=image(3), canary_percent=50.0)["canary"]["pods"] == 3
    )
    assert len(ready(world, 3)) == 3


def test_somebody_elses_deployment_of_that_name_is_left_alone(cluster: Cluster) -> None:
    world = World(cluster, ("web", "web-canary"))
    with pytest.raises(MigrationError, match="it is not ours"):
        world.call(state="canary", deployments=[{"name": "web", "container": "", "image": ""}])
    world.call(deployments=[{"name": "web", "container": "", "image": ""}])
    world.call(release="v1", image="", deployments=[{"name": "web", "container": "", "image": ""}])
    assert world.deployment("web-canary")["status"]["availableReplicas"] == 3


def test_a_share_that_is_none_is_refused(cluster: Cluster) -> None:
    world = World(cluster)
    with pytest.raises(MigrationError, match="Give 0 to 50"):
        world.call(state="canary", canary_percent=80.0)
    assert world.call(state="canary", canary_percent=0.0)["canary"]["pods"] == 0
