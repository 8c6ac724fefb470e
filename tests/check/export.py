# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the collection at the path Ansible's own tools insist on.

The checkout carries a link that makes its name resolve from the root; the
tools refuse links that lead to a parent. The copy holds what git would hold,
without that link, under ``.cache/check/ansible_collections/emailai/migration``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

ROOT: t.Final = Path(__file__).resolve().parents[2]
PARENT: t.Final = ROOT / ".cache" / "check"
COPY: t.Final = PARENT / "ansible_collections" / "emailai" / "migration"


def list_sources(root: Path = ROOT) -> list[Path]:
    """Every file of the project, tracked or about to be, relative to its root."""
    found = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    names = sorted({name for name in os.fsdecode(found.stdout).split("\0") if name})
    return [Path(name) for name in names if (root / name).is_file() and not name.startswith("collections/")]


def write_copy(root: Path = ROOT, copy: Path = COPY) -> Path:
    """Bring the copy up to date; files that did not change keep their time, so caches stay warm."""
    wanted = list_sources(root)
    for stale in set(_list_copied(copy)) - set(wanted):
        (copy / stale).unlink()
    for name in wanted:
        _write_file(root / name, copy / name)
    if not (copy / ".git").exists():
        # ansible-test asks git which files exist.
        subprocess.run(["git", "init", "--quiet", str(copy)], check=True, stdin=subprocess.DEVNULL)
    return copy


def _list_copied(copy: Path) -> list[Path]:
    return [
        path.relative_to(copy)
        for path in copy.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(copy).parts[:1]
    ]


def _write_file(source: Path, target: Path) -> None:
    if target.exists() and source.stat().st_mtime_ns == target.stat().st_mtime_ns:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


if __name__ == "__main__":
    print(write_copy())
    sys.exit(0)
