# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers for module tests: started once a session, ended by their recorded pids."""

from __future__ import annotations

import itertools
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from lab.ground import free_port
from lab.postgres import SUPERUSER, Server, throw_away
from lab.store import Store, throw_away_store


class Postgres:
    """A throw-away PostgreSQL 18 that makes databases and roles by the dozen."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._numbers = itertools.count(1)

    @property
    def bin(self) -> Path:
        """The folder of psql, pg_dump, pgbench and the other programs."""
        return self.server.bin

    @property
    def superuser(self) -> Target:
        return self.target(SUPERUSER, "postgres")

    def target(self, role: str, dbname: str) -> Target:
        """The way into ``dbname`` as a role that ``new_role`` made (or the superuser)."""
        return Target(**self.server.address(role, dbname))

    def new_database(self, owner: t.Optional[str] = None) -> Target:
        """An empty database under a name of its own; ``owner`` is a role from ``new_role``."""
        role = owner or SUPERUSER
        name = f"emailai_test_{next(self._numbers)}"
        self.server.new_database(name, role)
        return self.target(role, name)

    def new_role(self, name: str, options: str = "") -> Target:
        """A role that may log in; ``options`` are words of CREATE ROLE, such as CREATEDB."""
        self.server.new_role(name, options)
        return self.target(name, "postgres")


@pytest.fixture(scope="session")
def postgres() -> t.Iterator[Postgres]:
    server = throw_away(free_port())
    try:
        yield Postgres(server)
    finally:
        server.remove()


@pytest.fixture(scope="session")
def store() -> t.Iterator[Store]:
    """A real S3 server that validates checksums and refuses wrong keys."""
    server = throw_away_store()
    try:
        yield server
    finally:
        server.remove()
