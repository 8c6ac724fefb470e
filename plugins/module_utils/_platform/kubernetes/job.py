# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Job of the user's that runs once for a release, such as its migrations, before the release serves."""

from __future__ import annotations

import copy
import hashlib
import json
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes import release, rollout
from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.cluster import (
    age_seconds,
)

if t.TYPE_CHECKING:
    from ansible_collections.emailai.migration.plugins.module_utils._platform.kubernetes.cluster import (
        Cluster,
    )

# What the Job was made from, on it; what lacks it, or has another one, is somebody else's.
ASKED: t.Final = "emailai.migration/asked"
# A Job has its own patience with these: its backoffLimit.
_FORGIVEN: t.Final = (rollout.CRASHES, rollout.OOM)
# Room in a name of 63 characters for a part that tells Jobs apart, and for the one that its pods add.
_BASE_CHARACTERS: t.Final = 40
_DIGEST_CHARACTERS: t.Final = 10
# A pod that the server refuses to make is tried again, and told of in events only.
_PODLESS_SECONDS: t.Final = 3.0
_PAUSE_SECONDS: t.Final = 0.5
# A Job that the cluster removes sooner could be gone, though complete, before an API server is back.
_LEAST_TTL_SECONDS: t.Final = 300

Row = dict[str, t.Any]


