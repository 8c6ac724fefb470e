# SPDX-License-Identifier: GPL-3.0-or-later
"""Data that nobody expects: nothing at all, one user with everything, every slug taken, a row held."""

from __future__ import annotations

import contextlib
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity
from integration.conftest import Postgres
from integration.tenancy_world import Database
from integration.test_org_migration import wrong


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> Database:
    made = Database(postgres.new_database(), tmp_path)
    made.build()
    return made


def expanded(database: Database) -> Database:
    assert not database.call("org_schema")["failed"]
    return database


def moved(database: Database, **options: t.Any) -> dict[str, t.Any]:
    answer = database.call("org_migration", wait_seconds=120, grace_seconds=0, **options)
    assert answer.get("finished"), answer
    return answer


def test_an_empty_database_is_migrated_and_knows_it(database: Database) -> None:
    expanded(database)
    assert moved(database)["created"] == {"users": 0, "accounts": 0, "premiums": 0}
    assert not database.call("org_migration")["changed"]
    assert database.call("org_integrity", grace_seconds=0)["result"] == "ok"


def test_ten_thousand_slugs_that_somebody_else_has(database: Database) -> None:
    """Organizations made by hand hold the slug of every user there is."""
    number = 10_000
    database.fill(users=number, accounts=0, premiums=0)
    expanded(database)
    people = database.rows("SELECT id, name, email FROM users")
    taken = [(f"hand{spot}", identity.slug(*person)) for spot, person in enumerate(people)]
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE taken (id text, slug text)")
        for at in range(0, number, 1000):
            some = taken[at : at + 1000]
            cursor.execute(
                "INSERT INTO taken SELECT * FROM unnest(%s, %s)",
                ([k for k, _s in some], [s for _k, s in some]),
            )
        cursor.execute(
            'INSERT INTO "Organization" (id, name, slug, "createdAt", "updatedAt")'
            " SELECT id, 'By hand', slug, now(), now() FROM taken"
        )
    begun = time.monotonic()
    moved(database)
    print(f"{number:,} slugs taken: {time.monotonic() - begun:.1f} s")
    owners = "SELECT count(*) FROM \"OrganizationMember\" WHERE role = 'OWNER'"
    assert database.one(owners) == number
    assert database.one('SELECT count(DISTINCT slug) FROM "Organization"') == 2 * number
    assert database.one('SELECT max(length(slug)) FROM "Organization"') <= 50


def test_a_user_with_a_hundred_thousand_accounts_is_many_batches(database: Database) -> None:
    database.fill(users=2, accounts=2, premiums=1)
    database.rows(
        """
        INSERT INTO "EmailAccount" SELECT 'big' || lpad(n::text, 6, '0'), 'big' || n,
               (SELECT min(id) FROM users), timestamp '2025-06-01', timestamp '2025-06-01'
          FROM generate_series(1, 100000) n;
        ANALYZE
        """
    )
    expanded(database)
    answer = moved(database)
    assert answer["created"]["accounts"] == 100_002
    assert wrong(database) == []
    # Bounded by rows, not by users: no batch held more than five times what a batch begins with.
    longest = 'SELECT count(*) FROM "EmailAccount" GROUP BY xmin::text ORDER BY 1 DESC LIMIT 1'
    assert database.one(longest) <= 5000


def test_a_row_that_is_held_all_the_time_is_named_and_done_afterwards(database: Database) -> None:
    database.fill(users=40, accounts=80, premiums=5)
    expanded(database)
    holder = database.connect("somebody")
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute('SELECT id FROM "EmailAccount" ORDER BY id LIMIT 1 FOR UPDATE')
        held = cursor.fetchone()[0]
        answer = database.call("org_migration", wait_seconds=60, grace_seconds=0, horizon_seconds=2)
        assert answer["failed"]
        assert "inconclusive" in answer["msg"]
        assert database.one('SELECT count(*) FROM "EmailAccount" WHERE "organizationId" IS NULL') == 1
        assert database.one('SELECT id FROM "EmailAccount" WHERE "organizationId" IS NULL') == held
    holder.rollback()
    holder.close()
    moved(database)
    assert wrong(database) == []


def test_a_snapshot_that_is_held_delays_the_proof_and_not_the_work(database: Database) -> None:
    database.fill(users=40, accounts=80, premiums=5)
    expanded(database)
    reader = database.connect("report")
    reader.autocommit = False
    with reader.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT count(*) FROM users")
        answer = database.call("org_migration", wait_seconds=5, grace_seconds=0)
        # A reader without a write of its own holds no transaction back, only the index that is built last.
        assert not answer["failed"], answer
        assert database.one('SELECT count(*) FROM "EmailAccount" WHERE "organizationId" IS NULL') == 0
    reader.rollback()
    reader.close()
    moved(database)
    assert wrong(database) == []
    assert database.call("org_integrity", grace_seconds=0)["may_go_on"]


NASTY = [
    "",
    " ",
    "\t\n",
    "\u0001bell",
    "'; DROP TABLE users; --",
    "{{ lookup('env', 'HOME') }}",
    "%s %(x)s",
    "名前" * 400,
]


def test_names_that_are_hardly_text_become_organizations(database: Database) -> None:
    database.fill(users=len(NASTY), accounts=len(NASTY), premiums=0)
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM users ORDER BY id")
        for (key,), name in zip(cursor.fetchall(), NASTY, strict=True):
            cursor.execute("UPDATE users SET name = %s WHERE id = %s", (name, key))
    expanded(database)
    moved(database)
    assert wrong(database) == []
    slugs = [slug for (slug,) in database.rows('SELECT slug FROM "Organization"')]
    assert len(set(slugs)) == len(NASTY)
    assert all(
        len(slug) <= 50 and slug.strip("-").replace("-", "").isalnum() and slug.isascii() for slug in slugs
    )
    assert database.one("SELECT count(*) FROM \"Organization\" WHERE btrim(name) = ''") == 0
