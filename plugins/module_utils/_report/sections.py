# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report tells, one function a section. One without anything to tell is left out or says so."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._report import axis, clock, figures
from ansible_collections.emailai.migration.plugins.module_utils._report.html import Html, el
from ansible_collections.emailai.migration.plugins.module_utils._report.parts import (
    badge,
    command,
    count,
    facts,
    ids,
    scalar,
    section,
    table,
    words,
)
from ansible_collections.emailai.migration.plugins.module_utils._report.story import Story
from ansible_collections.emailai.migration.plugins.module_utils._report.way_back import (
    Way,
    last_phase,
    ways_back,
)

_SHOWN_ELSEWHERE: t.Final = frozenset({"checks", "findings", "predicted", "actual"})
_FEW_EVENTS: t.Final = 60
# Runs in these states are not gone on with; the next command begins another one or changes nothing.
_ENDED: t.Final = ("concluded", "contracted", "rolling_back", "rolled_back", "abandoned")


def timeline(story: Story) -> Html:
    phases = story.document["phases"]
    rows = [
        [
            row["name"],
            [badge(row["state"]), el("div", row["error"], class_="error") if row["error"] else ""],
            clock.shown(row["started_at"]),
            clock.duration(clock.seconds_between(row["started_at"], row["finished_at"])),
        ]
        for row in phases
    ]
    parts: list[t.Any] = [axis.draw_phases(phases, story.as_of)]
    if rows:
        parts.append(table(["Phase", "State", "@Began (UTC)", "#Took"], rows))
    return section("timeline", "Timeline", parts)


def load(story: Story) -> t.Optional[Html]:
    windows = story.load.get("windows")
    span = axis.axis_of(story.document["phases"], story.as_of)
    if not isinstance(windows, list) or not windows or span is None:
        return None
    rest = {name: value for name, value in story.load.items() if not isinstance(value, (list, dict))}
    return section(
        "service",
        "The service during the run",
        axis.draw_load(windows, story.document["phases"], story.as_of, span),
        facts(rest),
    )


def progress(story: Story) -> t.Optional[Html]:
    rows = story.document["progress"]
    if not rows:
        return None
    body = []
    for row in rows:
        seconds = clock.seconds_between(row["started_at"], row["finished_at"] or row["updated_at"])
        share = f"{row['done'] / row['total']:.0%}" if row["total"] else "\u2013"
        rate = f"{row['done'] / seconds:,.0f}/s" if seconds and seconds >= 0.1 else "\u2013"
        body.append(
            [words(row["task"]), badge(row["state"]), count(row["done"]), count(row["total"]), share, rate,
             clock.duration(seconds), _progress_notes(row)]
        )  # fmt: skip
    heads = ["Work", "State", "#Done", "#Of", "#Share", "#Rate", "#Took", "Counters"]
    return section("progress", "Batches and progress", table(heads, body))


def _progress_notes(row: t.Mapping[str, t.Any]) -> t.Any:
    notes = dict(row["counters"])
    if row["reason"]:
        notes["held back by"] = row["reason"]
    if row["error"]:
        notes["error"] = row["error"]
    return facts(notes) if notes else ""


def checks(story: Story) -> Html:
    rows = figures.listed(story.document, "checks")
    if not rows:
        return section("checks", "Checks", el("p", "No check has been recorded.", class_="soft"))
    known = {"phase", "count", "ids", "title", "repair", *figures.NAMES, *figures.STATES}
    body = [
        [
            row["phase"],
            _title(row),
            badge(figures.state_of(row)),
            count(row.get("count")),
            _details(row, known),
        ]
        for row in rows
    ]
    return section("checks", "Checks", table(["Phase", "Check", "Result", "#Figure", "Details"], body))


def findings(story: Story) -> t.Optional[Html]:
    rows = figures.findings(story.document)
    quarantine = story.document["quarantine"]
    if not rows and not quarantine:
        return None
    known = {"phase", "count", "ids", "repair", "title", *figures.NAMES, *figures.STATES}
    body = [
        [row["phase"], _title(row), count(row.get("count")), ids(row.get("ids") or []), _details(row, known),
         scalar(row.get("repair") or "")]
        for row in rows
    ]  # fmt: skip
    parts: list[t.Any] = []
    if rows:
        parts.append(table(["Phase", "Finding", "#Count", "Ids", "Details", "Repair"], body))
    if quarantine:
        parts.append(el("h3", f"Rows set aside ({len(quarantine)})"))
        cells = [
            [row["table_name"], row["row_key"], row["sqlstate"], clock.shown(row["at"])] for row in quarantine
        ]
        parts.append(table(["Table", "Row", "SQLSTATE", "@At (UTC)"], cells))
    return section("findings", "Findings", parts)


def _title(row: t.Mapping[str, t.Any]) -> list[t.Any]:
    name = words(figures.name_of(row))
    return [row["title"], el("div", name, class_="soft")] if row.get("title") else [name]


def _details(row: t.Mapping[str, t.Any], known: t.Container[str]) -> t.Any:
    return facts({name: value for name, value in row.items() if name not in known})


def backup(story: Story) -> Html:
    outcome = figures.outcome(story.document, "back_up")
    if not outcome:
        return section("backup", "Backup", el("p", "No backup has been recorded in this run.", class_="soft"))
    return section("backup", "Backup and its proof", facts(outcome))


