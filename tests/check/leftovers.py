# SPDX-License-Identifier: GPL-3.0-or-later
"""Find processes of this checkout that are still alive. Ends none: that is the part of whoever started it."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

from check.export import ROOT

# The lab's servers run from short folders of this name, whatever the checkout is called.
MARKS: t.Final = (f"{ROOT}/", "/emailai-")


def find_leftovers(proc: Path = Path("/proc"), marks: t.Sequence[str] = MARKS) -> dict[int, str]:
    """Living processes in a folder of ours, but for this one, its parents and their company."""
    spared = _ancestors(proc, os.getpid())
    sessions = {_read_stat(proc / str(pid))[1] for pid in spared}
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit() and int(entry.name) not in spared:
            traits = _read_traits(entry, sessions)
            if any(mark in f"{trait}/" for mark in marks for trait in traits):
                found[int(entry.name)] = traits[0]
    return found


def _read_traits(entry: Path, sessions: t.Container[int]) -> list[str]:
    """Command line, program and working folder of a process; nothing of one that has just ended.

    Whoever called us, and what he pipes us into, stands in our folder with good reason.
    """
    try:
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        if not command:
            return []
        company = _read_stat(entry)[1] in sessions
        return [command, os.readlink(entry / "exe"), *([] if company else [os.readlink(entry / "cwd")])]
    except OSError:
        return []


def _read_stat(entry: Path) -> tuple[int, int]:
    """Parent and session of a process."""
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), int(fields[3])


def _ancestors(proc: Path, pid: int) -> set[int]:
    found = set()
    while pid:
        found.add(pid)
        pid = _read_stat(proc / str(pid))[0]
    return found


def main() -> int:
    found = find_leftovers()
    for pid, command in found.items():
        print(f"still alive: {pid}: {command[:160]}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
