# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One project as it is now: what its production addresses lead to, who moves them, what is being built."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel import states
from ansible_collections.emailai.migration.plugins.module_utils._platform.vercel.client import (
    Answer,
    Client,
    part,
)

_PAGE: t.Final = 100
_MOST_PAGES: t.Final = 20


@dataclass(frozen=True)
class Sight:
    """What was seen in one look; ``leads`` says to which deployment each production domain leads."""

    project: Answer
    leads: dict[str, str]
    serving: states.Deployment
    job: states.Job
    rolling: states.Rolling | None = None

    @property
    def id(self) -> str:
        return str(self.project["id"])

    @property
    def rolling_config(self) -> Answer:
        return dict(self.project.get("rollingRelease") or {})

    def serves(self, wanted: str) -> bool:
        """All of production, and nobody is being moved elsewhere."""
        return bool(wanted) and self.rolling is None and not self.astray(wanted) and self.serving.id == wanted

    def astray(self, wanted: str) -> dict[str, str]:
        return {domain: found for domain, found in self.leads.items() if found != wanted}


@dataclass
class Project:
    client: Client
    # Empty: those that Vercel has for production.
    domains: t.Sequence[str] = field(default_factory=list)

    def look(self) -> Sight:
        project = self._project()
        leads = self.leads(project)
        targets = (project.get("targets") or {}).get("production") or {}
        found = set(leads.values()) - {""}
        # Where the domains differ, Vercel's own word counts; so it does without domains.
        serving = found.pop() if len(found) == 1 else str(targets.get("id") or "")
        return Sight(
            project,
            leads,
            self.deployment(serving) if serving else states.Deployment(""),
            states.job_from(project),
            self.rolling(project),
        )

    def _project(self) -> Answer:
        name = self.client.name
        found = self.client.read(f"/v9/projects/{part(name)}", f"project {name}", rollbackInfo="true")
        if not found.get("id"):
            raise MigrationError(
                "read", f"project {name}", "the answer is not one of Vercel", "Check api_url", kind="platform"
            )
        return found

    def job(self) -> states.Job:
        return states.job_from(self._project())

    def rolling(self, project: Answer) -> states.Rolling | None:
        if not project.get("rollingRelease"):
            return None  # plans without rolling releases refuse the question
        path = f"/v1/projects/{part(str(project['id']))}/rolling-release"
        return states.rolling_from(self.client.read(path, "the rolling release", state="ACTIVE"))

    def leads(self, project: Answer) -> dict[str, str]:
        domains = list(self.domains) or self._domains(str(project["id"]))
        return {domain: self._lead(domain) for domain in domains}

    def _domains(self, project: str) -> list[str]:
        path, thing = f"/v9/projects/{part(project)}/domains", "the domains of the project"
        return states.production_domains(self._pages(path, thing, "domains", limit=_PAGE))

    def _lead(self, domain: str) -> str:
        try:
            found = self.client.read(f"/v4/aliases/{part(domain)}", f"alias {domain}")
        except MigrationError as exc:
            if exc.facts.get("status") != 404:
                raise
            return ""  # a domain that leads nowhere yet
        return str(found.get("deploymentId") or (found.get("deployment") or {}).get("id") or "")

    def deployment(self, name: str) -> states.Deployment:
        """By its id, or by its address without https."""
        return states.deployment_from(
            self.client.read(f"/v13/deployments/{part(name)}", f"deployment {name}")
        )

    def of_release(self, project: str, release: str) -> list[states.Deployment]:
        """The deployments that were created here for a release; the server's filter is not believed."""
        words = {"projectId": project, f"meta-{states.RELEASE}": release, "limit": _PAGE}
        rows = self._pages("/v6/deployments", f"the deployments of {release}", "deployments", **words)
        found = [states.deployment_from(row) for row in rows]
        return [one for one in found if one.release == release]

    def failed_aliases(self, project: str, kind: str) -> list[str]:
        path = f"/v9/projects/{part(project)}/{kind}/aliases"
        rows = self._pages(path, "the aliases that failed", "aliases", failedOnly="true", limit=20)
        return [
            str((row.get("alias") or {}).get("alias")) for row in rows if row.get("status") != "completed"
        ]

    def _pages(self, path: str, thing: str, name: str, **words: t.Any) -> list[Answer]:
        rows: list[Answer] = []
        until: t.Any = None
        for _page in range(_MOST_PAGES):
            answer = self.client.read(path, thing, **words, until=until)
            rows += answer.get(name) or []
            until = (answer.get("pagination") or {}).get("next")
            if not until:
                break
        return rows
