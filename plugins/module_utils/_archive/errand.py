# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends long work off to a detached process, and stays with it, joins it, or takes it up again."""

from __future__ import annotations

import os
import signal
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._archive.stream import Crew
from ansible_collections.emailai.migration.plugins.module_utils._archive.watch import describe
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._journal import worker

# (how to report, who to end, the last report of a process that did not finish the work)
Work = t.Callable[[worker.Reporter, Crew, t.Optional[worker.Report]], t.Mapping[str, t.Any]]


class ReportedError(MigrationError):
    """A failure of the detached process, in its own words."""

    def __init__(self, sentence: str, facts: t.Mapping[str, t.Any]) -> None:
        self.sentence = sentence
        super().__init__("finish", "the work", sentence, **facts)

    def __str__(self) -> str:
        return self.sentence


def run(params: t.Mapping[str, t.Any], name: str, work: Work) -> dict[str, t.Any]:
    """The work's result. A second caller finds it running and waits for the same result."""
    folder = params["work_folder"]
    _ensure_folder(folder)
    report = worker.read_report(folder, name)
    if report is None or not worker.is_alive(report):
        # One that failed has tidied up, unless the store was away by then.
        lost = report if report is not None and report.get("state") != "done" else None
        worker.detach(folder, name, lambda reporter: _with_crew(reporter, work, lost))
    return follow(params, name)


def follow(params: t.Mapping[str, t.Any], name: str) -> dict[str, t.Any]:
    """The result of work that was begun by this call or an earlier one."""
    report = worker.wait(params["work_folder"], name, params["wait_seconds"])
    state = report["state"]
    if state == "done":
        return dict(report["result"])
    if state == "failed":
        raise ReportedError(report["message"], report.get("facts", {}))
    if state == "lost":
        raise MigrationError(
            "finish", name, "its process is gone", "Run it again: it begins anew and cleans up"
        )
    progress = report.get("progress", {})
    raise MigrationError(
        "wait for",
        name,
        f"it still runs after {params['wait_seconds']} s",
        "Run it again to join it",
        running=True,
        progress=progress,
        line=describe(progress),
    )


def _with_crew(reporter: worker.Reporter, work: Work, lost: worker.Report | None) -> t.Mapping[str, t.Any]:
    crew = Crew()
    signal.signal(signal.SIGTERM, lambda number, frame: crew.stop("it was told to end"))
    try:
        return work(reporter, crew, lost)
    except MigrationError:
        raise
    except Exception as exc:
        # The driver's own errors: a session ended between two of our statements.
        if not hasattr(exc, "pgcode"):
            raise
        cause = f"the server ended a session ({' '.join(str(exc).split())})"
        raise MigrationError("finish", "the work", cause, "Run it again", kind="database") from None


def _ensure_folder(folder: str) -> None:
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        allowed = os.access(folder, os.W_OK | os.X_OK)
        cause = "this user may not write there"
    except OSError as exc:
        allowed, cause = False, (exc.strerror or str(exc)).lower()
    if not allowed:
        raise MigrationError("use", f"the work folder {folder}", cause, "Make it, or set work_folder")
