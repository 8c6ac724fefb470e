# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release on the Deployments of a cluster, one after the other: by image, or back to the exact template."""

from __future__ import annotations

import json
import re
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import rollout
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.cluster import (
    age_seconds,
)

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.cluster import (
        Cluster,
    )

PINNED: t.Final = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_PAUSE_SECONDS: t.Final = 0.5
_KEPT_RELEASES: t.Final = 10
# What was stopped on its way goes on.
_RESUME: t.Final[dict[str, t.Any]] = {
    "metadata": {"annotations": {rollout.STOPPED: None}},
    "spec": {"paused": False},
}

Row = dict[str, t.Any]


@dataclass(frozen=True)
class Workload:
    """One Deployment, its container that runs the application, and the image if it has one of its own."""

    name: str
    container: str = ""
    image: str = ""


@dataclass(frozen=True)
class Wish:
    """``serving`` is the release that runs before; its templates are noted, so that there is a way back."""

    release: str
    serving: str
    image: str
    workloads: t.Sequence[Workload]
    timeout_seconds: float
    is_check: bool = False

    @property
    def is_back(self) -> bool:
        """Without an image it is the noted templates that are wanted."""
        return not (self.image or any(one.image for one in self.workloads))


@dataclass
class Look:
    """One Deployment as it is, with its ReplicaSets, the newest first."""

    deployment: rollout.Object
    replica_sets: list[rollout.Object] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.deployment["metadata"]["name"])

    @property
    def hash(self) -> str:
        return rollout.hash_of(self.replica_sets[0]) if self.replica_sets else ""

    @property
    def is_followed(self) -> bool:
        """Whether the newest ReplicaSet has its template: not right after a change, nor while paused."""
        wanted = self.deployment["spec"]["template"]
        return bool(self.replica_sets) and rollout.template_of(self.replica_sets[0]) == wanted

    def runs(self, wish: Wish, workload: Workload) -> bool:
        """Whether it has the template that was noted for the release, and the image that is wanted.

        Going back, one that we have never touched has nothing to take back; health proves what it runs.
        """
        image = workload.image or wish.image
        known = rollout.releases(self.deployment)
        if not image and not known and not rollout.release_of(self.deployment):
            return True
        is_noted = self.is_followed and known.get(wish.release) == self.hash
        return is_noted and (not image or rollout.images(self.deployment, workload.container) == [image])


def look(cluster: Cluster, workload: Workload) -> Look:
    deployment = cluster.deployment(workload.name)
    return Look(deployment, rollout.owned(deployment, cluster.replica_sets(deployment)))


def check(wish: Wish) -> None:
    """Refuse what would not be the same everywhere, before anything is changed."""
    for workload in wish.workloads:
        image = workload.image or wish.image
        if image and not PINNED.fullmatch(image):
            raise MigrationError(
                "deploy",
                f"{wish.release} to {workload.name}",
                f"{image} is not pinned to a digest",
                "Give the image as name@sha256:..., a tag may lead elsewhere tomorrow",
            )
    if not wish.workloads:
        raise MigrationError("deploy", wish.release, "no Deployment is named", "Name them in their order")


def arrange(cluster: Cluster, wish: Wish) -> Row:
    """Each in turn, and the next only when the one before is rolled out."""
    check(wish)
    looks = [(workload, look(cluster, workload)) for workload in wish.workloads]
    plans = [(workload, one, _patch(one, workload, wish)) for workload, one in looks]
    if not wish.is_check:
        # On all of them before the first is changed: the way back leads through each.
        for _workload, before, patch in plans:
            _note_serving(cluster, before, wish, patch is not None)
    rows = []
    for workload, before, patch in plans:
        if patch:
            changed = cluster.change(workload.name, patch)
            rows.append(_row(workload, before, changed, True))
        else:
            rows.append(_row(workload, before, before.deployment, False))
        if not wish.is_check:
            now = settle(cluster, workload, wish)
            if patch:
                _note(cluster, now, wish, rollout.releases(before.deployment).get(wish.release, ""))
    return {
        "changed": any(row["changed"] for row in rows),
        "deployments": rows,
        # After acting each was waited for, and what was changed is noted.
        "is_current": not wish.is_check or all(one.runs(wish, workload) for workload, one in looks),
        "diff": {
            "before": "".join(f"{row['name']} {row['before']}\n" for row in rows),
            "after": "".join(f"{row['name']} {row['after']}\n" for row in rows),
        },
    }


