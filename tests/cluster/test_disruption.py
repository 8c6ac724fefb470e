# SPDX-License-Identifier: GPL-3.0-or-later
"""A PodDisruptionBudget that allows nothing: evictions are refused, and a rollout asks for none."""

from __future__ import annotations

import threading
import typing as t
import urllib.error

import pytest

from cluster.world import World
from lab.cluster import Cluster
from lab.ground import wait_until


def forbid(world: World) -> None:
    """No pod may be evicted."""
    path = f"/apis/policy/v1/namespaces/{world.namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}}
    world.cluster.call("POST", path, {"metadata": {"name": "all-of-web"}, "spec": spec})
    wait_until(
        lambda: world.cluster.call("GET", f"{path}/all-of-web").get("status", {}).get("currentHealthy") == 3,
        30,
        "the budget counts",
    )


def evict(world: World, pod: t.Any) -> None:
    name = pod["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    world.cluster.call("POST", f"{world.core}/pods/{name}/eviction", body)


def assert_forbidden(world: World, number: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        evict(world, world.pods(number)[0])
    assert refused.value.code == 429
    assert "disruption budget all-of-web" in refused.value.read().decode()


def test_a_budget_that_forbids_evictions_holds_up_no_rollout(cluster: Cluster) -> None:
    world = World(cluster)
    forbid(world)
    assert_forbidden(world, 1)
    over, ready = threading.Event(), list[int]()

    def watch() -> None:
        while not over.wait(0.1):
            ready.append(world.deployment()["status"].get("readyReplicas", 0))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        assert world.call()["changed"]
        assert world.back()["changed"]
    finally:
        over.set()
        thread.join()
    assert min(ready) >= 3
    assert len(world.pods(1)) == 3
