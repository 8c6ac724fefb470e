# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Vercel tells of deployments, alias jobs and rolling releases, and what follows from it. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

Document = t.Mapping[str, t.Any]

# What we write on each deployment that we create: whose it is, what it was made of, and the way back.
RELEASE: t.Final = "emailaiMigrationRelease"
SOURCE: t.Final = "emailaiMigrationSource"
PREVIOUS: t.Final = "emailaiMigrationPrevious"
PREVIOUS_RELEASE: t.Final = "emailaiMigrationPreviousRelease"

BUILDING: t.Final = ("QUEUED", "INITIALIZING", "BUILDING")
READY: t.Final = "READY"
_FAILED: t.Final = {
    "ERROR": "its build failed",
    "CANCELED": "it was cancelled",
    "BLOCKED": "Vercel blocks it",
    "DELETED": "it was deleted",
}
_AT_WORK: t.Final = ("pending", "in-progress")


@dataclass(frozen=True)
class Deployment:
    """As its own address and as the list of them tell it; the names differ."""

    id: str
    url: str = ""
    state: str = ""
    is_production: bool = False
    release: str = ""
    source: str = ""
    previous: str = ""
    previous_release: str = ""
    created: float = 0.0
    # Empty as long as nothing is wrong with it.
    wrong: str = ""
    awaits_checks: bool = False

    @property
    def is_building(self) -> bool:
        return self.state in BUILDING

    @property
    def is_built(self) -> bool:
        """Enough for one that has served before."""
        return self.state == READY

    @property
    def is_ready(self) -> bool:
        return self.state == READY and not self.awaits_checks and not self.wrong


def deployment_from(document: Document) -> Deployment:
    meta = document.get("meta") or {}
    state = str(document.get("readyState") or document.get("state") or "")
    return Deployment(
        id=str(document.get("id") or document.get("uid") or ""),
        url=str(document.get("url") or ""),
        state=state,
        is_production=document.get("target") == "production",
        release=str(meta.get(RELEASE) or ""),
        source=str(meta.get(SOURCE) or ""),
        previous=str(meta.get(PREVIOUS) or ""),
        previous_release=str(meta.get(PREVIOUS_RELEASE) or ""),
        created=float(document.get("createdAt") or document.get("created") or 0),
        wrong=_wrong_with(document, state),
        awaits_checks=document.get("checksState") in ("registered", "running"),
    )


def _wrong_with(document: Document, state: str) -> str:
    if state in _FAILED:
        words = [document.get("errorCode"), document.get("errorMessage")]
        said = ": ".join(str(word) for word in words if word)
        return _FAILED[state] + (f" ({said})" if said else "")
    if state != READY:
        return "" if state in BUILDING else f"its state {state or 'is missing and'} is not known"
    if document.get("checksConclusion") in ("failed", "canceled"):
        return f"its checks ended with {document['checksConclusion']}"
    error = document.get("aliasError")
    if error:
        return f"its aliases could not be set ({error.get('code')}: {error.get('message')})"
    return ""


def chosen(found: t.Sequence[Deployment], release: str, source: str) -> Deployment | None:
    """The deployment of the release that goes on: a good one before one that builds, then the newest."""
    usable = [
        one
        for one in found
        if one.id and one.is_production and not one.wrong and (one.release, one.source) == (release, source)
    ]
    return max(usable, key=lambda one: (one.state == READY, one.created, one.id), default=None)


@dataclass(frozen=True)
class Job:
    """The last time that somebody moved the production aliases."""

    kind: str = ""
    status: str = ""
    at: float = 0.0
    came_from: str = ""
    leads_to: str = ""

    @property
    def is_at_work(self) -> bool:
        return self.status in _AT_WORK


def job_from(project: Document) -> Job:
    request = project.get("lastAliasRequest") or {}
    return Job(
        str(request.get("type") or ""),
        str(request.get("jobStatus") or ""),
        float(request.get("requestedAt") or 0),
        str(request.get("fromDeploymentId") or ""),
        str(request.get("toDeploymentId") or ""),
    )


def is_ours(job: Job, before: Job, kind: str, wanted: str) -> bool:
    """Whether it is the job that was asked for, not an older one that led to the same deployment.

    ``before`` is what stood there when we asked; one that was still at work then is as good as ours.
    """
    if (job.kind, job.leads_to) != (kind, wanted):
        return False
    return job.at > before.at or before.is_at_work


@dataclass(frozen=True)
class Rolling:
    """A rolling release that is under way; percent is what its canary serves."""

    canary: str
    base: str
    index: int
    percents: tuple[int, ...]
    is_manual: bool

    @property
    def last(self) -> int:
        """The stage at which everybody has it."""
        return len(self.percents) - 1


def rolling_from(answer: Document) -> Rolling | None:
    """None if none is under way: the last one is told of after its end, too."""
    document = answer.get("rollingRelease") or {}
    if document.get("state") != "ACTIVE":
        return None
    stages = document.get("stages") or []
    return Rolling(
        canary=str((document.get("canaryDeployment") or {}).get("id") or ""),
        base=str((document.get("currentDeployment") or {}).get("id") or ""),
        index=int((document.get("activeStage") or {}).get("index") or 0),
        percents=tuple(int(stage.get("targetPercentage") or 0) for stage in stages),
        is_manual=is_manual(document),
    )


def is_manual(config: Document) -> bool:
    """Whether each stage waits for an approval; told in one word, or stage by stage."""
    kind = config.get("advancementType")
    if kind:
        return bool(kind == "manual-approval")
    stages = list(config.get("stages") or [])[:-1]
    return bool(stages) and all(stage.get("requireApproval") for stage in stages)


def production_domains(documents: t.Iterable[Document]) -> list[str]:
    """The domains by which users reach production; redirects, branches and other environments are not."""
    return [
        str(one["name"])
        for one in documents
        if one.get("verified", True)
        and not (one.get("redirect") or one.get("gitBranch") or one.get("customEnvironmentId"))
    ]


def way_back(serving: Deployment, job: Job, release: str) -> list[str]:
    """Where the release before may be, the likeliest first: the last promotion came from there, or our note.

    Nothing where what serves is no release of ours: then there is nothing to take back.
    """
    found = []
    if job.kind == "promote" and job.leads_to == serving.id and job.came_from:
        found.append(job.came_from)
    if serving.previous and serving.previous_release == release:
        found.append(serving.previous)
    return list(dict.fromkeys(one for one in found if one != serving.id))
