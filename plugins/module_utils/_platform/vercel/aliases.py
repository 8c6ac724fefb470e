# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The production addresses, moved by a job of Vercel's: asked for once, followed to its end, and verified."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel import states
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel.client import part
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel.project import Project, Sight

_PATHS: t.Final = {"promote": "/v10/projects/{}/promote/{}", "rollback": "/v1/projects/{}/rollback/{}"}
_ACTS: t.Final = {"promote": "promote", "rollback": "roll back to"}
# How long a domain may take to lead where the finished job says that it leads.
_SETTLE_SECONDS: t.Final = 60.0
_GOOD: t.Final = ("succeeded", "skipped")


def refuse_others(sight: Sight, wanted: str) -> None:
    """Somebody else is at it: to go on would take his users away, or ours."""
    job, under_way = sight.job, sight.rolling
    if job.is_at_work and (job.kind, job.leads_to) != ("promote", wanted):
        raise MigrationError(
            "promote",
            wanted or "a new deployment",
            f"another alias job is at work, a {job.kind} to {job.leads_to}",
            "Wait until it is over, see what serves, and give the command again",
            kind="platform",
        )
    if under_way is not None and under_way.canary != wanted:
        raise MigrationError(
            "promote",
            wanted or "a new deployment",
            f"a rolling release of {under_way.canary} is under way",
            "Complete or abort it first",
            kind="platform",
        )


def move(project: Project, sight: Sight, kind: str, wanted: str) -> None:
    """Ask for the job unless it is at work already, and follow exactly that one."""
    before = sight.job
    if not (before.is_at_work and (before.kind, before.leads_to) == (kind, wanted)):
        before = _ask(project, sight, kind, wanted, before)
    job = _followed(project, kind, wanted, before)
    if job.status == "failed":
        names = ", ".join(project.failed_aliases(sight.id, kind))
        raise _refused(
            kind,
            wanted,
            f"its alias job failed for {names or 'aliases that Vercel does not name'}",
            "See these domains in the project, then give the command again",
        )
    if job.status not in _GOOD:
        raise _refused(kind, wanted, f"its alias job is {job.status}, which is not known", "Look at Vercel")


def after_others(project: Project, wanted: str) -> states.Job:
    """The way back is not refused because somebody is at work, be it a run of ours that was stopped."""
    seen = [project.job()]

    def is_free() -> bool:
        seen[0] = project.job()
        return not seen[0].is_at_work

    if not project.client.until(is_free):
        job = seen[0]
        what = f"another alias job is still at work, a {job.kind} to {job.leads_to},"
        raise project.client.late("roll back to", wanted, what)
    return seen[0]


def _ask(project: Project, sight: Sight, kind: str, wanted: str, before: states.Job) -> states.Job:
    path = _PATHS[kind].format(part(sight.id), part(wanted))
    sentence = (_ACTS[kind], wanted)

    def has_begun() -> bool:
        return states.is_ours(project.job(), before, kind, wanted)

    try:
        project.client.send("POST", path, {}, sentence, has_begun)
    except MigrationError as exc:
        if exc.facts.get("status") != 409 or kind != "rollback":
            raise
        before = after_others(project, wanted)
        project.client.send("POST", path, {}, sentence, has_begun)
    return before


def _followed(project: Project, kind: str, wanted: str, before: states.Job) -> states.Job:
    seen = [states.Job()]

    def is_over() -> bool:
        job = project.job()
        if states.is_ours(job, before, kind, wanted):
            seen[0] = job
            return not job.is_at_work
        if job.at > before.at:
            raise _refused(
                kind,
                wanted,
                f"somebody else has begun a {job.kind} to {job.leads_to} meanwhile",
                "Speak to each other, then give the command again",
            )
        return False

    if not project.client.until(is_over):
        what = f"its alias job is {seen[0].status}" if seen[0].status else "its alias job has not begun"
        raise project.client.late(_ACTS[kind], wanted, what)
    return seen[0]


def verified(project: Project, wanted: str) -> Sight:
    """That the addresses lead there is seen, not concluded from a job that says so."""
    seen: list[Sight] = []

    def is_so() -> bool:
        seen[:] = [project.look()]
        return seen[0].serves(wanted)

    seconds = max(1.0, min(_SETTLE_SECONDS, project.client.left))
    if not project.client.until(is_so, seconds):
        sight = seen[0]
        astray = "; ".join(f"{name} leads to {to or 'nothing'}" for name, to in sight.astray(wanted).items())
        what = astray or f"production is {sight.serving.id or 'nothing'}"
        raise project.client.late("believe that production is", wanted, what, round(seconds))
    return seen[0]


def _refused(kind: str, wanted: str, cause: str, cure: str) -> MigrationError:
    return MigrationError(_ACTS[kind], wanted, cause, cure, kind="platform", deployment=wanted)
