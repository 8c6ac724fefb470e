# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments in a namespace of their own, and pods that are doomed."""

from __future__ import annotations

import contextlib
import itertools
import threading
import typing as t
import urllib.error

from ansible_collections.emailai.migration.plugins.modules import k8s_rollout
from lab.cluster import Cluster
from lab.ground import wait_until

Result = dict[str, t.Any]
_NUMBERS = itertools.count(1)
MERGE = "application/merge-patch+json"
# What a state is seen within, from the moment the API server has it; loose, for a busy machine.
SEEN_SECONDS = 10


def image(number: int) -> str:
    return f"registry.example.com/emailai/app@sha256:{number:064x}"


class World:
    """A namespace of its own with Deployments of three pods."""

    made: t.ClassVar[list[World]] = []

    def __init__(self, cluster: Cluster, names: t.Sequence[str] = ("web",)) -> None:
        self.made.append(self)
        self.cluster = cluster
        self.namespace = f"test-{next(_NUMBERS)}"
        self.names = list(names)
        cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        account = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default"
        wait_until(lambda: self.is_there(account), 30, "the account of the namespace")
        for name in names:
            self.make(name)

    def remove(self) -> None:
        """Whoever plays the kubelets shall not go on with pods that a test has left doomed."""
        with contextlib.suppress(urllib.error.URLError, OSError):
            self.cluster.call("DELETE", f"{self.apps}/deployments", {"propagationPolicy": "Background"})

    def is_there(self, path: str) -> bool:
        try:
            self.cluster.call("GET", path)
        except urllib.error.HTTPError:
            return False
        return True

    def make(self, name: str, **spec: t.Any) -> None:
        labels = {"app": name}
        container = {"name": "app", "image": image(1), "env": [{"name": "COLOR", "value": "blue"}]}
        body = {
            "metadata": {"name": name, "annotations": {"team": "mail"}},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                **spec,
            },
        }
        self.cluster.call("POST", f"{self.apps}/deployments", body)
        wait_until(
            lambda: self.deployment(name)["status"].get("availableReplicas") == 3, 120, f"{name} ready"
        )

    @property
    def apps(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}"

    @property
    def core(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    def deployment(self, name: str = "web") -> t.Any:
        return self.cluster.call("GET", f"{self.apps}/deployments/{name}")

    def template(self, name: str = "web") -> t.Any:
        return self.deployment(name)["spec"]["template"]

    def pods(self, number: int) -> list[t.Any]:
        found = self.cluster.call("GET", f"{self.core}/pods")["items"]
        return [pod for pod in found if pod["spec"]["containers"][0]["image"] == image(number)]

    def replica_sets(self, number: int) -> list[t.Any]:
        found = self.cluster.call("GET", f"{self.apps}/replicasets")["items"]
        return [
            one for one in found if one["spec"]["template"]["spec"]["containers"][0]["image"] == image(number)
        ]

    def patch(self, name: str, body: t.Any) -> None:
        self.cluster.call("PATCH", f"{self.apps}/deployments/{name}", body, MERGE)

    def call(self, check: bool = False, **options: t.Any) -> Result:
        defaults = {
            "kubeconfig": str(self.cluster.kubeconfig), "context": "", "namespace": self.namespace,
            "state": "deployed", "release": "v2", "serving": "v1", "image": image(2),
            "deployments": [{"name": name, "container": "", "image": ""} for name in self.names],
            "timeout_seconds": 60.0, "patience_seconds": 30.0, "canary_percent": 25.0,
        }  # fmt: skip
        return k8s_rollout.run({**defaults, **options}, check)

    def back(self, check: bool = False, **options: t.Any) -> Result:
        return self.call(check, release="v1", serving="", image="", **options)


@contextlib.contextmanager
def kept_doomed(world: World, number: int, status: t.Any, owner: str = "ReplicaSet") -> t.Iterator[None]:
    """As a kubelet would tell it, again and again: ours plays one to whom every pod is well."""
    over = threading.Event()

    def keep() -> None:
        while not over.wait(0.3):
            for pod in world.pods(number):
                if pod["metadata"]["ownerReferences"][0]["kind"] != owner:
                    continue
                path = f"{world.core}/pods/{pod['metadata']['name']}/status"
                with contextlib.suppress(urllib.error.HTTPError):
                    world.cluster.call("PATCH", path, {"status": status}, MERGE)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def waiting(reason: str) -> Result:
    state = {"waiting": {"reason": reason, "message": f"told by the test: {reason}"}}
    return {
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [
            {"name": "app", "ready": False, "restartCount": 3, "image": "x", "imageID": "", "state": state}
        ],
    }
