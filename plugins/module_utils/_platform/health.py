# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a server counts as healthy: so many good answers in a row, from the right release. Touches nothing."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

HEALTHY: t.Final = "healthy"
SICK: t.Final = "sick"
SILENT: t.Final = "silent"

_GOOD_WORDS: t.Final = frozenset({"ok", "up", "pass", "healthy"})


@dataclass(frozen=True)
class Answer:
    """One answer to one question; ``failure`` says why there was none."""

    status: t.Optional[int] = None
    word: str = ""
    version: str = ""
    failure: str = ""

    def as_text(self) -> str:
        if self.status is None:
            return f"no answer ({self.failure})"
        said = f", status {self.word}" if self.word else ""
        return f"{self.status}{said}, version {self.version or 'not named'}"


def read(status: int, body: bytes, release_header: str) -> Answer:
    """An answer over HTTP. The header names the release where the body does not."""
    try:
        document = json.loads(body.decode("utf-8"))
    except ValueError:
        document = None
    fields = document if isinstance(document, dict) else {}
    return Answer(
        status=status,
        word=str(fields.get("status", "")),
        version=str(fields.get("version", "") or release_header),
    )


def fault(answer: Answer, expected_version: str) -> str:
    """Why an answer is not good; '' when it is."""
    if answer.status is None:
        return answer.as_text()
    if not 200 <= answer.status < 300:
        return f"it answers {answer.as_text()}"
    if answer.word and answer.word.lower() not in _GOOD_WORDS:
        return f"it answers {answer.as_text()}"
    if expected_version and answer.version != expected_version:
        return f"it runs {answer.version or 'a release it does not name'}, not {expected_version}"
    return ""


@dataclass(frozen=True)
class Streak:
    """The answers so far: how many good ones in a row, and the last."""

    good: int = 0
    answers: int = 0
    version: str = ""
    last: t.Optional[Answer] = None

    def then(self, answer: Answer, expected_version: str) -> Streak:
        """One answer later. A release that changes in between begins a new row."""
        is_good = not fault(answer, expected_version)
        goes_on = is_good and (self.good == 0 or answer.version == self.version)
        return Streak(
            good=self.good + 1 if goes_on else int(is_good),
            answers=self.answers + 1,
            version=answer.version if is_good else "",
            last=answer,
        )


def outcome(streak: Streak, consecutive: int) -> str:
    """healthy, sick (it answers, but not well) or silent (nobody answers)."""
    if streak.good >= consecutive:
        return HEALTHY
    return SILENT if streak.last is None or streak.last.status is None else SICK


def reason(streak: Streak, consecutive: int, expected_version: str) -> str:
    """What to tell a person about a server that is not healthy."""
    if streak.last is None:
        return "it was not asked"
    return fault(streak.last, expected_version) or (
        f"only {streak.good} of {consecutive} good answers in a row; the last was {streak.last.as_text()}"
    )
