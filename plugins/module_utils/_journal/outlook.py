# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal means to its reader: safe to stop or not, how to go on, how to go back, what is due."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._journal import failure, states, view

Fields = t.Dict[str, t.Any]

# The runbook's next step that has a date of its own.
_WATCH_DAYS: t.Final = 7

_COUNTED: t.Final = {
    "organizations": "Organizations",
    "members": "Members",
    "linked_accounts": "Linked accounts",
    "linked_premiums": "Linked premiums",
}


def judge(found: Fields, limit: str) -> Fields:
    """Everything that follows from what was read; times become text."""
    phase = _open_phase(found)
    is_safe, why = _safe_to_stop(found, phase)
    result = {key: value for key, value in found.items() if key != "now"}
    result["phases"] = [_with_duration(row, found["now"]) for row in found["phases"]]
    result["safe_to_stop"] = is_safe
    result["safe_to_stop_because"] = why
    result["how_to_go_on"] = _go_on(found, phase, limit)
    result["how_to_go_back"] = _go_back(found, limit)
    result["due"] = _due(found, phase)
    result["text"] = render(dict(result, now=found["now"]))
    return t.cast(Fields, as_text(result))


def may_go_on(found: Fields, epoch: int) -> bool:
    """Whether this attempt at the deployment may begin another batch, whatever an earlier one left. Without
    an attempt what any of them left counts."""
    own = [row for row in found["artifacts"] if not epoch or row["detail"].get("epoch") == epoch]
    return (
        found["run"] is not None
        and found["run"]["state"] == "deploying"
        and found["control"]["wanted"] == "run"
        and not any(row["state"] in ("failed", "held") for row in own)
    )


def as_text(value: t.Any) -> t.Any:
    """The same with times a person and JSON can read."""
    if isinstance(value, datetime.datetime):
        return view.moment(value)
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_text(item) for item in value]
    return value


def render(found: Fields) -> str:
    """One screen."""
    return "\n".join([*_head(found), *_phase_lines(found), *_work_lines(found), *_foot(found)])


def share(done: int | None, total: int | None) -> str:
    """Done, total and percent; rounded down, so that 100 % means all."""
    if done is None or total is None:
        return f"{_count(done)} / {_count(total)}"
    percent = 100 if total == 0 else min(done, total) * 100 // total
    return f"{_count(done)} / {_count(total)} ({percent} %)"


def duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _open_phase(found: Fields) -> Fields | None:
    """The phase under way, or the one that failed; in a finished run none is either."""
    if found["run"] is None or states.is_finished(found["run"]["state"]):
        return None
    rows = [row for row in found["phases"] if row["state"] != "completed"]
    return max(rows, key=lambda row: row["started_at"], default=None)


def _safe_to_stop(found: Fields, phase: Fields | None) -> tuple[bool, str]:
    if phase is None or phase["state"] != "in_progress":
        return True, "No phase is under way."
    known = states.PHASES[phase["name"]]
    if found["holder"] is None:
        return (
            known.is_safe_to_stop,
            f"Nobody works on {known.name}; it was interrupted. Give the same command again.",
        )
    return known.is_safe_to_stop, known.stopping


def _go_on(found: Fields, phase: Fields | None, limit: str) -> str:
    state = found["run"]["state"] if found["run"] else "planned"
    if phase is not None and phase["name"] not in states.FORWARD:
        return failure.command(states.playbook(phase["name"]), limit)
    if states.is_finished(state):
        return ""
    if found["control"]["wanted"] == "pause":
        return failure.command("playbooks/control.yml", limit) + " -e journal_wanted=run"
    if _is_release(found):
        left = [name for name in states.RELEASE if name not in _completed(found)]
        return failure.command(states.playbook(left[0]), limit) if left else ""
    return failure.command("migrate.yml", limit)


def _is_release(found: Fields) -> bool:
    return states.is_release([row["name"] for row in found["phases"]])


def _completed(found: Fields) -> set[str]:
    return {row["name"] for row in found["phases"] if row["state"] == "completed"}


def _go_back(found: Fields, limit: str) -> str:
    """Empty where there is nothing to take back, or no way back any more."""
    if found["run"] is None or found["run"]["state"] in ("contracted", "rolled_back", "planned"):
        return ""
    return failure.command("playbooks/roll_back.yml", limit)