def _row(workload: Workload, before: Look, after: rollout.Object, changed: bool) -> Row:
    return {
        "name": workload.name,
        "changed": changed,
        "before": ", ".join(rollout.images(before.deployment, workload.container)),
        "after": ", ".join(rollout.images(after, workload.container)),
    }


def _patch(one: Look, workload: Workload, wish: Wish) -> t.Any:
    """What has to change; nothing where the release is there. Without an image it is the noted template."""
    known = rollout.releases(one.deployment)
    image = workload.image or wish.image
    is_paused = rollout.is_paused(one.deployment)
    if image and is_paused and not rollout.is_stopped(one.deployment):
        raise MigrationError(
            "deploy",
            f"{wish.release} to {one.name}",
            "its rollout is paused",
            f"kubectl rollout resume deployment/{one.name}, or k8s_rollout with state=resumed",
        )
    if one.runs(wish, workload):
        return _RESUME if is_paused else None
    if not image:
        return _back(one, known.get(wish.release, ""), wish)
    name = container_of(one.deployment, workload, wish)
    return {
        **(_RESUME if is_paused else {}),
        "spec": {
            **(_RESUME["spec"] if is_paused else {}),
            "template": {
                "metadata": {"annotations": {rollout.RELEASE: wish.release}},
                "spec": {"containers": [{"name": name, "image": image}]},
            },
        },
    }


def container_of(deployment: rollout.Object, workload: Workload, wish: Wish) -> str:
    """The container that runs the application; which one it is must not be guessed."""
    found = rollout.images(deployment, workload.container)
    if len(found) != 1:
        raise MigrationError(
            "deploy",
            f"{wish.release} to {workload.name}",
            f"{len(found)} of its containers are called {workload.container or 'anything'}",
            "Name the container that runs the application",
        )
    return workload.container or str(deployment["spec"]["template"]["spec"]["containers"][0]["name"])


def _note_serving(cluster: Cluster, one: Look, wish: Wish, is_changed: bool) -> None:
    """Which template serves now, before it is replaced; what was changed since an older note is in it.

    A template of the new release itself is what a run that was stopped has left: then the note holds.
    """
    known = rollout.releases(one.deployment)
    is_new = rollout.release_of(one.deployment) == wish.release
    is_way_back = wish.serving in ("", wish.release)
    if is_way_back or is_new or not (one.hash and is_changed) or known.get(wish.serving) == one.hash:
        return
    kept = {**known, wish.serving: one.hash}
    names = list(kept)[-_KEPT_RELEASES:]
    note = json.dumps({name: kept[name] for name in names})
    cluster.change(one.name, {"metadata": {"annotations": {rollout.RELEASES: note}}})


def _back(one: Look, wanted: str, wish: Wish) -> t.Any:
    """The very template that was noted, from the ReplicaSet that still has it."""
    found = rollout.by_hash(one.replica_sets, wanted)
    if found is None:
        known = ", ".join(rollout.releases(one.deployment)) or "none"
        raise MigrationError(
            "return",
            f"{one.name} to {wish.release}",
            f"no ReplicaSet has its template any more (noted releases: {known})",
            "Give the image of that release, and keep revisionHistoryLimit above 1",
        )
    return [
        # The server refuses the patch if somebody has changed the specification since it was read.
        {"op": "test", "path": "/metadata/generation", "value": one.deployment["metadata"]["generation"]},
        {"op": "replace", "path": "/spec/template", "value": rollout.template_of(found)},
        # Whoever was stopped half way is paused; that must not hold up the way back.
        *(
            [{"op": "add", "path": "/spec/paused", "value": False}]
            if rollout.is_paused(one.deployment)
            else []
        ),
        *(
            [{"op": "remove", "path": f"/metadata/annotations/{rollout.STOPPED.replace('/', '~1')}"}]
            if rollout.is_stopped(one.deployment)
            else []
        ),
    ]


