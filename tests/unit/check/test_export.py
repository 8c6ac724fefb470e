# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy holds what git would hold, and nothing that has gone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from check.export import list_sources, write_copy


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "collections").mkdir(parents=True)
    (root / "collections" / "migration").symlink_to("..")
    (root / ".gitignore").write_text("*.log\n")
    (root / "galaxy.yml").write_text("name: migration\n")
    (root / "noise.log").write_text("noise\n")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    return root


def test_ignored_files_and_the_link_stay_out(project: Path) -> None:
    assert [path.as_posix() for path in list_sources(project)] == [".gitignore", "galaxy.yml"]


def test_the_copy_follows_its_source(project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    write_copy(project, copy)
    untouched = (copy / ".gitignore").stat().st_ctime_ns
    (project / "galaxy.yml").unlink()
    (project / "README.md").write_text("new\n")
    write_copy(project, copy)
    assert sorted(path.name for path in copy.iterdir()) == [".git", ".gitignore", "README.md"]
    assert (copy / ".gitignore").stat().st_ctime_ns == untouched
