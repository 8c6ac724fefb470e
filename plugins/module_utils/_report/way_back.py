# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How to go back from where a run stands, and how to hold it: what to type, and what it costs."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    text: str
    command: str


# The last phase that began decides how far there is to go. Each phase's ways
# stand cheapest first; a phase that is not named here changes nothing live.
_CODE: t.Final = Way("The fleet returns to the old release; data and schema stay", "playbooks/roll_back.yml")
_DATA: t.Final = Way(
    "Our links are removed as well; organizations stay",
    "playbooks/roll_back.yml -e migration_roll_back_depth=data",
)
_SCHEMA: t.Final = Way(
    "What we made in the schema is withdrawn as well",
    "playbooks/roll_back.yml -e migration_roll_back_depth=schema",
)
_RESTORE: t.Final = Way(
    "Last resort: the proven backup takes the database's place, and every write since it is lost",
    "playbooks/restore.yml",
)
_NOTHING: t.Final = Way("Nothing live has changed yet: there is nothing to undo", "")
_GONE: t.Final = Way(
    "The old columns are gone: only a backup leads back, and every write since it is lost",
    "playbooks/restore.yml",
)

_WAYS: t.Final[dict[str, tuple[Way, ...]]] = {
    "expand": (_SCHEMA, _RESTORE),
    "move": (_DATA, _SCHEMA, _RESTORE),
    "verify": (_DATA, _SCHEMA, _RESTORE),
    "deploy": (_CODE, _DATA, _SCHEMA, _RESTORE),
    "watch": (_CODE, _DATA, _SCHEMA, _RESTORE),
    "conclude": (_CODE, _DATA, _SCHEMA, _RESTORE),
    "roll_back": (_DATA, _SCHEMA, _RESTORE),
    "restore": (Way("The same swap takes the old database back; it was kept", "playbooks/restore.yml"),),
    "contract": (_GONE,),
}


def ways_back(phase: str) -> tuple[Way, ...]:
    return _WAYS.get(phase, (_NOTHING,))


def last_phase(phases: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """The phase that began last, by the clock of the database."""
    return str(max(phases, key=lambda row: row["started_at"])["name"]) if phases else ""
