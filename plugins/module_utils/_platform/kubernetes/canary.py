# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A share of the users for a release before it has them all: a second Deployment, gone without a trace.

The first one is not touched, so that to end it is to go back exactly. A rollout that is paused half way
would have gone on by a pod or two before anybody could pause it.
"""

from __future__ import annotations

import copy
import math
import typing as t
from dataclasses import replace

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import release, rollout

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.cluster import (
        Cluster,
    )
    from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.release import (
        Row,
        Wish,
        Workload,
    )

# Its pods have all labels of the first Deployment's, so that the Service leads users to them, and this one.
TRACK: t.Final = "emailai.migration/track"
# Whose canary it is; what has another note, or none, is somebody else's.
OF: t.Final = "emailai.migration/canary-of"
_CANARY: t.Final = "canary"


def name_of(workload: Workload) -> str:
    return f"{workload.name}-{_CANARY}"


def pods_for(replicas: int, percent: float) -> int:
    """One at least, and no more than give the new release this share of all; none where there are none."""
    if not replicas or not percent:
        return 0
    return max(1, math.floor(replicas * percent / (100 - percent)))


def manifest(deployment: rollout.Object, workload: Workload, wish: Wish, pods: int) -> dict[str, t.Any]:
    """The first Deployment once more, with the release, so many pods, and the label that tells them apart."""
    spec = copy.deepcopy(dict(deployment["spec"]))
    spec.pop("paused", None)
    spec["replicas"] = pods
    spec["selector"].setdefault("matchLabels", {})[TRACK] = _CANARY
    marks = spec["template"].setdefault("metadata", {})
    marks["labels"] = {**(marks.get("labels") or {}), TRACK: _CANARY}
    marks["annotations"] = {**(marks.get("annotations") or {}), rollout.RELEASE: wish.release}
    containers = spec["template"]["spec"]["containers"]
    chosen = release.container_of(deployment, workload, wish)
    for one in containers:
        if one["name"] == chosen:
            one["image"] = workload.image or wish.image
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        # None of the first one's own labels: a tool that manages that one by them is not to take this.
        "metadata": {"name": name_of(workload), "annotations": {OF: workload.name}},
        "spec": spec,
    }


def begin(cluster: Cluster, wish: Wish, percent: float) -> Row:
    """The canary of the first Deployment, all of its pods available; nothing where the release is further."""
    release.check(wish)
    workload = wish.workloads[0]
    main = release.look(cluster, workload)
    pods = pods_for(main.deployment["spec"].get("replicas", 1), percent)
    # A run that was killed may have left the first one on its way to the release: then it goes on there.
    is_further = rollout.release_of(main.deployment) == wish.release and rollout.images(
        main.deployment, workload.container
    ) == [workload.image or wish.image]
    if is_further or not pods:
        return _answer(workload, None, 0, False, main.runs(wish, workload))
    wanted = manifest(main.deployment, workload, wish, pods)
    found = _found(cluster, workload)
    changed = found is None or not _is_as(found, wanted, workload)
    if found is not None and changed and not wish.is_check:
        # Another release, or another share: what a run that was stopped has left.
        _delete(cluster, workload, found)
    if changed:
        _ours(workload, cluster.create(wanted))
    if not wish.is_check:
        release.settle(cluster, replace(workload, name=name_of(workload)), wish)
    return _answer(workload, wanted, pods, changed, False)


def _answer(workload: Workload, wanted: t.Any, pods: int, changed: bool, is_current: bool) -> Row:
    text = f"{name_of(workload)} {pods} pods\n" if wanted else ""
    return {
        "changed": changed,
        "deployments": [],
        "canary": {"name": name_of(workload) if wanted else "", "pods": pods},
        "is_current": is_current,
        "diff": {"before": "" if changed else text, "after": text},
    }


def _found(cluster: Cluster, workload: Workload) -> rollout.Object | None:
    found = cluster.find(name_of(workload))
    return None if found is None else _ours(workload, found)


def _is_ours(workload: Workload, found: rollout.Object) -> bool:
    return bool((found["metadata"].get("annotations") or {}).get(OF) == workload.name)


def _ours(workload: Workload, found: rollout.Object) -> rollout.Object:
    if _is_ours(workload, found):
        return found
    raise MigrationError(
        "use",
        f"Deployment {name_of(workload)}",
        "it is not ours, and the canary would have its name",
        "Rename it, or deploy without a canary",
    )


def _is_as(found: rollout.Object, wanted: rollout.Object, workload: Workload) -> bool:
    """The server has filled in defaults, so what we decide is compared, not the whole."""
    return (
        found["spec"].get("replicas") == wanted["spec"]["replicas"]
        and rollout.release_of(found) == rollout.release_of(wanted)
        and rollout.images(found, workload.container) == rollout.images(wanted, workload.container)
    )


def deploy(cluster: Cluster, wish: Wish) -> Row:
    """All users for the release, and no canary: forth it serves until the others do, back it goes first."""
    gone = _end(cluster, wish) if wish.is_back else []
    done = release.arrange(cluster, wish)
    if not wish.is_back:
        gone = _end(cluster, wish)
    text = "".join(f"{name} is there\n" for name in gone)
    return {
        **done,
        "changed": done["changed"] or bool(gone),
        "canary": {"name": "", "pods": 0},
        "is_current": done["is_current"] and not (gone and wish.is_check),
        "diff": {"before": done["diff"]["before"] + text, "after": done["diff"]["after"]},
    }


def _end(cluster: Cluster, wish: Wish) -> list[str]:
    """No canary, and none of its pods in service; gives the names of those that were there."""
    gone = []
    for workload in wish.workloads:
        found = cluster.find(name_of(workload))
        if found is None or not _is_ours(workload, found):
            continue
        gone.append(name_of(workload))
        if not wish.is_check:
            _delete(cluster, workload, found)
    return gone


def _delete(cluster: Cluster, workload: Workload, found: rollout.Object) -> None:
    """Until its pods get no users any more. What they have in flight they may finish at their leisure."""
    cluster.delete(name_of(workload))
    if not cluster.until_leaving(name_of(workload), found):
        raise MigrationError(
            "end",
            f"Deployment {name_of(workload)}",
            "it, or a pod of it that is not told to end, is still there",
            "See what holds it up: kubectl describe, and its finalizers",
        )