def settle(cluster: Cluster, workload: Workload, wish: Wish) -> Look:
    """Until it is rolled out, doomed, or the time is over."""
    deadline = time.monotonic() + wish.timeout_seconds
    while True:
        now = look(cluster, workload)
        stands = rollout.standing(now.deployment)
        if stands.is_done:
            return now
        if rollout.is_paused(now.deployment):
            raise _failed(workload, wish, "somebody paused its rollout")
        # Until the controller has seen the change, the newest pods are those of the release before.
        doom = _doom(cluster, now) if rollout.is_observed(now.deployment) else []
        if doom:
            raise _failed(workload, wish, "; ".join(doom[:3]), **_evidence(cluster, now))
        if time.monotonic() >= deadline:
            late = f"{stands.text} after {wish.timeout_seconds:g} s"
            raise _failed(workload, wish, late, **_evidence(cluster, now))
        time.sleep(_PAUSE_SECONDS)


def _doom(cluster: Cluster, now: Look) -> list[str]:
    if not now.replica_sets:
        return rollout.doom(now.deployment, [], age_seconds)
    return rollout.doom(now.deployment, cluster.pods(now.deployment, now.hash), age_seconds)


def _evidence(cluster: Cluster, now: Look) -> Row:
    pods = (
        [str(pod["metadata"]["name"]) for pod in cluster.pods(now.deployment, now.hash)] if now.hash else []
    )
    names = [now.name, *(str(one["metadata"]["name"]) for one in now.replica_sets[:1]), *pods]
    return {"events": cluster.events(names), "logs": {pod: cluster.last_words(pod) for pod in pods[:3]}}


def _failed(workload: Workload, wish: Wish, cause: str, **facts: t.Any) -> MigrationError:
    return MigrationError(
        "roll out", f"{wish.release} on {workload.name}", cause, "See the events beside this", **facts
    )


def _note(cluster: Cluster, now: Look, wish: Wish, noted: str) -> None:
    """On the way back the template must be the noted one, to the hash."""
    if noted and noted != now.hash and not wish.image:
        raise MigrationError(
            "return",
            f"{now.name} to {wish.release}",
            f"its template is {now.hash} and was {noted}",
            "Something rewrites it, such as an admission webhook or GitOps; stop that first",
        )
    known = rollout.releases(now.deployment)
    if known.get(wish.release) != now.hash:
        known[wish.release] = now.hash
        cluster.change(now.name, {"metadata": {"annotations": {rollout.RELEASES: json.dumps(known)}}})


def read(cluster: Cluster, workloads: t.Sequence[Workload]) -> Row:
    """How each stands: rolled out and free to go on is what a release needs."""
    lines = []
    for workload in workloads:
        now = cluster.deployment(workload.name)
        stands = rollout.standing(now)
        is_paused = rollout.is_paused(now)
        lines.append(
            {
                "item": f"Deployment {workload.name}",
                "kind": "app",
                "required": "rolled out, and not paused",
                "found": f"{stands.text}, paused" if is_paused else stands.text,
                "read_by": f"the API server, namespace {cluster.namespace}",
                "state": "met" if stands.is_done and not is_paused else "open",
            }
        )
    return {**_held([]), "readiness": lines}


def hold(cluster: Cluster, workloads: t.Sequence[Workload], is_paused: bool) -> Row:
    """Pause or resume the rollouts of all of them; what is so already is left alone."""
    rows = []
    for workload in workloads:
        now = cluster.deployment(workload.name)
        if rollout.is_paused(now) != is_paused:
            cluster.change(workload.name, {"spec": {"paused": True}} if is_paused else _RESUME)
            rows.append({"name": workload.name, "changed": True})
    return _held(rows)


def stop(cluster: Cluster, workloads: t.Sequence[Workload]) -> Row:
    """Pause what is under way, marked as ours; the next deployment, or the way back, lets it go on."""
    rows = []
    for workload in workloads:
        now = cluster.deployment(workload.name)
        if not (rollout.is_paused(now) or rollout.standing(now).is_done):
            mark = {"metadata": {"annotations": {rollout.STOPPED: rollout.release_of(now)}}}
            cluster.change(workload.name, {**mark, "spec": {"paused": True}})
            rows.append({"name": workload.name, "changed": True})
    return _held(rows)


def _held(rows: list[Row]) -> Row:
    return {
        "changed": bool(rows),
        "deployments": rows,
        "is_current": False,
        "diff": {"before": "", "after": ""},
    }