@dataclass(frozen=True)
class Wish:
    """``image`` goes into ``container``; empty leaves the manifest's own."""

    manifest: t.Mapping[str, t.Any]
    release: str
    image: str
    container: str
    timeout_seconds: float
    is_check: bool = False

    @property
    def asked(self) -> str:
        """The same for the same manifest, release and image: so it is known what has been run."""
        text = json.dumps([self.release, self.image, self.container, self.manifest], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def base(self) -> str:
        return str((self.manifest.get("metadata") or {}).get("name") or "")

    @property
    def name(self) -> str:
        return f"{self.base[:_BASE_CHARACTERS].rstrip('-.')}-{self.asked[:_DIGEST_CHARACTERS]}"


@dataclass(frozen=True)
class Standing:
    """``state`` is absent, running, complete or failed; ``text`` is what the Job says of it."""

    state: str
    text: str = ""


def standing(job: rollout.Object | None) -> Standing:
    if job is None:
        return Standing("absent")
    for kind, state in (("Complete", "complete"), ("Failed", "failed")):
        found = rollout.condition(job, kind)
        if found.get("status") == "True":
            words = (str(found.get(one) or "") for one in ("reason", "message"))
            return Standing(state, ": ".join(filter(None, words)))
    return Standing("running")


def compose(wish: Wish, namespace: str) -> dict[str, t.Any]:
    """The manifest with our name for it, and with the image. Refuses what is no Job that can be run."""
    _ensure_job(wish, namespace)
    made: dict[str, t.Any] = copy.deepcopy(dict(wish.manifest))
    marks = made["metadata"]
    marks["name"] = wish.name
    marks["annotations"] = {
        **(marks.get("annotations") or {}),
        rollout.RELEASE: wish.release,
        ASKED: wish.asked,
    }
    if wish.image:
        found = [
            one
            for one in made["spec"]["template"]["spec"].get("containers") or []
            if wish.container in ("", one.get("name"))
        ]
        if len(found) != 1:
            called = wish.container or "anything"
            raise _refused(wish, f"{len(found)} of its containers are called {called}", "Name the one")
        found[0]["image"] = wish.image
    return made


def _ensure_job(wish: Wish, namespace: str) -> None:
    manifest = wish.manifest
    kind = f"{manifest.get('apiVersion')} {manifest.get('kind')}"
    if kind != "batch/v1 Job":
        raise _refused(
            wish, f"its manifest is of {kind}", "Give one document with apiVersion batch/v1, kind Job"
        )
    if not wish.base:
        raise _refused(wish, "it has no metadata.name", "Name it; what tells releases apart is added")
    elsewhere = manifest["metadata"].get("namespace") or namespace
    if elsewhere != namespace:
        raise _refused(
            wish, f"it belongs in namespace {elsewhere}, not {namespace}", "Leave metadata.namespace out"
        )
    spec = manifest.get("spec") or {}
    if not ((spec.get("template") or {}).get("spec") or {}):
        raise _refused(wish, "it has no spec.template.spec", "Give the pod that is to run")
    if spec.get("suspend"):
        raise _refused(wish, "it is suspended and would never begin", "Leave spec.suspend out")
    ttl = spec.get("ttlSecondsAfterFinished")
    if isinstance(ttl, int) and ttl < _LEAST_TTL_SECONDS:
        raise _refused(
            wish,
            f"the cluster would remove it {ttl} s after its end, and nobody could see how it ended",
            f"Leave spec.ttlSecondsAfterFinished out, or give {_LEAST_TTL_SECONDS} or more",
        )
    if wish.image and not release.PINNED.fullmatch(wish.image):
        raise _refused(
            wish,
            f"{wish.image} is not pinned to a digest",
            "Give the image as name@sha256:..., a tag may lead elsewhere tomorrow",
        )


def arrange(cluster: Cluster, wish: Wish) -> Row:
    """Once for this manifest, release and image: one that runs is waited for, one that failed made anew."""
    manifest = compose(wish, cluster.namespace)
    found = _without_leaving(cluster, wish, cluster.job(wish.name))
    if found is not None and (found["metadata"].get("annotations") or {}).get(ASKED) != wish.asked:
        raise _refused(wish, f"a Job {wish.name} of somebody else is there", "Rename one of them")
    before = standing(found)
    if before.state == "complete":
        return _row(wish, before.state, before.state)
    if wish.is_check:
        if before.state == "failed":
            # Its name is taken until it is really deleted; the server judges the rest.
            manifest["metadata"]["name"] += "-again"
        if before.state != "running":
            cluster.create_job(manifest)
        return _row(wish, before.state, "complete")
    if before.state == "failed":
        cluster.delete_job(wish.name)
        found = _without_leaving(cluster, wish, cluster.job(wish.name))
    if found is None:
        cluster.create_job(manifest)
    _settle(cluster, wish)
    return _row(wish, before.state, "complete")


def _without_leaving(cluster: Cluster, wish: Wish, found: rollout.Object | None) -> rollout.Object | None:
    """One that was deleted leaves when its pods have; until then its name is taken."""
    deadline = time.monotonic() + wish.timeout_seconds
    while found is not None and found["metadata"].get("deletionTimestamp") and not wish.is_check:
        if time.monotonic() >= deadline:
            raise _failed(wish, f"an earlier one is still leaving after {wish.timeout_seconds:g} s")
        time.sleep(_PAUSE_SECONDS)
        found = cluster.job(wish.name)
    return found


def _settle(cluster: Cluster, wish: Wish) -> None:
    deadline = time.monotonic() + wish.timeout_seconds
    while True:
        job = cluster.job(wish.name)
        stands = standing(job)
        if stands.state == "complete":
            return
        if job is None:
            raise _failed(wish, "somebody deleted it while it ran")
        pods = cluster.pods_of_job(job)
        if stands.state == "failed":
            raise _failed(
                wish,
                stands.text or "it failed",
                "Mend what its logs tell of. The same command makes it anew",
                **_evidence(cluster, wish, pods),
            )
        doom = _doom(cluster, wish, job, pods)
        if doom:
            evidence = _evidence(cluster, wish, pods)
            # It must not begin by itself when somebody has long gone back.
            cluster.delete_job(wish.name)
            raise _failed(
                wish, "; ".join(doom[:3]), "It was deleted. Mend that and give the command again", **evidence
            )
        if time.monotonic() >= deadline:
            raise _failed(
                wish,
                f"it still runs after {wish.timeout_seconds:g} s",
                "It goes on. The same command waits for it again; kubectl delete ends it",
                **_evidence(cluster, wish, pods),
            )
        time.sleep(_PAUSE_SECONDS)


def _doom(cluster: Cluster, wish: Wish, job: rollout.Object, pods: t.Sequence[rollout.Object]) -> list[str]:
    if job["spec"].get("suspend"):
        return ["somebody suspended it"]
    if pods or age_seconds(job) < _PODLESS_SECONDS:
        return rollout.doom_of_pods(pods, age_seconds, _FORGIVEN)
    return [one for one in cluster.events([wish.name]) if f"{wish.name}: FailedCreate " in one]


def _evidence(cluster: Cluster, wish: Wish, pods: t.Sequence[rollout.Object]) -> Row:
    names = [str(pod["metadata"]["name"]) for pod in pods]
    return {
        "events": cluster.events([wish.name, *names]),
        "logs": {pod: cluster.last_words(pod) for pod in names[-3:]},
    }


def _row(wish: Wish, before: str, after: str) -> Row:
    return {
        "changed": before != after,
        "job": {"name": wish.name, "before": before, "after": after},
        "diff": {"before": f"{wish.name} {before}\n", "after": f"{wish.name} {after}\n"},
    }


def _refused(wish: Wish, cause: str, cure: str) -> MigrationError:
    return MigrationError("run", f"Job {wish.base or '?'} for {wish.release}", cause, cure)


def _failed(
    wish: Wish, cause: str, cure: str = "See the events beside this", **facts: t.Any
) -> MigrationError:
    return MigrationError("finish", f"Job {wish.name} for {wish.release}", cause, cure, **facts)
