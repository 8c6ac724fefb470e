# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes use while something runs: seconds of processor, and the most memory at any moment."""

from __future__ import annotations

import contextlib
import os
import threading
import typing as t
from pathlib import Path

_TICKS: t.Final = os.sysconf("SC_CLK_TCK")
_PAGE_MIB: t.Final = os.sysconf("SC_PAGE_SIZE") / 1024 / 1024


class Look(t.NamedTuple):
    """One process at one moment; ``seconds`` with those of its children that have ended."""

    parent: int
    seconds: float
    mib: float


def look_at(pid: int) -> Look:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])
    return Look(int(fields[1]), ticks / _TICKS, int(fields[21]) * _PAGE_MIB)


class Family:
    """Watches a process that somebody else starts, and its children, while the block runs."""

    def __init__(self, find: t.Callable[[], t.Optional[int]]) -> None:
        self._find = find
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="costs")
        self.peak_mib = self.seconds = 0.0

    def __enter__(self) -> Family:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.03):
            pid = self._find()
            if pid is not None:
                self._add(pid, _all_processes())

    def _add(self, pid: int, seen: t.Mapping[int, Look]) -> None:
        members = [look for number, look in seen.items() if pid in (number, look.parent)]
        self.peak_mib = max(self.peak_mib, sum(look.mib for look in members))
        # A child's seconds are its own until it ends, and its parent's from then on.
        self.seconds = max(self.seconds, sum(look.seconds for look in members))


def _all_processes() -> dict[int, Look]:
    seen = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            seen[pid] = look_at(pid)
    return seen


def seconds_of_tree(pid: int) -> float:
    """Of a server and all its processes, living and ended."""
    seen = _all_processes()
    return sum(look.seconds for number, look in seen.items() if pid in (number, look.parent))
