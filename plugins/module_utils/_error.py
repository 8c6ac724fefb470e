# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one kind of failure this collection foresees, and the sentence it makes."""

from __future__ import annotations

import typing as t


class MigrationError(Exception):
    """Something could not be done; says what, why and, where known, the cure.

    ``facts`` is returned beside the message, so that a playbook can decide on
    data and a person can read the sentence. Facts never hold a secret.
    """

    def __init__(self, act: str, thing: str, cause: str, cure: str = "", **facts: t.Any) -> None:
        self.act = act
        self.thing = thing
        self.cause = cause.strip().rstrip(".")
        self.cure = cure.strip().rstrip(".")
        self.facts = facts
        super().__init__(str(self))

    def __str__(self) -> str:
        sentence = f"Cannot {self.act} {self.thing}: {self.cause}."
        return f"{sentence} {self.cure}." if self.cure else sentence

    def __reduce__(self) -> t.Any:
        # The sentence is made from five parts; pickling by the default recipe
        # would call __init__ with the finished sentence alone.
        return (_rebuild, (type(self), self.act, self.thing, self.cause, self.cure, self.facts))


def _rebuild(
    kind: type[MigrationError], act: str, thing: str, cause: str, cure: str, facts: dict[str, t.Any]
) -> MigrationError:
    return kind(act, thing, cause, cure, **facts)
