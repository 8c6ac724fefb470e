# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of an nginx on this host, and the connections that each of them holds."""

from __future__ import annotations

import os
import re
import typing as t
from pathlib import Path

from ansible_collections.emailai.migration.plugins.module_utils._balancer import connections
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

_PROC: t.Final = Path("/proc")
_WORKER: t.Final = "nginx: worker process"
_LEAVING: t.Final = "is shutting down"


def master(pid_file: str) -> int:
    """The master's process id, if it is one that lives."""
    try:
        pid = int(Path(pid_file).read_text("ascii"))
        os.kill(pid, 0)
        return pid
    except (OSError, ValueError) as exc:
        raise MigrationError(
            "find", f"the nginx of {pid_file}", str(exc), "See that it runs, and name its pid_file"
        ) from exc


def _parent(pid: int) -> int:
    return int((_PROC / str(pid) / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[1])


def _title(pid: int) -> str:
    return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


def workers(master_pid: int) -> t.Dict[int, bool]:
    """Workers by process id, and whether each is on its way out since a reload."""
    found = {}
    for pid in [int(each.name) for each in _PROC.iterdir() if each.name.isdigit()]:
        try:
            if _parent(pid) == master_pid and _title(pid).startswith(_WORKER):
                found[pid] = _LEAVING in _title(pid)
        except (OSError, ValueError, IndexError):
            continue
    return found


def _sockets(pid: int) -> t.Set[str]:
    """Socket inodes of a process; none for one that has ended meanwhile."""
    folder = _PROC / str(pid) / "fd"
    found = set()
    try:
        for each in os.listdir(folder):
            try:
                match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(folder / each))
            except FileNotFoundError:
                continue
            if match:
                found.add(match.group(1))
    except FileNotFoundError:
        return set()
    except PermissionError as exc:
        raise MigrationError(
            "count the connections of",
            f"nginx worker {pid}",
            exc.strerror or str(exc),
            "Run this as root or as the workers' user (become)",
        ) from exc
    return found


def held(pids: t.Iterable[int]) -> t.Dict[connections.Endpoint, int]:
    """Connections of these workers by their far end; also those that are being opened."""
    inodes: t.Set[str] = set()
    for pid in pids:
        inodes |= _sockets(pid)
    counts: t.Dict[connections.Endpoint, int] = {}
    for table in connections.read_tables():
        for far, inode in connections.open_ends(table):
            if inode in inodes:
                counts[far] = counts.get(far, 0) + 1
    return counts
