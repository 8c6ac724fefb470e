# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever Prometheus can count: requests, errors and response times by queries of one's own."""

from __future__ import annotations

import typing as t
from urllib.parse import urlencode

from ansible_collections.emailai.migration.plugins.module_utils._gate import asked
from ansible_collections.emailai.migration.plugins.module_utils._gate.figures import ERRORS, REQUESTS, Told


class Prometheus(asked.AskedByQueries):
    # Twice the usual time between two scrapes.
    lag_seconds = 30.0

    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        super().__init__(description)
        self.line.authorize(description)
        for measure in (REQUESTS, ERRORS):
            # Any other stretch would count requests twice, or none of them.
            if "$window" not in self.queries.get(measure, "$window"):
                raise self.line.refused(
                    f"its query of {measure} does not say over which time it counts",
                    "Write [$window], as in sum(increase(http_requests_total[$window]))",
                )

    def told(self, since: float, until: float) -> Told:
        told = Told(self.line.name, self.errors_may_be_absent)
        for measure, query in self.queries.items():
            told.asked(measure)
            words = {
                "query": query.replace("$window", f"{max(1, round(until - since))}s"),
                "time": f"{until:.3f}",
            }
            answer = self.line.ask(f"/api/v1/query?{urlencode(words)}")
            for labels, value in self._series(answer):
                told.add(measure, self._server(labels), value, self.factor(measure))
        return told

    def _server(self, labels: t.Mapping[str, t.Any]) -> str:
        if self.label and self.label not in labels:
            raise self.line.refusal(
                f"a series has no label {self.label}", f"Let the queries group by ({self.label})"
            )
        return self.server(labels.get(self.label))

    def _series(self, answer: t.Any) -> t.Iterator[tuple[dict[str, t.Any], t.Any]]:
        """Labels and value of each series; a scalar is one without labels."""
        try:
            if answer["status"] != "success":
                raise KeyError
            kind, result = answer["data"]["resultType"], answer["data"]["result"]
            if kind == "scalar":
                yield {}, result[1]
            elif kind == "vector":
                for series in result:
                    yield dict(series["metric"]), series["value"][1]
            else:
                raise self.line.refusal(
                    f"a query gives a {kind}", "Let each query give one number: a vector or a scalar"
                )
        except (KeyError, TypeError, IndexError, ValueError):
            raise self.line.refusal(
                "its answer is not one of Prometheus", "Check the address: what stands before /api/v1"
            ) from None
