# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process of which machine steers a run, and whether it still lives. Runs on the controller."""

from __future__ import annotations

import platform
import typing as t
from pathlib import Path

Controller = t.Dict[str, t.Any]

# Where the kernel tells about itself; without it nobody is a neighbour and leases simply expire.
_PROC: t.Final = Path("/proc")


def identify(pid: int, proc: Path = _PROC) -> Controller:
    """The process as nobody else can be it: machine, its boot, the space of pids, the pid, and its start.

    Host names repeat (every container is ``localhost`` to itself), pids come again.
    """
    return {
        "host": platform.node(),
        "boot": _read(proc / "sys/kernel/random/boot_id"),
        "space": _link(proc / "self/ns/pid"),
        "pid": pid,
        "started": _started(pid, proc),
    }


def is_known_dead(recorded: t.Mapping[str, t.Any], here: t.Mapping[str, t.Any], proc: Path = _PROC) -> bool:
    """True only if the recorded process ran in this very space of pids and is not there any more."""
    if not here.get("boot") or any(
        recorded.get(part) != here.get(part) for part in ("host", "boot", "space")
    ):
        return False
    return _started(int(recorded.get("pid") or 0), proc) != recorded.get("started")


def _started(pid: int, proc: Path) -> str:
    """Ticks since boot at which the process began; empty if there is none, or it only waits to be buried.

    Field 22 of proc_pid_stat(5), counted behind the name, which may hold blanks.
    """
    fields = _read(proc / str(pid) / "stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
