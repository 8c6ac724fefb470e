# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that survives the connection that started it: a detached process and its report file.

The report is one JSON document, replaced atomically, so that whoever reads it
sees the state before or after a step, never half of one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
import typing as t

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

Report = t.Dict[str, t.Any]


class Reporter:
    """What the work calls to say how far it is. ``update`` is cheap: call it for each step."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._report: Report = {"state": "running", "pid": os.getpid(), "started_at": time.time()}
        self.update()

    def update(self, **figures: t.Any) -> None:
        self._report.update(figures, updated_at=time.time())
        _replace(self.path, self._report)

    def finish(self, state: str, **figures: t.Any) -> None:
        self.update(state=state, finished_at=time.time(), **figures)


def report_path(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}.json")


def read_report(folder: str, name: str) -> Report | None:
    """The last report of a work, or None if there never was one."""
    try:
        with open(report_path(folder, name), encoding="utf-8") as handle:
            report: Report = json.load(handle)
    except FileNotFoundError:
        return None
    return report


def is_alive(report: Report) -> bool:
    """Whether the process that wrote a ``running`` report still exists on this host."""
    if report.get("state") != "running":
        return False
    try:
        os.kill(int(report["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(int(report["pid"]))


def detach(folder: str, name: str, work: t.Callable[[Reporter], t.Mapping[str, t.Any]]) -> None:
    """Run ``work`` in a process of its own session; returns once its first report is there.

    The child is a fork: everything it needs is imported already, for the
    archive Ansible ran us from is gone a moment later. Open connections belong
    to the parent; ``work`` opens its own.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    before = read_report(folder, name)
    pid = os.fork()
    if pid == 0:
        _run_detached(folder, name, work)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if read_report(folder, name) != before:
            return
        time.sleep(0.01)
    raise MigrationError("start", name, "the detached process did not report within 10 s", f"Read {folder}")


def wait(folder: str, name: str, seconds: float) -> Report:
    """The report once the work has ended, or as it stands after ``seconds``.

    A report that says ``running`` while its process is gone comes back as ``lost``.
    """
    deadline = time.monotonic() + seconds
    while True:
        report = read_report(folder, name)
        if report is None:
            raise MigrationError("follow", name, "there is no report of it", f"Read {folder}")
        if report.get("state") != "running":
            return report
        if not is_alive(report):
            # It may have ended between the two looks.
            report = read_report(folder, name) or report
            return dict(report, state="lost") if report.get("state") == "running" else report
        if time.monotonic() >= deadline:
            return report
        time.sleep(0.05)


def _run_detached(folder: str, name: str, work: t.Callable[[Reporter], t.Mapping[str, t.Any]]) -> t.NoReturn:
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _silence()
    os.chdir("/")
    reporter = Reporter(report_path(folder, name))
    try:
        reporter.finish("done", result=dict(work(reporter)))
    except MigrationError as exc:
        reporter.finish("failed", message=str(exc), facts=exc.facts)
    except BaseException as exc:  # the last words of a process that has no terminal
        reporter.finish("failed", message=f"Cannot finish {name}: {type(exc).__name__}: {exc}", facts={})
        with open(os.path.join(folder, f"{name}.traceback"), "w", encoding="utf-8") as handle:
            traceback.print_exc(file=handle)
    finally:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the process ends here
        os._exit(0)


def _silence() -> None:
    """Let go of every file, pipe and socket of the parent, and keep their numbers taken.

    Ansible waits for the end of every pipe it gave to the module. But the parent's sockets are still
    objects here, and one that is collected closes its number: were that free, it could by then be the
    number of a session of ours, and the next request to the store would be sent to the database.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    for descriptor in _open_descriptors():
        if descriptor not in (0, 1, 2, nothing):
            os.dup2(nothing, descriptor, inheritable=False)


def _open_descriptors() -> list[int]:
    found = []
    for descriptor in range(1024):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    return found


def _replace(path: str, report: Report) -> None:
    descriptor, draft = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".draft-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        json.dump(report, handle, default=str)
    os.replace(draft, path)


def _is_zombie(pid: int) -> bool:
    """A process nobody has waited for yet has ended all the same. Linux only; else it counts as alive."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as handle:
            return handle.read().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
