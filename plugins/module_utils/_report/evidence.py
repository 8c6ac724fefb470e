# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal proves: for the completion checklist, and for each claim in a message to customers.

An answer is taken only from what was recorded. What was not recorded is not
proven, however likely it is.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._report import figures

Document = t.Mapping[str, t.Any]

_PASSED: t.Final = ("pass", "passed", "ok", "met")
# What the gate records where nobody is served.
UNWATCHED: t.Final = "not_applicable"
NOBODY: t.Final = "nobody has confirmed it"
_HARMLESS: t.Final = (*_PASSED, "not_applicable", "skipped")


@dataclass(frozen=True)
class Proof:
    """Whether it is proven, by what, since when; ``is_askable`` if a name may take the place of the proof."""

    is_met: bool
    found: str
    at: str = ""
    is_askable: bool = False


def proofs(document: Document) -> dict[str, Proof]:
    """The five completion items that the journal can prove."""
    return {
        "verification": _completed(document, "verify"),
        "error_rate": _measured(document, "error_percent", "% errors"),
        "response_times": _measured(document, "p95_ms", "ms at p95"),
        "acceptance": _accepted(document),
        "post_migration_mail": _mailed(document),
    }


def claims(document: Document) -> dict[str, bool]:
    """The claims of the messages that are proven; a claim that is not named here is not.

    An event with ``{proves: <claim>}`` in its detail proves that claim directly.
    """
    verified = _completed(document, "verify").is_met
    accepted = _accepted(document).is_met
    found = {
        "shared_accounts": accepted,
        "members_and_roles": accepted,
        "seat_billing": accepted,
        "accounts_preserved": verified,
        "organizations_made": verified,
        "subscriptions_linked": verified and not _unlinked_premiums(document),
        "restored": _restored(document),
    }
    for event in document.get("events", ()):
        if event["detail"].get("proves"):
            found[str(event["detail"]["proves"])] = True
    if figures.phase(document, "restore") is not None:
        # Whatever else was noted: a restore gives up what was written since.
        found["no_data_loss"] = False
    return found


def writes_lost_since(document: Document) -> str:
    """The moment whose later writes a restore gave up, as the restore recorded it; empty if none."""
    for row in figures.walk(figures.outcome(document, "restore")):
        lost = row.get("lost")
        for value in (lost.get("since") if isinstance(lost, dict) else None, row.get("snapshot_at")):
            if isinstance(value, str) and value:
                return value
    return ""


def _restored(document: Document) -> bool:
    """A restore that failed before its swap restored nothing; one that is under way tells of itself."""
    phase = figures.phase(document, "restore")
    return phase is not None and (phase["state"] != "failed" or writes_lost_since(document) != "")


def _completed(document: Document, name: str) -> Proof:
    phase = figures.phase(document, name)
    if phase is None:
        return Proof(False, f"phase {name} has not run (playbooks/{name}.yml)")
    if phase["state"] != "completed":
        return Proof(False, f"phase {name} is {phase['state']} (playbooks/{name}.yml)")
    return Proof(True, f"phase {name} completed", at=phase["finished_at"] or "")


def _measured(document: Document, figure: str, unit: str) -> Proof:
    """The watch passed and the figure was really seen: a gate without a source for it proves nothing."""
    completed = _completed(document, "watch")
    if not completed.is_met:
        return completed
    rows = list(figures.walk(figures.outcome(document, "watch")))
    verdict = next((row["verdict"] for row in rows if isinstance(row.get("verdict"), str)), "")
    worst = _worst(rows, figure)
    if not verdict or worst is None:
        return Proof(False, "phase watch recorded no verdict on it (playbooks/watch.yml)")
    return Proof(verdict in _PASSED, f"watch: {verdict}, {worst:g} {unit}", at=completed.at)


def is_unwatched(document: Document) -> bool:
    """The watch said by itself that there was no service to watch."""
    rows = figures.walk(figures.outcome(document, "watch"))
    return _completed(document, "watch").is_met and any(row.get("verdict") == UNWATCHED for row in rows)


def _worst(rows: t.Sequence[t.Mapping[str, t.Any]], figure: str) -> t.Optional[float]:
    """Over the whole watch the worst of the sources; without sources the worst row that has the figure."""
    sources = [source for row in rows for source in _inner(row.get("providers"))]
    seen = [row[figure] for row in sources or rows if isinstance(row.get(figure), (int, float))]
    return max(seen, default=None)


def _inner(value: t.Any) -> list[t.Mapping[str, t.Any]]:
    return [row for row in value.values() if isinstance(row, dict)] if isinstance(value, dict) else []


def _accepted(document: Document) -> Proof:
    completed = _completed(document, "deploy")
    if not completed.is_met:
        return completed
    smoke = [row["smoke"] for row in figures.walk(figures.outcome(document, "deploy")) if "smoke" in row]
    if not smoke:
        # A deployment without a suite was tried by people, or by nobody.
        return Proof(False, NOBODY, is_askable=True)
    passed, failed = map(sum, zip(*map(_count, smoke)))
    return Proof(
        passed > 0 and failed == 0, f"deploy: {passed} checks passed, {failed} failed", at=completed.at
    )


def _count(smoke: t.Any) -> tuple[int, int]:
    """Passed and failed, from counts or from a list of checks."""
    if isinstance(smoke, dict) and isinstance(smoke.get("checks"), list):
        smoke = smoke["checks"]
    if isinstance(smoke, dict):
        return _number(smoke.get("passed")), _number(smoke.get("failed"))
    states = (
        [figures.state_of(row) for row in smoke if isinstance(row, dict)] if isinstance(smoke, list) else []
    )
    return sum(state in _PASSED for state in states), sum(state not in _HARMLESS for state in states)


def _number(value: t.Any) -> int:
    if isinstance(value, list):
        return len(value)
    return int(value) if isinstance(value, (int, float)) else 0


def _mailed(document: Document) -> Proof:
    channels = _channels(document, "complete")
    if "mail" in channels:
        row = next(
            row for row in document["messages"] if row["name"] == "complete" and row["channel"] == "mail"
        )
        return Proof(True, "message 'complete' went out by mail", at=row["sent_at"])
    if _channels(document, "complete") - {"status_page"}:
        # The text was written for somebody to send by other means.
        return Proof(False, NOBODY, is_askable=True)
    return Proof(False, "message 'complete' has not gone out (playbooks/announce.yml)")


def _channels(document: Document, name: str) -> set[str]:
    return {row["channel"] for row in document.get("messages", ()) if row["name"] == name}


def _unlinked_premiums(document: Document) -> bool:
    return any(
        "premium" in figures.name_of(row).lower() and _number(row.get("count"))
        for row in [*figures.listed(document, "findings"), *figures.listed(document, "checks")]
        if figures.state_of(row) not in _PASSED
    )
