# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from what was found: one table of triggers and actions."""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

ROLL_BACK: t.Final = "roll_back"
ASK: t.Final = "ask"
HOLD: t.Final = "hold"
PASS: t.Final = "pass"

# From the strongest to the weakest: the strongest of several wins.
_RANK: t.Final = (ROLL_BACK, ASK, HOLD, PASS)

ACTIONS: t.Final[dict[str, str]] = {
    "error_rate_over_5": ROLL_BACK,
    "connection_failures": ROLL_BACK,
    "integrity": ROLL_BACK,
    "critical_flow": ROLL_BACK,
    "fatal_log": ROLL_BACK,
    "error_rate_2_to_5": ASK,
    "slower_than_before": ASK,
    "complaints": ASK,
    "billing": ASK,
    "server_down": ASK,
    "error_rate_1_to_2": HOLD,
    "slow": HOLD,
    "connections_high": HOLD,
    "alert": HOLD,
    "inconclusive": HOLD,
}

# Held for as long as it may be, these are a question for a person.
ASKED_IN_THE_END: t.Final = frozenset({"error_rate_1_to_2", "slow", "connections_high"})

# Nobody there to be asked: the run stops and the fleet stays as it is, but for these.
UNATTENDED: t.Final[dict[str, str]] = {"error_rate_2_to_5": ROLL_BACK}


@dataclass(frozen=True)
class Finding:
    """One trigger, with the sentence that says what was seen, and where."""

    trigger: str
    reason: str
    provider: str = ""
    server: str = ""
    # Whether watching on may clear it: more requests may come, a baseline from before may not.
    heals: bool = True

    @property
    def action(self) -> str:
        return ACTIONS[self.trigger]

    def facts(self) -> dict[str, t.Any]:
        return asdict(self)


@dataclass(frozen=True)
class Judgement:
    verdict: str
    action: str
    trigger: str
    reasons: tuple[str, ...]

    def facts(self) -> dict[str, t.Any]:
        return {**asdict(self), "reasons": list(self.reasons)}


def unattended_from(given: t.Mapping[str, str]) -> dict[str, str]:
    """The answers for when nobody is there, trigger by trigger; only questions can be answered."""
    questions = {name for name, action in ACTIONS.items() if action == ASK} | ASKED_IN_THE_END
    for trigger, action in given.items():
        if trigger not in questions or action not in (ROLL_BACK, HOLD):
            raise MigrationError(
                "use",
                "the unattended actions of the gate",
                f"{trigger}: {action} is not an answer to one of its questions",
                f"Answer {', '.join(sorted(questions))} with roll_back or hold",
                kind="gate",
            )
    return {**UNATTENDED, **given}


def finding_from(facts: t.Mapping[str, t.Any]) -> Finding:
    finding = Finding(**facts)
    if finding.trigger not in ACTIONS:
        raise MigrationError(
            "judge", "the findings", f"nobody knows the trigger {finding.trigger}", kind="gate"
        )
    return finding


def refusal(judgement: t.Mapping[str, t.Any]) -> MigrationError | None:
    """The error with which a rollout stops; None if it may go on."""
    action = judgement["action"]
    if action == PASS:
        return None
    cure = {
        ROLL_BACK: "Action: roll back",
        ASK: "Action: ask; nobody has answered, the fleet stays as it is",
        HOLD: "Action: hold; the fleet stays as it is",
    }[action]
    return MigrationError(
        "go on with",
        "the rollout",
        f"{judgement['trigger']}: "
        + ("; ".join(judgement["reasons"]) or "the verdict is " + judgement["verdict"]),
        cure,
        kind="gate",
        action=action,
        verdict=judgement["verdict"],
        trigger=judgement["trigger"],
    )


def judge(
    findings: t.Sequence[Finding],
    is_over: bool,
    is_attended: bool,
    unattended: t.Mapping[str, str],
) -> Judgement:
    """The verdict on all findings together; ``is_over``: no more time to hold and look again."""
    if not findings:
        return Judgement("pass", PASS, "", ())

    def resolve(finding: Finding) -> str:
        action = finding.action
        if action == HOLD and is_over and finding.trigger in ASKED_IN_THE_END:
            action = ASK
        if action == ASK and not is_attended:
            action = unattended.get(finding.trigger, HOLD)
        return action

    # Sorting is stable: among equals a breach goes before what is merely not known.
    ranked = sorted(findings, key=lambda f: (_RANK.index(resolve(f)), f.trigger == "inconclusive"))
    verdict = "breach" if any(f.trigger != "inconclusive" for f in findings) else "inconclusive"
    return Judgement(verdict, resolve(ranked[0]), ranked[0].trigger, tuple(f.reason for f in ranked))
