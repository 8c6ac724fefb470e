# SPDX-License-Identifier: GPL-3.0-or-later
"""org_schema: made once, named as Prisma names, refused where it contradicts, taken back."""

from __future__ import annotations

import threading
import time
import typing as t
from pathlib import Path

import pytest

from integration.tenancy_world import Database

INDEX = "SELECT indexname FROM pg_indexes WHERE tablename = %s ORDER BY 1"
KEYS = """
SELECT conname, confdeltype::text, convalidated FROM pg_constraint
 WHERE contype = 'f' AND confrelid = '"Organization"'::regclass OR conname =
 'OrganizationMember_userId_fkey' ORDER BY 1
"""


@pytest.fixture
def database(postgres: t.Any, tmp_path: Path) -> Database:
    made = Database(postgres.new_database(), tmp_path)
    made.build()
    made.fill()
    return made


def things(answer: dict[str, t.Any]) -> list[str]:
    return [f"{one['act']} {one['object']}" for one in answer["objects"]]


def test_expand_four_times(database: Database) -> None:
    looked = database.call("org_schema", check=True)
    assert looked["changed"]
    assert database.one(
        "SELECT to_regclass('\"Organization\"') IS NULL AND to_regnamespace('emailai_migration') IS NULL"
    )
    made = database.call("org_schema")
    assert made["changed"]
    assert things(made) == things(looked)
    for check in (True, False):
        again = database.call("org_schema", check=check)
        assert not again["changed"]
        assert again["objects"] == []


def test_names_and_actions_are_prismas_but_for_cascade(database: Database) -> None:
    database.call("org_schema", state="indexed")
    assert database.rows(KEYS) == [
        ("EmailAccount_organizationId_fkey", "r", True),
        ("OrganizationMember_organizationId_fkey", "r", True),
        ("OrganizationMember_userId_fkey", "c", True),
        ("Premium_organizationId_fkey", "r", True),
    ]
    assert database.rows(INDEX, ("OrganizationMember",)) == [
        ("OrganizationMember_organizationId_idx",),
        ("OrganizationMember_pkey",),
        ("OrganizationMember_userId_organizationId_key",),
    ]
    assert ("EmailAccount_organizationId_idx",) in database.rows(INDEX, ("EmailAccount",))


def test_the_log_is_closed_in_rows_of_its_own(database: Database) -> None:
    database.call("org_schema")
    rows = database.rows(
        "SELECT migration_name, status, completed_at IS NOT NULL, error_message FROM migration_log"
    )
    assert rows == [("multi_tenant_schema", "completed", True, None)]


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ('ALTER TABLE users RENAME TO "User"; CREATE VIEW users AS SELECT * FROM "User"', "users is a view"),
        ('ALTER TABLE "EmailAccount" ADD "organizationId" int', "is of type integer, not text"),
        ("CREATE TYPE \"OrganizationRole\" AS ENUM ('OWNER')", "lacks ADMIN, MEMBER, VIEWER"),
        (
            'CREATE TABLE "Organization" (id text PRIMARY KEY, name int NOT NULL)',
            "Organization.name is of type integer",
        ),
        (
            'CREATE TABLE "Organization" (id text PRIMARY KEY, name text NOT NULL, slug text NOT NULL,'
            ' "createdAt" timestamp(3) NOT NULL, "updatedAt" timestamp(3) NOT NULL, plan text NOT NULL)',
            "Organization.plan must be filled",
        ),
        ('ALTER TABLE "Premium" RENAME "userId" TO "ownerId"', "Premium.userId does not exist"),
    ],
)
def test_a_contradiction_is_refused_before_anything_is_written(
    database: Database, broken: str, sentence: str
) -> None:
    database.rows(broken)
    answer = database.call("org_schema")
    assert answer["failed"]
    assert sentence in answer["msg"]
    assert any(sentence in difference for difference in answer["differences"])
    assert database.one("SELECT to_regnamespace('emailai_migration') IS NULL")