def _due(found: Fields, phase: Fields | None) -> list[str]:
    if found["run"] is None:
        return []
    if found["run"]["state"] == "concluded":
        return _next_steps(found)
    if phase is not None:
        verb = "was interrupted or goes on" if phase["state"] == "in_progress" else "failed"
        return [f"{phase['name']} {verb}"]
    if states.is_finished(found["run"]["state"]):
        return []
    done = {row["name"] for row in found["phases"]}
    return [f"next: {name}" for name in _expected(found) if name not in done][:1]


def _expected(found: Fields) -> tuple[str, ...]:
    """The phases that the run has, or will have."""
    if found["run"] is None:
        return ()
    return states.RELEASE if _is_release(found) else states.FORWARD


def _next_steps(found: Fields) -> list[str]:
    """What conclude wrote down; without it, the runbook's two dates."""
    outcome: Fields = next((row["outcome"] for row in found["phases"] if row["name"] == "conclude"), {})
    noted = [
        f"{step.get('due', '')} {step.get('text', '')}".strip()
        for step in outcome.get("next_steps") or ()
        if isinstance(step, dict)
    ]
    if noted or found["run"]["finished_at"] is None:
        return noted
    day = found["run"]["finished_at"].date()
    watched = day + datetime.timedelta(days=_WATCH_DAYS)
    contracted = day + datetime.timedelta(days=states.RETENTION_DAYS)
    return [f"{watched} end of the daily watch", f"{contracted} earliest day of playbooks/contract.yml"]


def _with_duration(row: Fields, now: datetime.datetime) -> Fields:
    end = row["finished_at"] or now
    return dict(row, seconds=round(max(0.0, (end - row["started_at"]).total_seconds()), 1))


def _head(found: Fields) -> list[str]:
    run = found["run"]
    if run is None:
        return ["No run was ever begun in this database."]
    since = view.moment(run["started_at"])
    return [f"Run {run['id']}: {run['state']}, begun {since} by {run['owner']} on {run['host']}"]


def _phase_lines(found: Fields) -> t.Iterator[str]:
    rows = {row["name"]: row for row in found["phases"]}
    for name in states.PHASES:
        row = rows.get(name)
        if row is not None:
            took = duration(row["seconds"])
            state = row["state"].replace("_", " ")
            yield f"  {name:<10} {state:<12} {view.moment(row['started_at'])}  {took}"
            if row["error"]:
                yield f"  {'':<10} {row['error'].splitlines()[0]}"
        elif name in _expected(found):
            yield f"  {name:<10} to do"


def _work_lines(found: Fields) -> t.Iterator[str]:
    wish = found["control"]
    pace = f", pace {wish['pace']:g}" if wish["pace"] else ""
    rows = f", {wish['batch_rows']} rows in a batch" if wish["batch_rows"] else ""
    yield f"Who works:        {found['holder']['text'] if found['holder'] else 'nobody'}"
    yield f"Wanted:           {wish['wanted']}{pace}{rows}"
    for count in found["counts"]:
        yield f"{_COUNTED[count['name']] + ':':<17} {share(count['done'], count['total'])}"
    for row in found["progress"]:
        reason = f" ({row['reason']})" if row["reason"] else ""
        yield f"{row['task'] + ':':<17} {row['state']}, {share(row['done'], row['total'])}{reason}"
    for row in found["artifacts"]:
        yield from _deployment_line(row)


def _deployment_line(row: Fields) -> t.Iterator[str]:
    """Where a platform makes a deployment of each release: by which id a person would go back himself."""
    detail = row["detail"]
    if detail.get("deployment"):
        before = detail.get("deployment_before") or "not known"
        new = f"{row['release_after']} is {detail['deployment']}"
        yield f"{row['host'] + ':':<17} {new}, {row['release_before']} is {before}"


def _foot(found: Fields) -> t.Iterator[str]:
    yield f"Safe to stop:     {'yes' if found['safe_to_stop'] else 'no'}. {found['safe_to_stop_because']}"
    yield f"To go on:         {found['how_to_go_on'] or 'nothing is left to do'}"
    yield f"To go back:       {found['how_to_go_back'] or 'there is nothing to take back'}"
    for number, item in enumerate(found["due"]):
        yield f"{'Due:' if number == 0 else '':<17} {item}"
