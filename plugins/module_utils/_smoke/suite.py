# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole visit: every check in turn, then everything that was made goes. Touches nothing itself."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._smoke.checks import CHECKS
from ansible_collections.emailai.migration.plugins.module_utils._smoke.visit import (
    FaultError,
    IdleError,
    Visit,
)

PASSED: t.Final = "passed"
FAILED: t.Final = "failed"
IDLE: t.Final = "not_applicable"
PLANNED: t.Final = "planned"

Result = dict[str, t.Any]


def plan() -> list[Result]:
    """The checks by name, before any is tried."""
    return [_row(name, PLANNED, "") for name in CHECKS]


def of_command(was_run: bool) -> list[Result]:
    """What the operator's own command comes to: one that did not pass has failed the module."""
    return [_row("command", PASSED if was_run else PLANNED, "")]


def run(visit: Visit, before_clearing: t.Callable[[], None]) -> Result:
    """Try everything; whatever comes, the last thing is to remove what was made."""
    rows: list[Result] = []
    swept: list[str] = []
    try:
        for name in CHECKS:
            rows.append(_try(visit, name))
            if name == "log_in":
                swept = _sweep(visit)
    finally:
        before_clearing()
        rows += _clear(visit)
        _log_out(visit)
    return answer(rows, swept)


def answer(rows: list[Result], swept: t.Sequence[str] = ()) -> Result:
    """What the module tells; the part ``smoke`` is for the journal."""
    smoke: Result = {state: sum(row["state"] == state for row in rows) for state in (PASSED, FAILED, IDLE)}
    smoke["reasons"] = {row["name"]: row["reason"] for row in rows if row["state"] in (FAILED, IDLE)}
    return {"changed": bool(swept), "checks": rows, "smoke": smoke, "swept": list(swept)}


def concluded(url: str, found: Result) -> Result:
    """The answer, or the failure in a sentence."""
    failed = [row for row in found["checks"] if row["state"] == FAILED]
    if failed:
        told = "; ".join(f"{row['name']} ({row['reason']})" for row in failed)
        raise MigrationError(
            "let users come to",
            url,
            f"a critical flow is broken, {len(failed)} of {len(found['checks'])} checks failed: {told}",
            kind="smoke",
            **found,
        )
    return found


def _sweep(visit: Visit) -> list[str]:
    """Remove what a visit that was cut off has left; what cannot be removed now is told at the end."""
    if "token" not in visit.known:
        return []
    visit.find_left()
    swept = [f"{kind} {key}" for kind, key in visit.made]
    visit.clear()
    return swept


def _try(visit: Visit, name: str) -> Result:
    try:
        state, reason = PASSED, CHECKS[name](visit)
    except IdleError as exc:
        state, reason = IDLE, str(exc)
    except FaultError as exc:
        state, reason = FAILED, str(exc)
    except MigrationError as exc:
        state, reason = FAILED, exc.cause
    visit.states[name] = state
    return _row(name, state, reason)


def _clear(visit: Visit) -> list[Result]:
    """A row only where something is left: that fails the suite, for people would find it."""
    left = visit.clear()
    if not left:
        # What the application says is gone is looked for once more.
        visit.find_left()
        left = [f"{kind} {key}" for kind, key in visit.made]
    return [_row("cleaned_up", FAILED, f"it is still there: {', '.join(left)}")] if left else []


def _log_out(visit: Visit) -> None:
    if not visit.known.get("token"):
        return
    try:
        visit.reply("logout")
    except (FaultError, IdleError, MigrationError):
        # A session ends by itself.
        return


def _row(name: str, state: str, reason: str) -> Result:
    return {"name": name, "state": state, "reason": reason}
