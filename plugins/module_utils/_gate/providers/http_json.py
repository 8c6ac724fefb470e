# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in any JSON that a service answers with: counters that only grow, or those of a stretch of time."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._gate import asked
from ansible_collections.emailai.migration.plugins.module_utils._gate.figures import (
    ERRORS,
    REQUESTS,
    Series,
    Told,
)
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import (
    WHOLE,
    Look,
    Position,
    Reading,
)


class HttpJson(asked.AskedByQueries):
    def __init__(self, description: t.Mapping[str, t.Any]) -> None:
        super().__init__(description)
        self.line.authorize(description)
        self.whose = str(description.get("server") or WHOLE)
        self.address = self.line.url
        # An address that can be asked about any time is asked about windows.
        self.is_of_a_stretch = "$until" in self.address

    def told(self, since: float, until: float) -> Told:
        for word, value in (("$since", since), ("$until", until), ("$window", until - since)):
            self.line.url = self.line.url.replace(word, f"{value:.0f}")
        answer = self.line.ask("")
        self.line.url = self.address
        told = Told(self.line.name, self.errors_may_be_absent)
        for measure, path in self.queries.items():
            value = found_at(answer, path)
            told.asked(measure)
            told.add(measure, self.whose, value, self.factor(measure))
        return told

    def read(self, reading: Reading, place: Position, look: Look) -> None:
        if self.is_of_a_stretch:
            super().read(reading, place, look)
            return
        told = self.told(look.now, look.now)
        now: Series = {
            name: told.series[name][self.whose] for name in (REQUESTS, ERRORS) if name in told.series
        }
        then = place.get("counters")
        if then is None:
            told.figures()  # says what is missing
        else:
            self._count_since(then, now, told, reading, look)
        place["counters"] = now

    def _count_since(
        self, then: t.Mapping[str, t.Any], now: Series, told: Told, reading: Reading, look: Look
    ) -> None:
        has_restarted = any((now[name] or 0) < (then.get(name) or 0) for name in now if now[name] is not None)
        for name, value in now.items():
            if value is not None:
                told.series[name][self.whose] = value - (0 if has_restarted else then.get(name) or 0)
        self.count(reading, look.slot(look.now), told.figures())
        if has_restarted:
            reading.notes.append(
                f"the counters of {self.line.name} began anew: what they last counted is lost"
            )


def found_at(answer: t.Any, path: str) -> t.Any:
    """The value at ``names.and.0.numbers``; None where the path leads nowhere."""
    for step in path.split("."):
        if isinstance(answer, dict):
            answer = answer.get(step)
        elif isinstance(answer, list) and step.isdecimal() and int(step) < len(answer):
            answer = answer[int(step)]
        else:
            return None
    return answer
