# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release as a deployment of the project: built without users, given all of them, and left again."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel import (
    aliases,
    rolling,
    states,
)
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel.client import Answer, part
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel.project import Project, Sight

# What a commit is called by the providers of repositories that Vercel knows.
_REPOSITORY: t.Final = {
    "github": {"repoId": "repoId"},
    "gitlab": {"projectId": "projectId"},
    "bitbucket": {"workspaceUuid": "workspaceUuid", "repoUuid": "uuid"},
}


@dataclass(frozen=True)
class Wish:
    """``serving`` is the release that serves before; ``leaving`` one that was given and is gone back from."""

    release: str
    serving: str = ""
    deployment: str = ""
    leaving: str = ""
    ref: str = ""
    sha: str = ""
    rolling: str = "staged"
    stage: int = 0
    is_check: bool = False

    @property
    def source(self) -> str:
        """What it is made of, in a word that is kept on the deployment; empty if any will do."""
        if self.deployment:
            return f"deployment:{self.deployment}"
        return f"git:{self.ref}@{self.sha}" if self.ref or self.sha else ""


@dataclass
class Outcome:
    """What was found and done; the plan is told in check mode, too."""

    sight: Sight
    deployment: states.Deployment = field(default_factory=lambda: states.Deployment(""))
    acts: list[str] = field(default_factory=list)
    now: Sight | None = None
    is_current: bool = False

    def as_result(self, is_check: bool) -> Answer:
        now = self.now or self.sight
        before = self.sight.serving.id
        after = self.deployment.id or "a new deployment"
        moves = any(act.startswith(("promote", "return", "complete")) for act in self.acts)
        return {
            "changed": bool(self.acts),
            "plan": self.acts,
            "deployment": _row(self.deployment),
            "serving": now.serving.id,
            # Once it serves, its own note says what it took the place of.
            "previous": before if before != self.deployment.id else self.deployment.previous,
            "is_current": self.is_current,
            "rolling": rolling.row(now.rolling),
            "auto_assigns": bool(now.project.get("autoAssignCustomDomains", True)),
            "diff": {
                "before": f"production: {before}\n",
                "after": f"production: {(after if is_check else now.serving.id) if moves else before}\n"
                + "".join(f"{act}\n" for act in self.acts),
            },
        }


def _row(one: states.Deployment) -> Answer:
    return {"id": one.id, "url": one.url, "state": one.state, "release": one.release}


def stage(project: Project, wish: Wish) -> Outcome:
    """The deployment of the release, built and without users."""
    sight = project.look()
    outcome = Outcome(sight)
    outcome.deployment = _made(project, outcome, wish)
    outcome.is_current = sight.serves(outcome.deployment.id)
    return outcome


def promote(project: Project, wish: Wish) -> Outcome:
    """The deployment of the release, with all users; or with those of the first stage."""
    sight = project.look()
    outcome = Outcome(sight)
    found = _found(project, sight, wish)
    aliases.refuse_others(sight, found.id if found else "")
    if found is not None and sight.serves(found.id):
        outcome.deployment, outcome.is_current = found, True
        return outcome
    rolling.check(sight, wish.rolling)
    outcome.deployment = one = _made(project, outcome, wish)
    if sight.rolling_config:
        is_staged = wish.rolling == "staged"
        outcome.acts += rolling.start(project, sight, one.id, is_staged, wish.is_check)
    else:
        outcome.acts.append(f"promote {one.id or 'it'}")
        if not wish.is_check:
            aliases.move(project, sight, "promote", one.id)
    _finish(project, outcome, wish, one.id)
    return outcome


def advance(project: Project, wish: Wish) -> Outcome:
    """The rolling release of the deployment at the stage that is wanted, or at its end."""
    sight = project.look()
    outcome = Outcome(sight)
    found = _found(project, sight, wish)
    if found is None:
        raise MigrationError(
            "advance", wish.release, "it has no deployment", "Promote it first", kind="platform"
        )
    outcome.deployment = found
    if sight.serves(found.id):
        outcome.is_current = True
        return outcome
    outcome.acts += rolling.advance(project, sight, found.id, wish.stage, wish.is_check)
    _finish(project, outcome, wish, found.id)
    return outcome


