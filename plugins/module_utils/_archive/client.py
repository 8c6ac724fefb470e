# Copyright (c) emailai.migration contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the PostgreSQL client programs of the right major on this host."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t
from dataclasses import dataclass

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

# Where packages put the programs of a major that is not the default one.
_FOLDERS: t.Final = (
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/usr/local/pgsql-{major}/bin",
    "/opt/homebrew/opt/postgresql@{major}/bin",
)
_NEEDS_TLS: t.Final = ("require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class Client:
    folder: str
    version: str

    def program(self, name: str) -> str:
        return os.path.join(self.folder, name)


def find(major: int, client_folder: str = "", ssl_mode: str = "") -> Client:
    """pg_dump and pg_restore of exactly this major.

    Both write settings of their own major into what they do: one of another
    major makes a dump that the server it came from does not take back.
    """
    seen: list[str] = []
    for folder in _candidates(major, client_folder):
        version = _version(os.path.join(folder, "pg_dump"))
        if not version:
            continue
        if int(version.split(".")[0]) != major or not os.access(os.path.join(folder, "pg_restore"), os.X_OK):
            seen.append(f"{version} in {folder}")
        elif ssl_mode in _NEEDS_TLS and not _knows_tls(folder):
            seen.append(f"{version} without TLS in {folder}")
        else:
            return Client(folder, version)
    wanted = f"pg_dump and pg_restore {major}" + (" with TLS" if ssl_mode in _NEEDS_TLS else "")
    cause = f"this host has only {', '.join(seen)}" if seen else "this host has none"
    raise MigrationError(
        "find",
        wanted,
        cause,
        f"Install the client programs of PostgreSQL {major}, or name their folder in client_folder",
        kind="database",
    )


def _candidates(major: int, client_folder: str) -> list[str]:
    if client_folder:
        return [client_folder]
    on_path = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders = on_path + [folder.format(major=major) for folder in _FOLDERS]
    return list(dict.fromkeys(folders))


def _version(program: str) -> str:
    if not os.access(program, os.X_OK):
        return ""
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\(PostgreSQL\) (\d+[\w.]*)", answer.stdout)
    return re.sub(r"[a-z].*", "", found.group(1)) if found else ""


def _knows_tls(folder: str) -> bool:
    """libpq looks at sslmode before it looks for the server, so nothing is reached to ask this."""
    environment = {"PATH": os.environ.get("PATH", ""), "PGSSLMODE": "require", "PGHOST": "/nonexistent"}
    command = [os.path.join(folder, "pg_dump"), "--no-password", "--schema-only"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False, env=environment)
    return "not compiled in" not in answer.stderr
