# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rolling release: a growing share of the users, a stage at a time, each approved by whoever watches."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel import states
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel.client import Answer, part
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel.project import Project, Sight


def row(found: states.Rolling | None) -> Answer:
    """As a playbook reads it; nothing where none is under way."""
    if found is None:
        return {}
    return {
        "canary": found.canary,
        "stage": found.index,
        "percent": found.percents[found.index] if found.index <= found.last else 100,
        "percents": list(found.percents),
    }


def check(sight: Sight, manner: str) -> None:
    """Stages that go on by themselves do not wait for a verdict."""
    config = sight.rolling_config
    if config and manner == "staged" and not states.is_manual(config):
        raise MigrationError(
            "promote",
            "in stages",
            "the rolling release of the project goes on by itself, whatever the gate says",
            "Set its advancement to manual approval, or rolling to completed",
            kind="platform",
        )


def start(project: Project, sight: Sight, canary: str, is_staged: bool, is_check: bool) -> list[str]:
    acts = []
    if sight.rolling is None:
        acts.append(f"promote {canary or 'it'} to the first stage")
        if not is_check:
            _start(project, sight, canary)
    if not is_staged:
        acts.append(f"complete {canary or 'it'}")
        if not is_check:
            _complete(project, sight, canary)
    return acts


def _start(project: Project, sight: Sight, canary: str) -> None:
    def is_there() -> bool:
        now = project.rolling(sight.project)
        return now is not None and now.canary == canary

    _post(project, sight, "start", {"canaryDeploymentId": canary}, is_there)
    _wait(project, canary, "its rolling release has not begun", is_there)


def advance(project: Project, sight: Sight, canary: str, stage: int, is_check: bool) -> list[str]:
    """At the stage or beyond it; the last one is the end. A stage is never gone back to."""
    now = sight.rolling
    if now is None or now.canary != canary:
        other = f"that of {now.canary} is" if now else "none is"
        raise MigrationError(
            "advance", canary, f"{other} under way", "See what serves; promote it again", kind="platform"
        )
    if stage >= now.last:
        if not is_check:
            _complete(project, sight, canary)
        return [f"complete {canary}"]
    acts = []
    for number in range(now.index + 1, stage + 1):
        acts.append(f"advance {canary} to {now.percents[number]} %")
        if not is_check:
            _approve(project, sight, canary, number)
    return acts


def _approve(project: Project, sight: Sight, canary: str, number: int) -> None:
    def is_there() -> bool:
        now = project.rolling(sight.project)
        return now is None or (now.canary == canary and now.index >= number)

    _post(project, sight, "approve-stage", {"nextStageIndex": number, "canaryDeploymentId": canary}, is_there)
    _wait(project, canary, f"stage {number + 1} has not begun", is_there)


def _complete(project: Project, sight: Sight, canary: str) -> None:
    def is_over() -> bool:
        return project.rolling(sight.project) is None

    _post(project, sight, "complete", {"canaryDeploymentId": canary}, is_over)
    _wait(project, canary, "its rolling release is not complete", is_over)


def abort(project: Project, sight: Sight, target: str) -> None:
    """Vercel ends a rolling release when the project is rolled back."""

    def is_over() -> bool:
        return project.rolling(sight.project) is None

    path = f"/v1/projects/{part(sight.id)}/rollback/{part(target)}"
    project.client.send("POST", path, {}, ("roll back to", target), is_over)
    _wait(project, target, "the rolling release is still under way", is_over)


def _post(
    project: Project, sight: Sight, verb: str, document: Answer, has_worked: t.Callable[[], bool]
) -> None:
    path = f"/v1/projects/{part(sight.id)}/rolling-release/{verb}"
    thing = f"the rolling release of {document['canaryDeploymentId']}"
    project.client.send("POST", path, document, (verb.partition("-")[0], thing), has_worked)


def _wait(project: Project, thing: str, late: str, is_so: t.Callable[[], bool]) -> None:
    if not project.client.until(is_so):
        raise project.client.late("roll", thing, late)