def hosts(story: Story) -> t.Optional[Html]:
    artifacts = story.document["artifacts"]
    parts: list[t.Any] = []
    if artifacts:
        parts.append(
            table(
                ["Host", "State", "Before", "After", "@Since (UTC)", "Details"],
                [
                    [row["host"], badge(row["state"]), row["release_before"], row["release_after"],
                     clock.shown(row["updated_at"]), facts(row["detail"])]
                    for row in artifacts
                ],
            )
        )  # fmt: skip
    if story.hosts:
        parts.append(facts([dict(row) for row in story.hosts]))
    parts.append(
        el("p", "Database server: ", story.document["run"].get("server") or "unknown", class_="soft")
    )
    return section("hosts", "Hosts and versions", parts)


def predictions(story: Story) -> t.Optional[Html]:
    rows = figures.predictions(story.document)
    if not rows:
        return None
    body = [
        [row["phase"], words(row["name"]), facts(row["predicted"]), facts(row["actual"]), _ratio(row)]
        for row in rows
    ]
    return section(
        "prediction",
        "Predicted and actual",
        table(["Phase", "Figure", "Predicted", "Actual", "#Actual ÷ predicted"], body),
    )


def _ratio(row: t.Mapping[str, t.Any]) -> str:
    predicted, actual = row["predicted"], row["actual"]
    if isinstance(predicted, (int, float)) and isinstance(actual, (int, float)) and predicted:
        return f"{actual / predicted:.2f}"
    return "\u2013"


def gate(story: Story) -> t.Optional[Html]:
    known = {"phase", "verdict", "reasons", "findings", "windows", "name"}
    parts: list[t.Any] = []
    for row in figures.verdicts(story.document):
        under = "" if row["name"] == row["phase"] else f" {words(row['name'])}"
        parts += [
            el("h3", row["phase"], under, " ", badge(row["verdict"])),
            [el("p", reason) for reason in row.get("reasons") or []],
            facts({name: value for name, value in row.items() if name not in known}),
        ]
    for row in story.document["baselines"]:
        title = f"Baseline {words(row['name'])}, taken {clock.shown(row['taken_at'])} UTC"
        parts += [el("h3", title), facts(row["figures"])]
    return section("gate", "Gate", parts) if parts else None


def outcomes(story: Story) -> t.Optional[Html]:
    """What else the phases handed over, folded, so that nothing recorded is out of reach."""
    parts = []
    for row in story.document["phases"]:
        rest = {
            name: value
            for name, value in row["outcome"].items()
            if name not in _SHOWN_ELSEWHERE and value != {}
        }
        if rest and row["name"] != "back_up":
            parts.append(el("details", el("summary", row["name"]), facts(rest)))
    return section("figures", "Figures of each phase", parts) if parts else None


def checklist(story: Story) -> Html:
    body = [
        [item.text, badge(item.state), item.found, clock.shown(item.at) if item.at else ""]
        for item in story.checklist
    ]
    others = [
        [words(row["item"]), row["confirmed_by"], clock.shown(row["at"])]
        for row in story.document["confirmations"]
        if row["item"] not in {item.item for item in story.checklist}
    ]
    parts: list[t.Any] = [table(["Item", "State", "By what, or by whom", "@When (UTC)"], body)]
    if others:
        parts += [el("h3", "Also confirmed by name"), table(["Item", "By", "@When (UTC)"], others)]
    return section("checklist", "Completion", parts)


def next_steps(story: Story) -> Html:
    if not story.next_steps:
        return section(
            "next",
            "Next steps",
            el("p", "They get their dates when the migration is complete.", class_="soft"),
        )
    body = [[step["text"], step["due"]] for step in story.next_steps]
    return section("next", "Next steps", table(["What", "@Due"], body))


def way_back(story: Story) -> Html:
    limit = f" {story.limit}" if story.limit else ""
    ways = list(ways_back(last_phase(story.document["phases"])))
    if story.document["run"]["state"] not in _ENDED:
        ways.insert(0, Way("To go on: it starts where it stopped", "migrate.yml"))
    body = [
        [way.text, command(f"ansible-playbook {way.command}{limit}") if way.command else ""] for way in ways
    ]
    return section("back", "How to go on, and how to go back", table(["Way", "Command"], body))


def messages(story: Story) -> t.Optional[Html]:
    rows = [[row["name"], row["channel"], clock.shown(row["sent_at"])] for row in story.document["messages"]]
    return (
        section("messages", "Messages", table(["Message", "Channel", "@Sent (UTC)"], rows)) if rows else None
    )


def events(story: Story) -> t.Optional[Html]:
    rows = [
        [
            clock.shown(row["at"]),
            row["phase"],
            words(row["kind"]),
            [row["message"], facts(row["detail"]) if row["detail"] else ""],
        ]
        for row in story.document["events"]
    ]
    if not rows:
        return None
    body = table(["@At (UTC)", "Phase", "Kind", "What happened"], rows)
    if len(rows) > _FEW_EVENTS:
        body = el("details", el("summary", f"{len(rows)} entries"), body)
    return section("journal", "Journal", body)
