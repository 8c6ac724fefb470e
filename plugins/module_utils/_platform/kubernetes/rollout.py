# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a rollout of a Deployment stands, judged from its objects as the API server gives them."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

Object = t.Mapping[str, t.Any]

# The Deployment controller's own marks.
REVISION: t.Final = "deployment.kubernetes.io/revision"
HASH: t.Final = "pod-template-hash"
# Ours: which release has which template, so that the way back is exact.
RELEASES: t.Final = "emailai.migration/releases"
RELEASE: t.Final = "emailai.migration/release"
# On a Deployment that we have paused ourselves on its way; a pause without it is somebody else's.
STOPPED: t.Final = "emailai.migration/stopped"

CRASHES: t.Final = "CrashLoopBackOff"
# What a container waits for in vain: it does not get better by waiting.
_DOOMED: t.Final = (
    CRASHES,
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
OOM: t.Final = "OOMKilled"
# A pod that cannot be placed may wait for a node that is being added; for so long.
_UNSCHEDULABLE_SECONDS: t.Final = 5.0


@dataclass(frozen=True)
class Standing:
    """``is_done`` is what ``kubectl rollout status`` calls rolled out; ``text`` says what is waited for."""

    is_done: bool
    text: str


def standing(deployment: Object) -> Standing:
    """As kubectl judges it, in polymorphichelpers/rollout_status.go of github.com/kubernetes/kubectl."""
    spec, status = deployment["spec"], deployment.get("status") or {}
    if not is_observed(deployment):
        return Standing(False, "its new specification has not been seen yet")
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    if updated < wanted:
        return Standing(False, f"{updated} of {wanted} pods have the new template")
    if status.get("replicas", 0) > updated:
        return Standing(False, f"{status['replicas'] - updated} old pods are still there")
    available = status.get("availableReplicas", 0)
    if available < updated:
        return Standing(False, f"{available} of {updated} new pods are available")
    return Standing(True, f"{updated} pods are available")


def is_observed(deployment: Object) -> bool:
    seen: int = (deployment.get("status") or {}).get("observedGeneration", 0)
    made: int = deployment["metadata"].get("generation", 0)
    return made <= seen


def condition(deployment: Object, kind: str) -> Object:
    found = (deployment.get("status") or {}).get("conditions") or []
    return next((one for one in found if one.get("type") == kind), {})


def is_paused(deployment: Object) -> bool:
    return bool(deployment["spec"].get("paused"))


def is_stopped(deployment: Object) -> bool:
    """Paused by us, so that it is ours to go on."""
    return is_paused(deployment) and STOPPED in (deployment["metadata"].get("annotations") or {})


def owned(deployment: Object, replica_sets: t.Sequence[Object]) -> list[Object]:
    """The ReplicaSets of a Deployment, the newest revision first."""
    uid = deployment["metadata"]["uid"]
    found = [
        one
        for one in replica_sets
        if any(owner.get("uid") == uid for owner in one["metadata"].get("ownerReferences") or ())
    ]
    return sorted(found, key=revision, reverse=True)


def revision(thing: Object) -> int:
    text = str((thing["metadata"].get("annotations") or {}).get(REVISION, "0"))
    return int(text) if text.isdigit() else 0


def hash_of(replica_set: Object) -> str:
    return str((replica_set["metadata"].get("labels") or {}).get(HASH, ""))


def by_hash(replica_sets: t.Sequence[Object], wanted: str) -> Object | None:
    return next((one for one in replica_sets if wanted and hash_of(one) == wanted), None)


def template_of(replica_set: Object) -> dict[str, t.Any]:
    """The pod template as it was in the Deployment: the controller has added its hash."""
    template: dict[str, t.Any] = json.loads(json.dumps(replica_set["spec"]["template"]))
    template.setdefault("metadata", {}).get("labels", {}).pop(HASH, None)
    return template


def images(deployment: Object, container: str) -> list[str]:
    """The images of the containers of that name; of all where it is empty."""
    found = deployment["spec"]["template"]["spec"].get("containers") or []
    return [str(one.get("image", "")) for one in found if container in ("", one.get("name"))]


def releases(deployment: Object) -> dict[str, str]:
    """Release to template hash, as we noted it; what is no such note counts for nothing."""
    text = (deployment["metadata"].get("annotations") or {}).get(RELEASES, "")
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return {str(name): str(one) for name, one in found.items()} if isinstance(found, dict) else {}


def release_of(deployment: Object) -> str:
    """The release that we gave its template; empty for one that is not of our making."""
    metadata = deployment["spec"]["template"].get("metadata") or {}
    return str((metadata.get("annotations") or {}).get(RELEASE, ""))


def doom(deployment: Object, pods: t.Sequence[Object], age_seconds: t.Callable[[Object], float]) -> list[str]:
    """Why the newest ReplicaSet will never become ready; empty while it may."""
    found = []
    progressing = condition(deployment, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        found.append(str(progressing.get("message") or "its progress deadline is over"))
    failure = condition(deployment, "ReplicaFailure")
    if failure.get("status") == "True":
        found.append(f"{failure.get('reason')}: {failure.get('message')}")
    return found + doom_of_pods(pods, age_seconds)


def doom_of_pods(
    pods: t.Sequence[Object], age_seconds: t.Callable[[Object], float], forgiven: t.Container[str] = ()
) -> list[str]:
    """What these pods wait for in vain. ``forgiven`` are reasons that somebody else tries again."""
    return [
        f"pod {pod['metadata']['name']}: {why}"
        for pod in pods
        for reason, why in _doom_of(pod, age_seconds)
        if reason not in forgiven
    ]


def _doom_of(pod: Object, age_seconds: t.Callable[[Object], float]) -> t.Iterator[tuple[str, str]]:
    """Each reason, and the sentence about it."""
    status = pod.get("status") or {}
    for one in status.get("conditions") or ():
        is_stuck = one.get("type") == "PodScheduled" and one.get("reason") == "Unschedulable"
        if is_stuck and age_seconds(pod) >= _UNSCHEDULABLE_SECONDS:
            yield "Unschedulable", f"Unschedulable: {one.get('message', '')}"
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            yield from _doom_of_container(container)


def _doom_of_container(container: Object) -> t.Iterator[tuple[str, str]]:
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in _DOOMED:
        text = f"{container['name']}: {waiting['reason']} {waiting.get('message', '')}"
        yield waiting["reason"], text.strip()
    for state in ("state", "lastState"):
        ended = (container.get(state) or {}).get("terminated") or {}
        if ended.get("reason") == OOM and not container.get("ready"):
            yield OOM, f"{container['name']}: {OOM}, it needs more memory than its limit"
            return
