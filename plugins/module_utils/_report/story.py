# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report tells of: the journal's document, and what was learned beside it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._report import completion, figures
from ansible_collections.emailai.migration.plugins.module_utils._report.conclusion import recorded_steps
from ansible_collections.emailai.migration.plugins.module_utils._report.redact import redact

Document = t.Dict[str, t.Any]


@dataclass(frozen=True)
class Story:
    document: Document
    checklist: t.Sequence[completion.Item]
    next_steps: t.Sequence[t.Mapping[str, str]]
    hosts: t.Sequence[t.Mapping[str, t.Any]]
    load: t.Mapping[str, t.Any]
    # Put behind each command, such as "-l prod".
    limit: str
    # The newest moment the journal knows. The clock of whoever renders would
    # make each rendering a different file.
    as_of: str

    def as_document(self) -> Document:
        """The machine's copy of everything the page shows."""
        return {
            **self.document,
            "as_of": self.as_of,
            "checklist": [item.as_dict() for item in self.checklist],
            "next_steps": list(self.next_steps),
            "hosts": list(self.hosts),
            "load": dict(self.load),
        }


def tell(
    document: Document, hosts: t.Any = (), load: t.Any = None, limit: str = "", is_rehearsal: bool = False
) -> Story:
    """What comes from outside the journal is redacted like the journal itself."""
    clean: Document = redact(document)
    return Story(
        document=clean,
        checklist=completion.judge(clean, {}, "", is_rehearsal),
        next_steps=recorded_steps(clean),
        hosts=redact([row for row in hosts or () if isinstance(row, dict)]),
        load=redact(load if isinstance(load, dict) else {}),
        limit=limit,
        as_of=newest(clean),
    )


def newest(document: Document) -> str:
    """The latest of all times in the document; ISO text in UTC sorts like time."""
    names = ("at", "started_at", "finished_at", "updated_at", "sent_at", "taken_at")
    return max(
        (
            str(row[name])
            for row in figures.walk(document)
            for name in names
            if isinstance(row.get(name), str)
        ),
        default="",
    )