def _finish(project: Project, outcome: Outcome, wish: Wish, wanted: str) -> None:
    """Read again what is, and believe nothing before the addresses lead there."""
    if wish.is_check:
        return
    outcome.now = project.look()
    if outcome.now.rolling is None:
        outcome.now = aliases.verified(project, wanted)
        outcome.is_current = True


def _made(project: Project, outcome: Outcome, wish: Wish) -> states.Deployment:
    """The one that is there, or a new one; ready."""
    found = _found(project, outcome.sight, wish)
    if found is None:
        document = _document(outcome.sight, wish)
        outcome.acts.append(f"create a deployment of {wish.release}")
        if wish.is_check:
            return states.Deployment("", release=wish.release)
        found = _created(project, outcome.sight, wish, document)
    if found.is_building and not outcome.acts:
        outcome.acts.append(f"wait for {found.id}")
    return found if wish.is_check else _ready(project, found)


def _found(project: Project, sight: Sight, wish: Wish) -> states.Deployment | None:
    if wish.deployment:
        given = project.deployment(wish.deployment)
        if given.wrong:
            raise _refused(wish, f"{given.id} is of no use: {given.wrong}", "Give another deployment")
        # What was built as a preview has a preview's environment: it is built anew for production.
        if given.is_production:
            return given
    source = wish.source
    rows = project.of_release(sight.id, wish.release)
    sources = [source] if source else [row.source for row in rows]
    options = [states.chosen(rows, wish.release, one) for one in sources]
    return max((one for one in options if one), key=lambda one: (one.state, one.created), default=None)


def _document(sight: Sight, wish: Wish) -> Answer:
    """What a new deployment is asked for with; the domains stay where they are."""
    project = sight.project
    serving = sight.serving
    document: Answer = {
        "name": project.get("name") or sight.id,
        "project": sight.id,
        "target": "production",
        "autoAssignCustomDomains": False,
        "meta": {
            states.RELEASE: wish.release,
            states.SOURCE: wish.source,
            # The way back is written where it is found without us. A release does not lead back to itself.
            **(
                {states.PREVIOUS: serving.id, states.PREVIOUS_RELEASE: wish.serving}
                if serving.id and serving.release != wish.release
                else {
                    states.PREVIOUS: serving.previous,
                    states.PREVIOUS_RELEASE: serving.previous_release,
                }
            ),
        },
    }
    if wish.deployment:
        document["deploymentId"] = wish.deployment
    elif wish.source:
        document["gitSource"] = git_source(project.get("link") or {}, wish)
    else:
        raise _refused(wish, "it has no deployment in this project", "Give its source, or a deployment")
    return document


def git_source(link: t.Mapping[str, t.Any], wish: Wish) -> Answer:
    """The commit as Vercel wants it named: in the repository that the project is linked to."""
    names = _REPOSITORY.get(str(link.get("type") or ""))
    if names is None:
        raise _refused(
            wish, "the project is linked to no repository that is known here", "Link it, or give a deployment"
        )
    ref = wish.ref or str(link.get("productionBranch") or "main")
    source = {"type": link["type"], "ref": ref, **({"sha": wish.sha} if wish.sha else {})}
    return {**source, **{ours: link.get(theirs) for ours, theirs in names.items()}}


def _created(project: Project, sight: Sight, wish: Wish, document: Answer) -> states.Deployment:
    seen: list[states.Deployment] = []

    def is_there() -> bool:
        rows = project.of_release(sight.id, wish.release)
        found = states.chosen(rows, wish.release, wish.source)
        seen[:] = [found] if found else []
        return bool(seen)

    sentence = ("create", f"a deployment of {wish.release}")
    answer = project.client.send("POST", "/v13/deployments", document, sentence, is_there)
    if answer.get("id"):
        return states.deployment_from(answer)
    if not seen and not is_there():
        raise _refused(wish, "Vercel names no deployment in its answer", "Look there before trying again")
    return seen[0]


def _ready(project: Project, one: states.Deployment) -> states.Deployment:
    """Built, checked, and nothing wrong with it."""
    seen = [one]

    def is_over() -> bool:
        seen[0] = project.deployment(one.id)
        return bool(seen[0].wrong) or seen[0].is_ready

    thing = f"deployment {one.id}"
    if not project.client.until(is_over):
        what = "its checks are not over" if seen[0].awaits_checks else f"it is {seen[0].state}"
        raise project.client.late("finish", thing, what)
    if seen[0].wrong:
        address = f"https://{seen[0].url}/_logs" if seen[0].url else "Vercel"
        raise MigrationError(
            "finish", thing, seen[0].wrong, f"See its log at {address}", kind="platform", deployment=one.id
        )
    return seen[0]


