# SPDX-License-Identifier: GPL-3.0-or-later
"""Through PgBouncer: right in session mode, refused before the first write in transaction mode."""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from integration.conftest import Postgres
from integration.tenancy_world import Database
from lab import pooler

# A pool that passes settings on to nobody, and one of a single session, where we could wait for ourselves.
VARIANTS = {
    "as installed": (),
    "settings ignored": ("ignore_startup_parameters = extra_float_digits,options",),
    "one session": ("default_pool_size = 1", "ignore_startup_parameters = options"),
    "taken in turn": ("server_round_robin = 1", "ignore_startup_parameters = options"),
}


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> Database:
    made = Database(postgres.new_database(), tmp_path)
    made.build()
    made.fill(users=60, accounts=150, premiums=10)
    return made


@contextlib.contextmanager
def pooled(
    postgres: Postgres, database: Database, mode: str, variant: str
) -> t.Iterator[tuple[Database, pooler.Pooler]]:
    try:
        pool = pooler.Pooler(postgres.server, mode, *VARIANTS[variant])
    except FileNotFoundError as exc:
        pytest.skip(str(exc))
    with pool:
        yield Database(replace(database.target, port=pool.port), Path(database.folder)), pool


@pytest.mark.parametrize("variant", VARIANTS)
def test_transaction_mode_is_refused_and_leaves_no_trace_in_the_pool(
    postgres: Postgres, database: Database, variant: str
) -> None:
    with pooled(postgres, database, "transaction", variant) as (through, _pool):
        before = through.one("SELECT current_setting('search_path')")
        for module, check in (("org_schema", False), ("org_migration", True), ("org_integrity", False)):
            answer = through.call(module, check=check)
            assert answer["failed"]
            assert "pool_mode = transaction" in answer["msg"]
            assert "pool_mode = session" in answer["msg"]
        with psycopg2.connect(**through.target.dsn()) as application, application.cursor() as cursor:
            cursor.execute("UPDATE users SET name = name WHERE id = (SELECT min(id) FROM users)")
        assert through.one("SELECT current_setting('search_path')") == before
    assert database.one("SELECT to_regnamespace('emailai_migration') IS NULL")


@pytest.mark.parametrize("variant", ["as installed", "settings ignored"])
def test_session_mode_is_as_good_as_the_server_itself(
    postgres: Postgres, database: Database, variant: str
) -> None:
    with pooled(postgres, database, "session", variant) as (through, _pool):
        for module in ("org_schema", "org_migration"):
            assert through.call(module, check=True)["changed"]
            assert through.call(module)["changed"]
            assert not through.call(module, check=True)["changed"]
            assert not through.call(module)["changed"]
    assert database.one('SELECT count(*) FROM "EmailAccount" WHERE "organizationId" IS NULL') == 0
    assert database.call("org_integrity", grace_seconds=0)["may_go_on"]
