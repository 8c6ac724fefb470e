# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed requests as the runtime log of a deployment on Vercel tells them while somebody listens."""

from __future__ import annotations

import json
import typing as t
from urllib.parse import quote, urlencode

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate import asked
from ansible_collections.emailai.migration.plugins.module_utils._gate.figures import ERRORS
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import (
    WHOLE,
    Look,
    Position,
    Reading,
)

_URL: t.Final = "https://api.vercel.com"
_UNREADABLE_SHARE: t.Final = 0.1


class Vercel:
    """The log has no end and does not wait: what happens between two looks is not heard.

    So what is counted is a sample. Nothing heard is nothing known: the gate does not pass on it.
    """

    measures: tuple[str, ...] = (ERRORS,)

    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        self.line = asked.Line(description, _URL)
        self.line.authorize(description)
        self.project = quote(str(description["project"]), safe="")
        self.deployment = str(description.get("deployment") or "")
        owner = {"teamId": description.get("team_id"), "slug": description.get("team_slug")}
        self.owner = {name: value for name, value in owner.items() if value}

    def observe(self, reading: Reading, position: Position | None, look: Look) -> None:
        place = dict(position or {})
        self.line.begin()
        try:
            deployment = self.deployment or self._serving()
            # Half of the time for asking, half for listening.
            path = f"/v1/projects/{self.project}/deployments/{quote(deployment, safe='')}/runtime-logs"
            lines = self.line.listen(self._path(path), self.line.seconds / 2)
            self._count(lines, reading, place, look)
        except MigrationError as exc:
            raise self.line.refusal(self.line.without_secrets(exc.cause), exc.cure) from None
        reading.position = place
        reading.figures["deployment"] = deployment

    def _serving(self) -> str:
        """The canary of a rolling release, for it is the one in question; else what has production."""
        project = self._asked(f"/v9/projects/{self.project}")
        if project.get("rollingRelease"):
            path = f"/v1/projects/{self.project}/rolling-release"
            found = self._asked(path, state="ACTIVE").get("rollingRelease") or {}
            canary = found.get("canaryDeployment") or {}
            if found.get("state") == "ACTIVE" and canary.get("id"):
                return str(canary["id"])
        target = (project.get("targets") or {}).get("production") or {}
        if not target.get("id"):
            raise self.line.refusal("the project has no deployment in production", "Name one in deployment")
        return str(target["id"])

    def _asked(self, path: str, **words: str) -> dict[str, t.Any]:
        answer = self.line.ask(self._path(path, **words))
        if not isinstance(answer, dict):
            raise self.line.refusal("its answer is not one of Vercel", "Check url")
        return answer

    def _path(self, path: str, **words: str) -> str:
        query = urlencode({**self.owner, **words})
        return f"{path}?{query}" if query else path

    def _count(self, lines: t.Iterable[str], reading: Reading, place: Position, look: Look) -> None:
        """Each request once, though a listener may be told again what an earlier one was told."""
        until = float(place.get("until") or 0)
        known = set(place.get("ids") or [])
        latest, ids = until, set(known)
        read = unreadable = 0
        for line in filter(str.strip, lines):
            read += 1
            row = request(line)
            if row is None:
                unreadable += 1
                continue
            at, status, name = row
            if status <= 0 or at < until or name in known or at < look.since:
                continue
            known.add(name)
            reading.tally(look.slot(at), WHOLE).count(status >= 500)
            if at > latest:
                latest, ids = at, set()
            if at == latest:
                ids.add(name)
        if unreadable > max(10, _UNREADABLE_SHARE * read):
            cause = f"{unreadable} of {read} lines are no rows of a runtime log"
            raise self.line.refusal(cause, "Check url")
        place["until"], place["ids"] = latest, sorted(ids)


def request(line: str) -> tuple[float, int, str] | None:
    """When, with which status, by which name; status 0 for what is no request, None for what is no row."""
    try:
        row = json.loads(line)
        if row["source"] != "request":
            return 0.0, 0, ""
        return float(row["timestampInMs"]) / 1000, int(row["responseStatusCode"]), str(row["rowId"])
    except (ValueError, KeyError, TypeError):
        return None
