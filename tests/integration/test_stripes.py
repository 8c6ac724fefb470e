# SPDX-License-Identifier: GPL-3.0-or-later
"""A pass in stripes: each block is visited again and again, and finds room for what it rewrites."""

from __future__ import annotations

import contextlib
import os
import signal
import typing as t
from pathlib import Path

import psycopg2
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import pages
from integration.tenancy_world import Database
from integration.test_org_migration import wait_until

OPTIONS: dict[str, t.Any] = {"grace_seconds": 0, "batch_rows": 100}
_USERS, _ACCOUNTS = 400, 6000
# Keys as cuid() makes them: the later the row, the greater the key.
_IN_ORDER = """
UPDATE "EmailAccount" SET id = 'c' || lpad(substr(email, 4, position('@' IN email) - 4), 8, '0');
VACUUM FULL "EmailAccount"; ANALYZE "EmailAccount"
"""
_WRONG = """SELECT count(*) FROM "EmailAccount" a LEFT JOIN "OrganizationMember" m ON m."userId" = a."userId"
             WHERE a."organizationId" IS DISTINCT FROM m."organizationId" """


@pytest.fixture
def striped(postgres: t.Any, tmp_path: Path) -> Database:
    """Enough accounts for stripes, in the order of their keys."""
    database = Database(postgres.new_database(), tmp_path)
    database.build()
    database.fill(users=_USERS, accounts=_ACCOUNTS, premiums=20)
    # VACUUM cannot run in a statement of several.
    for statement in _IN_ORDER.strip().split(";"):
        database.rows(statement)
    assert database.call("org_schema", state="expanded")["changed"]
    return database


def stripes(database: Database) -> int:
    with contextlib.closing(psycopg2.connect(**database.target.dsn())) as connection:
        return pages.stripes(connection, ("public", "EmailAccount"), "id", "organizationId")


def size(database: Database) -> int:
    return int(database.one("""SELECT pg_table_size('"EmailAccount"')"""))


def test_a_table_in_stripes_grows_by_a_fraction(striped: Database) -> None:
    before = size(striped)
    answer = striped.call("org_migration", **OPTIONS)
    assert answer["finished"]
    assert answer["created"]["accounts"] == _ACCOUNTS
    assert answer["counts"]["accounts"]["done"] == _ACCOUNTS
    assert striped.one(_WRONG) == 0
    # Rewritten in the order of the keys it would be twice as large and more.
    assert size(striped) < 1.7 * before


def test_a_pass_in_stripes_goes_on_where_it_was_killed(striped: Database) -> None:
    striped.rows("INSERT INTO emailai_migration.control (wanted, batch_rows, pace) VALUES ('run', 50, 0.1)")
    striped.call("org_migration", wait_seconds=0, **OPTIONS)
    linked = 'SELECT count("organizationId") FROM "EmailAccount"'
    passed = """SELECT sum(done), sum((counters ->> 'changed')::int) FROM emailai_migration.progress
                 WHERE task LIKE 'accounts%%' AND (position ->> 'last') IS NOT NULL"""
    # A window is passed, and the next one half done: its rows are not counted as passed, only as changed.
    wait_until(
        lambda: striped.one(linked) > (striped.rows(passed, ())[0][0] or _ACCOUNTS) + 200,
        40,
        "a worker in a window that is not its first",
    )
    os.kill(striped.one("SELECT pid FROM emailai_migration.lease WHERE name = 'move'"), signal.SIGKILL)
    striped.rows("DELETE FROM emailai_migration.control")
    done = striped.one(linked)
    assert 0 < done < _ACCOUNTS

    ended = striped.call("org_migration", workers=1, **OPTIONS)
    assert ended["finished"], ended
    assert ended["progress"]["parts"]["accounts"] == [_ACCOUNTS, _ACCOUNTS]
    assert ended["created"]["accounts"] == _ACCOUNTS
    assert striped.one(_WRONG) == 0
    assert ended["swept"]["accounts"] == 0


def test_stripes_are_taken_where_they_pay(striped: Database) -> None:
    assert stripes(striped) == 16

    with contextlib.closing(striped.connect()) as reader, reader.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM users")
        assert stripes(striped) == 16
        wait_until(lambda: stripes(striped) == 1, 10, "the snapshot is old")
    assert stripes(striped) == 16

    striped.rows('CREATE INDEX here ON "EmailAccount" ("organizationId")')
    assert stripes(striped) == 1
    striped.rows("DROP INDEX here")

    striped.rows("""UPDATE "EmailAccount" SET id = 'a' || md5(id)""")
    striped.rows('ANALYZE "EmailAccount"')
    assert stripes(striped) == 1
