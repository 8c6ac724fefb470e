# SPDX-License-Identifier: GPL-3.0-or-later
"""The client programs are of the server's major, or there is one clear sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._archive import client
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError


def install(folder: Path, version: str, tls: bool = True) -> str:
    folder.mkdir()
    for name in ("pg_dump", "pg_restore"):
        program = folder / name
        error = (
            ""
            if tls
            else 'echo "sslmode value \\"require\\" invalid when SSL support is not compiled in" >&2'
        )
        version_line = f'if [ "$1" = --version ]; then echo "{name} (PostgreSQL) {version}"; exit 0; fi'
        program.write_text(f"#!/bin/sh\n{version_line}\n{error}\nexit 1\n")
        program.chmod(0o755)
    return str(folder)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_FOLDERS", ())
    monkeypatch.setenv("PATH", "")


@pytest.mark.usefixtures("bare")
def test_the_first_of_the_right_major_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [install(tmp_path / "a", "15.4"), install(tmp_path / "b", "18.6 (Debian 18.6-1)")]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    assert client.find(18) == client.Client(folders[1], "18.6")
    assert client.find(15).version == "15.4"


@pytest.mark.usefixtures("bare")
def test_another_major_is_refused(tmp_path: Path) -> None:
    folder = install(tmp_path / "a", "17.2")
    with pytest.raises(
        MigrationError, match=r"Cannot find pg_dump and pg_restore 18: this host has only 17\.2 in"
    ):
        client.find(18, folder)
    with pytest.raises(MigrationError, match="this host has none"):
        client.find(18)


@pytest.mark.usefixtures("bare")
def test_one_without_tls_is_refused_where_tls_is_required(tmp_path: Path) -> None:
    without = install(tmp_path / "a", "18.6", tls=False)
    assert client.find(18, without, "prefer")
    with pytest.raises(MigrationError, match=r"18\.6 without TLS in"):
        client.find(18, without, "verify-full")
    assert client.find(18, install(tmp_path / "b", "18.6"), "require")


@pytest.mark.usefixtures("bare")
def test_a_beta_has_a_major_too(tmp_path: Path) -> None:
    assert client.find(19, install(tmp_path / "a", "19beta1")).version == "19"