def test_every_difference_is_told_at_once(database: Database) -> None:
    database.rows(
        'ALTER TABLE "EmailAccount" ADD "organizationId" int; ALTER TABLE "Premium" ADD "organizationId" int'
    )
    assert len(database.call("org_schema", check=True)["differences"]) == 2


def test_a_half_made_schema_is_finished(database: Database) -> None:
    database.rows(
        """
        CREATE TABLE "Organization" (id text NOT NULL, name text NOT NULL,
            CONSTRAINT "Organization_pkey" PRIMARY KEY (id));
        ALTER TABLE "EmailAccount" ADD "organizationId" text;
        ALTER TABLE "EmailAccount" ADD CONSTRAINT "EmailAccount_organizationId_fkey"
            FOREIGN KEY ("organizationId") REFERENCES "Organization" (id)
            ON DELETE RESTRICT ON UPDATE CASCADE NOT VALID
        """
    )
    answer = database.call("org_schema")
    assert not answer["failed"], answer
    assert "make column Organization.slug" in things(answer)
    assert "validate key EmailAccount_organizationId_fkey" in things(answer)
    assert "make column EmailAccount.organizationId" not in things(answer)
    assert not database.call("org_schema")["changed"]
    # What was there before is not ours to drop.
    database.call("org_schema", state="withdrawn")
    assert database.one("SELECT to_regclass('\"Organization\"') IS NOT NULL")
    assert database.one("SELECT count(*) FROM pg_attribute WHERE attname = 'slug' AND NOT attisdropped") == 0


def test_a_cascade_that_was_there_is_told_not_refused(database: Database) -> None:
    database.call("org_schema")
    database.rows(
        'ALTER TABLE "EmailAccount" DROP CONSTRAINT "EmailAccount_organizationId_fkey",'
        ' ADD CONSTRAINT "EmailAccount_organizationId_fkey" FOREIGN KEY ("organizationId")'
        ' REFERENCES "Organization" (id) ON DELETE CASCADE'
    )
    answer = database.call("org_schema")
    assert not answer["changed"]
    assert "deleting a row of Organization would delete rows of EmailAccount" in answer["warnings_found"][0]


def test_an_invalid_index_is_rebuilt(database: Database) -> None:
    database.call("org_schema", state="indexed")
    database.rows(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid ="
        " '\"EmailAccount_organizationId_idx\"'::regclass"
    )
    answer = database.call("org_schema", state="indexed")
    assert things(answer) == ["rebuild index EmailAccount_organizationId_idx"]
    assert not database.call("org_schema", state="indexed")["changed"]


def test_the_application_may_use_the_new_tables(postgres: t.Any, database: Database) -> None:
    postgres.new_role("shop_app")
    database.rows('GRANT SELECT, INSERT, UPDATE, DELETE ON users, "EmailAccount", "Premium" TO shop_app')
    database.call("org_schema")
    rights = "SELECT has_table_privilege('shop_app', '\"OrganizationMember\"', %s)"
    assert [database.one(rights, (right,)) for right in ("SELECT", "INSERT", "UPDATE", "DELETE")] == [
        True
    ] * 4
    assert not database.one(rights, ("TRUNCATE",))


def test_withdraw_takes_exactly_what_was_made(database: Database) -> None:
    shape = """SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
                  AND c.relname NOT LIKE 'migration\\_log%%' ORDER BY 1, 2"""
    before = database.rows(shape)
    database.call("org_schema", state="indexed")
    database.call("org_schema")
    looked = database.call("org_schema", state="withdrawn", check=True)
    assert looked["changed"]
    assert database.rows(shape) != before
    taken = database.call("org_schema", state="withdrawn")
    assert things(taken) == things(looked)
    assert database.rows(shape) == before
    assert not database.call("org_schema", state="withdrawn", check=True)["changed"]
    assert not database.call("org_schema", state="withdrawn")["changed"]
    assert database.call("org_schema")["changed"]
    assert database.one("SELECT count(*) FROM migration_log WHERE status = 'completed'") >= 2


