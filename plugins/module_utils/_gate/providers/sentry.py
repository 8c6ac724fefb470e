# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failed requests and response times as Sentry's events tell them; or its errors, held against requests."""

from __future__ import annotations

import datetime
import typing as t
from urllib.parse import quote, urlencode

from ansible_collections.emailai.migration.plugins.module_utils._gate import asked
from ansible_collections.emailai.migration.plugins.module_utils._gate.figures import (
    ERRORS,
    P95,
    REQUESTS,
    Figures,
    Told,
)
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Reading

_URL: t.Final = "https://sentry.io"
# The most rows that one answer holds: more servers than this would be cut off.
_ROWS: t.Final = 100
# What is asked of each kind of event, and which of them are requests.
_P95_OF: t.Final = {"spans": "p95(span.duration)", "transactions": "p95(transaction.duration)"}
_ONLY: t.Final = {"spans": "is_transaction:true", "transactions": "event.type:transaction"}


class Sentry(asked.Asked):
    # Sentry itself reckons with so much until an event can be found.
    lag_seconds = 90.0

    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        super().__init__(description, _URL)
        self.line.authorize(description)
        self.organization = str(description.get("organization"))
        self.dataset = str(description.get("dataset") or "spans")
        self.projects = [str(project) for project in description.get("projects") or []]
        self.environment = str(description.get("environment") or "")
        self.query = str(description.get("query") or "")
        self.requests_of = str(description.get("requests_of") or "")
        self.measures = (ERRORS,) if self.dataset == "errors" else (ERRORS, P95)
        if self.dataset == "errors":
            self._check_errors()
        elif self.requests_of:
            raise self.line.refused(f"{self.dataset} count their own requests", "Leave out requests_of")

    def _check_errors(self) -> None:
        if not self.requests_of:
            raise self.line.refused(
                "errors alone are no share of anything", "Set requests_of to a provider that counts requests"
            )
        if self.label:
            raise self.line.refused(
                "its errors are held against all requests, not those of a server", "Leave out server_label"
            )

    @property
    def fields(self) -> list[str]:
        found = ["count()"]
        if self.dataset in _P95_OF:
            found += ["failure_rate()", _P95_OF[self.dataset]]
        return [*found, self.label] if self.label else found

    def told(self, since: float, until: float) -> Told:
        told = Told(self.line.name)
        for measure in (REQUESTS, *self.measures):
            told.asked(measure)
        for row in self._rows(self.line.ask(self._path(since, until))):
            server = self.server(row.get(self.label) if self.label else "")
            count = row.get("count()")
            told.add(REQUESTS, server, count)
            if self.dataset == "errors":
                # A count of errors stands for both; ``count`` takes only the errors of it.
                told.add(ERRORS, server, count)
            else:
                told.add(ERRORS, server, self._failed(count, row.get("failure_rate()")))
                told.add(P95, server, row.get(_P95_OF[self.dataset]))
        return told

    def count(self, reading: Reading, slot: int, figures: t.Mapping[str, Figures]) -> None:
        if self.dataset != "errors":
            super().count(reading, slot, figures)
            return
        for server, told in figures.items():
            reading.tally(slot, server).take(0, told.errors or 0, None)

    @staticmethod
    def _failed(count: t.Any, rate: t.Any) -> t.Any:
        """The failures among so many; whatever is not two numbers stays what it is."""
        if isinstance(count, (int, float)) and isinstance(rate, (int, float)):
            return count * rate
        return None if count is None else rate

    def _path(self, since: float, until: float) -> str:
        words = [("dataset", self.dataset), ("start", _moment(since)), ("end", _moment(until))]
        words += [("field", name) for name in self.fields]
        words += [("project", project) for project in self.projects]
        if self.environment:
            words.append(("environment", self.environment))
        words.append(("query", " ".join(w for w in (_ONLY.get(self.dataset, ""), self.query) if w)))
        words.append(("per_page", str(_ROWS)))
        return f"/api/0/organizations/{quote(self.organization, safe='')}/events/?{urlencode(words)}"

    def _rows(self, answer: t.Any) -> list[dict[str, t.Any]]:
        # A token that may see no project is answered with an empty list.
        rows = answer if isinstance(answer, list) else answer.get("data")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self.line.refusal(
                "its answer is not one of Sentry", "Check the address: what stands before /api/0"
            )
        if len(rows) >= _ROWS:
            raise self.line.refusal(f"it tells of {_ROWS} servers or more", "Narrow it with query")
        return rows


def _moment(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
