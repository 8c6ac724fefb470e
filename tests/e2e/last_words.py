# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of a lab said last, for whoever reads of a failure when the lab is gone."""

from __future__ import annotations

import signal
import time
import typing as t
from pathlib import Path

from lab.layout import APPS, Layout
from lab.process import Process
from lab.whole import Lab

_LINES = 40


def last_words(layout: Layout) -> str:
    """The ends of the logs, and where each application's threads are at this moment."""
    for name in APPS:
        Process(layout.pids, name).send(signal.SIGUSR1)
    time.sleep(0.5)
    parts = [_members(layout)]
    for path in sorted(_logs(layout)):
        parts.append(f"-- {path.relative_to(layout.folder)}\n{_end(path)}")
    return "\n".join(parts)


def _members(layout: Layout) -> str:
    try:
        return f"-- the balancer says {Lab(layout).balancer.states()}"
    except OSError as exc:
        return f"-- the balancer says nothing: {exc}"


def _logs(layout: Layout) -> t.Iterator[Path]:
    for pattern in ("hosts/*/log/*.log", "haproxy/*.log", "*/server.log", "work/*.log"):
        yield from layout.folder.glob(pattern)


def _end(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return "\n".join(line[:300] for line in lines[-_LINES:])