def roll_back(project: Project, wish: Wish) -> Outcome:
    """Production at the deployment of the release before, without a build."""
    sight = project.look()
    is_free = not sight.job.is_at_work
    if not (is_free or wish.is_check):
        # Whatever is on its way, a promotion of ours that was stopped perhaps, would arrive after us.
        aliases.after_others(project, wish.release)
        sight, is_free = project.look(), True
    outcome = Outcome(sight)
    if is_free and not _is_touched(project, sight, wish):
        # Also where a domain leads elsewhere: somebody wants it so.
        outcome.deployment, outcome.is_current = sight.serving, True
        return outcome
    outcome.deployment = target = _target(project, sight, wish)
    if sight.serves(target.id) and is_free:
        outcome.is_current = True
        return outcome
    outcome.acts.append(f"return to {target.id}")
    if wish.is_check:
        return outcome
    if sight.rolling is not None:
        rolling.abort(project, sight, target.id)
    else:
        aliases.move(project, sight, "rollback", target.id)
    outcome.now, outcome.is_current = aliases.verified(project, target.id), True
    return outcome


def _is_touched(project: Project, sight: Sight, wish: Wish) -> bool:
    """Whether any of it is ours to take back; one that is given to return to is asked for by name."""
    if wish.deployment or sight.rolling is not None:
        return True
    serving = sight.serving
    others = {name for name in sight.leads.values() if name not in ("", serving.id)}
    found = [serving, *(project.deployment(name) for name in sorted(others))]
    return any(one.release or (wish.leaving and one.id == wish.leaving) for one in found)


def _target(project: Project, sight: Sight, wish: Wish) -> states.Deployment:
    """The one that is given; else the first that is known to have served before and is still good."""
    if wish.deployment:
        given = project.deployment(wish.deployment)
        if not given.is_built:
            raise _refused_back(wish, f"{given.id} is of no use: {given.wrong or given.state}")
        return given
    if sight.rolling is not None and sight.rolling.base:
        # The stages have not taken anybody's address away: back means where the others still are.
        return project.deployment(sight.rolling.base)
    serving = sight.serving
    if serving.release == wish.release or not (serving.release or serving.id == wish.leaving):
        return serving  # it is there, all but a domain perhaps
    tried = []
    for name in states.way_back(serving, sight.job, wish.release):
        one = project.deployment(name)
        if one.is_built and one.release in ("", wish.release):
            return one
        tried.append(f"{one.id} is {one.wrong or one.release or one.state}")
    raise _refused_back(wish, "; ".join(tried) or f"nothing says what served before {serving.id}")


def cancel(project: Project, wish: Wish) -> Outcome:
    """No deployment of the release is being built; those of others are left alone."""
    sight = project.look()
    outcome = Outcome(sight)
    for one in project.of_release(sight.id, wish.release):
        if not one.is_building:
            continue
        outcome.deployment = one
        outcome.acts.append(f"cancel {one.id}")
        if not wish.is_check:
            outcome.deployment = _cancelled(project, one)
    return outcome


def _cancelled(project: Project, one: states.Deployment) -> states.Deployment:
    seen = [one]

    def is_over() -> bool:
        seen[0] = project.deployment(one.id)
        return not seen[0].is_building

    try:
        path = f"/v12/deployments/{part(one.id)}/cancel"
        project.client.send("PATCH", path, {}, ("cancel", f"deployment {one.id}"), is_over)
    except MigrationError:
        # It may have ended in the same moment: then there is nothing to cancel.
        if not is_over():
            raise
    if not project.client.until(is_over):
        raise project.client.late("cancel", f"deployment {one.id}", f"it is {seen[0].state}")
    return seen[0]


def _refused(wish: Wish, cause: str, cure: str) -> MigrationError:
    return MigrationError("deploy", wish.release, cause, cure, kind="platform")


def _refused_back(wish: Wish, cause: str) -> MigrationError:
    return MigrationError(
        "return to", wish.release, cause, "Give the id of its deployment in deployment", kind="platform"
    )