def test_withdraw_refuses_while_data_would_go(database: Database) -> None:
    database.call("org_schema")
    database.rows("""INSERT INTO "Organization" VALUES ('o', 'n', 's', now(), now());
                     UPDATE "EmailAccount" SET "organizationId" = 'o'
                      WHERE id IN (SELECT min(id) FROM "EmailAccount")""")
    answer = database.call("org_schema", state="withdrawn")
    assert answer["failed"]
    assert answer["losses"] == ["Organization has 1 rows", "1 rows of EmailAccount are linked"]
    assert database.one('SELECT count("organizationId") FROM "EmailAccount"') == 1


def test_a_lock_holder_is_waited_for_in_short_tries(database: Database) -> None:
    """Meanwhile nobody who reads waits longer than one try."""
    holder = database.connect("forgotten session")
    holder.autocommit = False
    holder.cursor().execute('SELECT 1 FROM "EmailAccount" LIMIT 1')
    released = threading.Timer(1.0, holder.rollback)
    released.start()
    slowest, stop = [0.0], threading.Event()

    def read() -> None:
        connection = database.connect("reader")
        while not stop.is_set():
            begun = time.monotonic()
            connection.cursor().execute('SELECT 1 FROM "EmailAccount" LIMIT 1')
            slowest[0] = max(slowest[0], time.monotonic() - begun)
            time.sleep(0.005)
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    answer = database.call("org_schema", lock_timeout_ms=50)
    stop.set()
    reader.join()
    released.join()
    holder.close()
    assert not answer["failed"], answer
    assert slowest[0] < 0.5


def test_the_deadline_names_who_holds_the_lock_and_what_is_made_stays(database: Database) -> None:
    holder = database.connect("forgotten session")
    holder.autocommit = False
    holder.cursor().execute('SELECT 1 FROM "EmailAccount" LIMIT 1')
    answer = database.call("org_schema", deadline_seconds=1)
    holder.close()
    assert answer["failed"]
    assert "forgotten session" in answer["msg"]
    assert database.rows("SELECT status FROM migration_log") == [("failed",)]
    after = database.call("org_schema")
    assert "make table Organization" not in things(after)
    assert not after["failed"]


def test_names_of_any_spelling(postgres: t.Any, tmp_path: Path) -> None:
    database = Database(postgres.new_database(), tmp_path)
    database.build()
    database.fill(5, 10, 2)
    strange = 'we"ird %s {x} {{ y }}'
    escaped = strange.replace('"', '""').replace("%", "%%")
    long = "Ä" * 31
    database.rows(
        f"""
        CREATE SCHEMA "odd %% schema";
        ALTER TABLE users SET SCHEMA "odd %% schema";
        ALTER TABLE "EmailAccount" SET SCHEMA "odd %% schema";
        ALTER TABLE "Premium" SET SCHEMA "odd %% schema";
        ALTER TABLE "odd %% schema"."EmailAccount" RENAME TO "{long}";
        ALTER TABLE "odd %% schema".users RENAME TO "{escaped}";
        ALTER TABLE "odd %% schema"."Premium" RENAME "userId" TO "{escaped}"
        """,
        (),
    )
    names = {
        "schema": "odd % schema",
        "users": {"table": strange},
        "accounts": {"table": long, "organization": "org'anization %"},
        "premiums": {"owner": strange, "organization": "{0}"},
        "organizations": {"table": "Org%s"},
    }
    made = database.call("org_schema", map=names)
    assert not made["failed"], made
    assert not database.call("org_schema", map=names)["changed"]
    moved = database.call("org_migration", map=names)
    assert not moved["failed"], moved
    assert moved["counts"]["accounts"]["done"] == 10
    verified = database.call("org_integrity", map=names)
    assert verified["result"] == "ok", verified["summary"]
    back = database.call(
        "org_migration",
        map=names,
        state="unlinked",
        keep_organizations=False,
    )
    assert back["organizations_removed"] == 5, back
    assert not database.call("org_schema", map=names, state="withdrawn")["failed"]
