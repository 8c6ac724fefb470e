# SPDX-License-Identifier: GPL-3.0-or-later
"""A database of the runbook's shape, and the folder of an application whose Prisma knows it."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import child_environment
from ansible_collections.emailai.migration.plugins.module_utils._prisma.client import url_for
from integration.conftest import postgres
from integration.tenancy_world import Database
from lab import prisma

# The servers are the same.
__all__ = ["postgres"]
_HERE = Path(__file__).parent
INIT, ORGANIZATIONS = "20250115093000_init", "20250930165011_organizations"
CASCADE = 'REFERENCES "Organization"("id") ON DELETE CASCADE'


class World:
    """One database and one project; ``call`` is the module with both filled in."""

    def __init__(self, database: Database, server: t.Any, folder: Path) -> None:
        self.database, self.server = database, server
        self.project = prisma.Project(folder, (_HERE / "schema.prisma").read_text())
        self.project.add(INIT, "-- The tables that are there already.\nSELECT 1;\n")

    def add_organizations(self, old: str = "", new: str = "", more: str = "") -> None:
        text = (_HERE / "organizations.sql").read_text()
        assert old in text
        self.project.add(ORGANIZATIONS, (text.replace(old, new) if old else text) + more)

    def call(self, state: str = "deployed", check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        return self.database.call(
            "prisma_migration",
            check,
            state=state,
            folder=str(self.project.folder),
            **{"command": self.project.command, **options},
        )

    def drift(self) -> tuple[list[str], list[str]]:
        """What the database has beside what the Prisma schema says, and what it lacks, as pg_dump writes."""
        other = Database(self.server.new_database())
        other.rows(self.project.described(url_for(other.target, 1000)))
        here, there = self._shape(self.database), self._shape(other)
        return sorted(here - there), sorted(there - here)

    def _shape(self, database: Database) -> set[str]:
        # The journal's table is the runbook's, the other one Prisma's own.
        without = ["--exclude-table=migration_log*", "--exclude-table=_prisma_migrations"]
        words = ["--schema-only", "--no-owner", "--no-privileges", "--schema=public", *without]
        with child_environment(database.target) as environment:
            done = subprocess.run(
                [str(self.server.bin / "pg_dump"), *words],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
        lines = (line.strip().rstrip(",") for line in done.stdout.splitlines())
        return {line for line in lines if line and not line.startswith(("--", "\\"))}

    def applied(self) -> list[str]:
        return [
            name
            for (name,) in self.database.rows(
                "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL"
                " AND rolled_back_at IS NULL ORDER BY 1"
            )
        ]

    def status(self) -> str:
        """What Prisma tells a person who asks it."""
        done = self.project.run(url_for(self.database.target, 1000), "migrate", "status")
        return done.stdout + done.stderr


@pytest.fixture
def world(postgres: t.Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in prisma.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    database = Database(postgres.new_database(), tmp_path)
    database.build()
    database.fill()
    try:
        return World(database, postgres, tmp_path / "web")
    except FileNotFoundError as exc:
        # A machine may be without it; where CI runs it is installed, and a skip counts as a failure.
        pytest.skip(str(exc))
