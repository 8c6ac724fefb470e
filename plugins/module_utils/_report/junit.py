# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as JUnit XML, so that a pipeline shows phases, checks and the checklist as test cases."""

from __future__ import annotations

import typing as t
from xml.etree import ElementTree

from ansible_collections.emailai.migration.plugins.module_utils._report import clock, completion, figures
from ansible_collections.emailai.migration.plugins.module_utils._report.html import printable
from ansible_collections.emailai.migration.plugins.module_utils._report.story import Story


class _Case(t.NamedTuple):
    name: str
    failure: str = ""
    skipped: str = ""
    seconds: float = 0.0


def render(story: Story) -> str:
    root = ElementTree.Element("testsuites", name=printable(story.document["run"]["id"]))
    for name, cases in (
        ("phases", [_phase(row) for row in story.document["phases"]]),
        ("checks", [_check(row) for row in figures.listed(story.document, "checks")]),
        ("completion", [_item(item) for item in story.checklist]),
    ):
        _suite(root, name, cases)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(root: ElementTree.Element, name: str, cases: t.Sequence[_Case]) -> None:
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=name,
        tests=str(len(cases)),
        failures=str(sum(bool(case.failure) for case in cases)),
        skipped=str(sum(bool(case.skipped) for case in cases)),
        errors="0",
        time=f"{sum(case.seconds for case in cases):.3f}",
    )
    for case in cases:
        node = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"migration.{name}",
            name=printable(case.name),
            time=f"{case.seconds:.3f}",
        )
        if case.failure:
            ElementTree.SubElement(node, "failure", message=printable(case.failure))
        elif case.skipped:
            ElementTree.SubElement(node, "skipped", message=printable(case.skipped))


def _phase(row: t.Mapping[str, t.Any]) -> _Case:
    seconds = clock.seconds_between(row["started_at"], row["finished_at"]) or 0.0
    if row["state"] == "failed":
        return _Case(row["name"], failure=row["error"] or "failed", seconds=seconds)
    return _Case(row["name"], skipped="" if row["state"] == "completed" else row["state"], seconds=seconds)


def _check(row: t.Mapping[str, t.Any]) -> _Case:
    """Nobody may read "inconclusive" as green, so it fails like a failure.

    A finding is skipped with its count: whether it stops the run is decided by
    phase verify, which is a case of its own.
    """
    name, state = f"{row['phase']}: {figures.name_of(row)}", figures.state_of(row)
    if state in ("ok", "pass", "passed"):
        return _Case(name)
    text = f"{state or 'no result'}, count {row.get('count', 'unknown')}"
    if state in ("finding", "findings", "pending", "not_applicable", "skipped"):
        return _Case(name, skipped=text)
    return _Case(name, failure=text)


def _item(item: completion.Item) -> _Case:
    return _Case(item.item, skipped=item.found if item.state == completion.OPEN else "")
