# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a migration is complete: ten items, each proven by the journal or confirmed by a named person."""

from __future__ import annotations

import datetime
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.emailai.migration.plugins.module_utils._report import evidence

PROVEN: t.Final = "proven"
CONFIRMED: t.Final = "confirmed"
OPEN: t.Final = "open"
NOT_DUE: t.Final = "not_due"


@dataclass(frozen=True)
class Item:
    """One line of the checklist. ``found`` says by what it is proven, or what is missing."""

    item: str
    text: str
    state: str
    found: str
    by: str = ""
    at: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


# The order is the runbook's.
TEXTS: t.Final[dict[str, str]] = {
    "verification": "Every check of the data passed",
    "error_rate": "The error rate did not rise",
    "response_times": "Response times are normal",
    "acceptance": "Acceptance tests are done",
    "team_training": "The team is trained",
    "documentation": "The documentation is up to date",
    "support_briefing": "Support is briefed",
    "dashboards": "The monitoring dashboards are up to date",
    "post_migration_mail": "The mail after the migration is sent",
    "retrospective": "A date for the retrospective is set",
}
_OF_A_SERVICE: t.Final = ("error_rate", "response_times", "acceptance")
BY_NAME: t.Final = ("team_training", "documentation", "support_briefing", "dashboards", "retrospective")


@dataclass(frozen=True)
class NextStep:
    step: str
    text: str
    after_days: int

    def due(self, concluded_at: datetime.datetime) -> datetime.date:
        return (concluded_at + datetime.timedelta(days=self.after_days)).date()


NEXT_STEPS: t.Final = (
    NextStep(
        "monitor",
        "Watch the service each day for seven days, for what shows late (playbooks/watch_daily.yml)",
        7,
    ),
    NextStep("documentation", "Bring the documentation up to the organization model", 7),
    NextStep("support", "Train support in the organization features", 7),
    NextStep("cleanup", "Remove what is deprecated, thirty days on (playbooks/contract.yml)", 30),
    NextStep("feedback", "Ask the first organizations what they think", 30),
    NextStep("phase_two", "Plan the organization features that come next", 30),
)


def judge(
    document: t.Mapping[str, t.Any], confirmations: t.Mapping[str, str], now: str, is_rehearsal: bool = False
) -> list[Item]:
    """The ten items. A name given now counts like one that the journal kept, which wins."""
    kept = {row["item"]: (row["confirmed_by"], row["at"]) for row in document.get("confirmations", ())}
    given = {
        item: (str(name).strip(), now) for item, name in confirmations.items() if str(name or "").strip()
    }
    names = {**given, **kept}
    proofs = evidence.proofs(document)
    items = [_item(item, proofs.get(item), names.get(item)) for item in TEXTS]
    return [_hold(item, document) for item in items] if is_rehearsal else items


def _hold(item: Item, document: t.Mapping[str, t.Any]) -> Item:
    """In a rehearsal no customer is written to, and where nobody is served there is nothing to watch."""
    reasons = {"post_migration_mail": "a rehearsal tells nobody"}
    if evidence.is_unwatched(document):
        reasons.update(dict.fromkeys(_OF_A_SERVICE, "a rehearsal that served nobody"))
    if item.item not in reasons or item.state != OPEN:
        return item
    return Item(item.item, item.text, NOT_DUE, reasons[item.item])


def confirmable(document: t.Mapping[str, t.Any]) -> set[str]:
    """Items for which a name counts. What the journal can prove, no name can."""
    return set(BY_NAME) | {item for item, proof in evidence.proofs(document).items() if proof.is_askable}


def new_confirmations(document: t.Mapping[str, t.Any], confirmations: t.Mapping[str, str]) -> dict[str, str]:
    """Names that are to be kept: of known items that nobody confirmed before."""
    kept = {row["item"] for row in document.get("confirmations", ())}
    wanted = confirmable(document) - kept
    return {
        item: str(name).strip()
        for item, name in confirmations.items()
        if item in wanted and str(name or "").strip()
    }


def cure(still_open: t.Sequence[Item]) -> str:
    """What to do, or to type, about what is open."""
    by_name = [item.item for item in still_open if item.found == evidence.NOBODY]
    others = [item for item in still_open if item.found != evidence.NOBODY]
    parts = [f"{item.text}: {item.found}" for item in others]
    if by_name:
        names = ", ".join(f'"{item}": "<your name>"' for item in by_name)
        parts.append(f"""Confirm by name: -e '{{"migration_confirmations": {{{names}}}}}'""")
    return ". ".join(parts)


def _item(item: str, proof: t.Optional[evidence.Proof], name: t.Optional[tuple[str, str]]) -> Item:
    text = TEXTS[item]
    if proof is not None and proof.is_met:
        return Item(item, text, PROVEN, proof.found, at=proof.at)
    is_askable = item in BY_NAME or (proof is not None and proof.is_askable)
    if is_askable and name is not None:
        return Item(item, text, CONFIRMED, f"confirmed by {name[0]}", by=name[0], at=name[1])
    return Item(item, text, OPEN, proof.found if proof is not None and proof.found else evidence.NOBODY)


def next_steps(concluded_at: datetime.datetime) -> list[dict[str, str]]:
    return [
        {"step": step.step, "text": step.text, "due": step.due(concluded_at).isoformat()}
        for step in NEXT_STEPS
    ]
