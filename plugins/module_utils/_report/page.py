# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML file that needs nothing but itself."""

from __future__ import annotations

import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._report import (
    clock,
    completion,
    figures,
    sections,
)
from ansible_collections.emailai.migration.plugins.module_utils._report.html import Html, el
from ansible_collections.emailai.migration.plugins.module_utils._report.parts import badge
from ansible_collections.emailai.migration.plugins.module_utils._report.story import Story
from ansible_collections.emailai.migration.plugins.module_utils._report.style import CSS

# Nothing may be fetched and nothing may run, whatever a value may contain.
_POLICY: t.Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

# What somebody woken up wants to know first stands first.
_ORDER: t.Final = (
    sections.timeline,
    sections.way_back,
    sections.checks,
    sections.findings,
    sections.checklist,
    sections.next_steps,
    sections.load,
    sections.gate,
    sections.progress,
    sections.predictions,
    sections.backup,
    sections.hosts,
    sections.messages,
    sections.outcomes,
    sections.events,
)


def render(story: Story) -> str:
    run = story.document["run"]
    shown = [part for part in (build(story) for build in _ORDER) if part is not None]
    title = f"Migration {run['id']}"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="robots", content="noindex"),
        el("title", title),
        el("style", Html(CSS)),
    )
    body = el(
        "body",
        el("main", _header(story, title), shown, el("footer", f"As of {clock.shown(story.as_of)} UTC.")),
    )
    return f"<!DOCTYPE html>\n{el('html', head, body, lang='en')}\n"


def _header(story: Story, title: str) -> Html:
    run = story.document["run"]
    return el(
        "header",
        el("h1", title, " ", badge(run["state"])),
        el(
            "p",
            f"From {run['release_before']} to {run['release_after']} on database {run['database_name']},"
            f" begun {clock.shown(run['started_at'])} UTC by {run['owner']} on {run['host']}.",
            class_="soft",
        ),
        el("div", [_tile(value, label) for value, label in _tiles(story)], class_="tiles"),
    )


def _tiles(story: Story) -> list[tuple[str, str]]:
    document = story.document
    run = document["run"]
    took = clock.seconds_between(run["started_at"], run["finished_at"] or story.as_of)
    done = [row["state"] for row in document["phases"]]
    checks = [figures.state_of(row) for row in figures.listed(document, "checks")]
    passed = sum(state in ("ok", "pass", "passed") for state in checks)
    findings = len(figures.findings(document)) + len(document["quarantine"])
    open_items = sum(item.state == completion.OPEN for item in story.checklist)
    return [
        (clock.duration(took), "from the first phase to now" if not run["finished_at"] else "in all"),
        (f"{done.count('completed')} of {len(done)}", "phases completed"),
        (f"{passed} of {len(checks)}" if checks else "\u2013", "checks passed"),
        (str(findings), "findings"),
        (_backup(document), "backup"),
        (str(open_items), "completion items open"),
    ]


def _backup(document: t.Mapping[str, t.Any]) -> str:
    rows = list(figures.walk(figures.outcome(document, "back_up")))
    if any(row.get("proven") is True for row in rows):
        return "proven"
    return "not proven" if rows and rows[0] else "none"


def _tile(value: str, label: str) -> Html:
    return el("div", el("b", value), el("span", label), class_="tile")
