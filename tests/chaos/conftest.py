# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of the integration tests, and a PostgreSQL 15 beside them."""

from __future__ import annotations

import typing as t

import pytest

from integration.conftest import Postgres, postgres, store
from lab.ground import free_port
from lab.postgres import distribution_programs, throw_away

__all__ = ["postgres", "postgres_15", "store"]


@pytest.fixture(scope="session")
def postgres_15() -> t.Iterator[Postgres]:
    """The oldest major that is served; the distribution's own."""
    try:
        distribution_programs(15)
    except FileNotFoundError as exc:
        pytest.skip(str(exc))
    server = throw_away(free_port(), major=15)
    try:
        yield Postgres(server)
    finally:
        server.remove()
