# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rendered message: its subject, its text, and whether everything in it was filled in."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

# What a template prints where nobody gave a value. No text of ours or of a
# person uses these brackets for anything else.
_UNSET = re.compile("\u27e6([A-Za-z0-9_]+)\u27e7")
_SUBJECT: t.Final = "Subject:"


@dataclass(frozen=True)
class Letter:
    name: str
    subject: str
    body: str

    @property
    def text(self) -> str:
        return f"{self.subject}\n\n{self.body}"


def unset_placeholders(text: str) -> list[str]:
    """Names of the placeholders that are still in the text, each once, in the order of the text."""
    return list(dict.fromkeys(_UNSET.findall(text)))


def read_letter(name: str, text: str) -> Letter:
    """The letter that a template rendered: a first line ``Subject: …``, then the body.

    A text in which a placeholder is left is refused: a customer must never read one.
    """
    missing = unset_placeholders(text)
    if missing:
        raise MigrationError(
            "send",
            f"message '{name}'",
            f"{_and(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            "Set " + _and([f"announcement_facts.{placeholder}" for placeholder in missing]),
            kind="message",
            unset=missing,
        )
    head, _ignored, body = text.strip().partition("\n")
    subject = head[len(_SUBJECT) :].strip()
    body = body.strip()
    if not head.startswith(_SUBJECT) or not subject or not body:
        raise MigrationError(
            "send",
            f"message '{name}'",
            "its text does not begin with a line 'Subject: …' followed by a body",
            "Correct the template",
            kind="message",
        )
    return Letter(name, subject, body + "\n")


def _and(names: t.Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
