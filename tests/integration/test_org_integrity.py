# SPDX-License-Identifier: GPL-3.0-or-later
"""org_integrity: every check is seen to fail when the data it guards is broken by hand, and only then."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from integration.tenancy_world import Database

WITHOUT_KEYS = """
ALTER TABLE "EmailAccount" DROP CONSTRAINT "EmailAccount_organizationId_fkey",
    DROP CONSTRAINT "EmailAccount_userId_fkey";
ALTER TABLE "OrganizationMember" DROP CONSTRAINT "OrganizationMember_userId_fkey",
    DROP CONSTRAINT "OrganizationMember_organizationId_fkey", ALTER "userId" DROP NOT NULL;
DROP INDEX "OrganizationMember_userId_organizationId_key";
ALTER TABLE "EmailAccount" DISABLE TRIGGER USER;
ALTER TABLE "Premium" DISABLE TRIGGER USER;
ALTER TABLE users DISABLE TRIGGER USER
"""
ONE_MEMBER = '(SELECT min(id) FROM "OrganizationMember")'


@pytest.fixture(scope="module")
def template(postgres: t.Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated database, copied for each test."""
    made = Database(postgres.new_database(), tmp_path_factory.mktemp("template"))
    made.build()
    made.fill(30, 70, 10)
    assert not made.call("org_schema")["failed"]
    assert not made.call("org_migration")["failed"]
    return made.target.dbname


@pytest.fixture
def database(postgres: t.Any, template: str, tmp_path: Path) -> Database:
    name = f"{template}_{abs(hash(str(tmp_path))) % 10**9}"
    postgres.server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    # A copy is another database: what was recorded of the first one is history here.
    return Database(postgres.superuser.for_database(name), tmp_path)


def bad(answer: dict[str, t.Any]) -> dict[str, str]:
    return {one["name"]: one["result"] for one in answer["checks"] if one["result"] != "ok"}


def test_a_good_database_is_ok(database: Database) -> None:
    answer = database.call("org_integrity")
    assert bad(answer) == {}
    assert (answer["result"], answer["may_go_on"], answer["changed"]) == ("ok", True, False)
    assert "Failed: 0" in answer["summary"]
    assert answer["summary"].endswith("PASSED")


BREAKS = {
    "users": (f'DELETE FROM "OrganizationMember" WHERE id = {ONE_MEMBER}', "failed"),
    "owners": (f"""UPDATE "OrganizationMember" SET role = 'MEMBER' WHERE id = {ONE_MEMBER}""", "failed"),
    "accounts": (
        'UPDATE "EmailAccount" SET "organizationId" = NULL WHERE id = (SELECT min(id) FROM "EmailAccount")',
        "failed",
    ),
    "premiums": (
        'UPDATE "Premium" SET "organizationId" = NULL WHERE id = (SELECT min(id) FROM "Premium")',
        "failed",
    ),
    "duplicate_memberships": (
        f"""INSERT INTO "OrganizationMember" SELECT 'twice', "userId", "organizationId", role, "createdAt",
        "updatedAt"
              FROM "OrganizationMember" WHERE id = {ONE_MEMBER}""",
        "failed",
    ),
    "seats": (
        'UPDATE "Premium" SET "usedSeats" = 7 WHERE id = (SELECT min(id) FROM "Premium")',
        "finding",
    ),
    "wrong_links accounts": (
        """UPDATE "EmailAccount" a SET "organizationId" = (SELECT min(m."organizationId") FROM
        "OrganizationMember" m
            WHERE m."userId" <> a."userId") WHERE id = (SELECT min(id) FROM "EmailAccount")""",
        "failed",
    ),
    "wrong_links premiums": (
        """UPDATE "Premium" a SET "organizationId" = (SELECT min(m."organizationId") FROM
        "OrganizationMember" m
            WHERE m."userId" <> a."userId"), "usedSeats" = NULL WHERE id = (SELECT min(id) FROM "Premium")""",
        "failed",
    ),
    "orphans": (
        """INSERT INTO "EmailAccount" (id, email, "userId", "updatedAt") VALUES ('lost', 'lost', 'nobody',
        now())""",
        "failed",
    ),
    "null_memberships": (
        f"""INSERT INTO "OrganizationMember" SELECT 'null', NULL, "organizationId", role, "createdAt",
        "updatedAt"
              FROM "OrganizationMember" WHERE id = {ONE_MEMBER}""",
        "failed",
    ),
    "twins": (
        """INSERT INTO "Organization" SELECT 'own', 'own', 'own', "createdAt", "createdAt" FROM users ORDER
        BY id DESC LIMIT 1;
           INSERT INTO "OrganizationMember" SELECT 'own', id, 'own', 'OWNER', "createdAt", "createdAt"
             FROM users ORDER BY id DESC LIMIT 1""",
        "finding",
    ),
    "invalid_indexes": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid ="
        " '\"EmailAccount_organizationId_idx\"'::regclass",
        "failed",
    ),
    "invalid_keys": (
        """ALTER TABLE "Premium" DROP CONSTRAINT "Premium_userId_fkey", ADD CONSTRAINT "Premium_userId_fkey"
           FOREIGN KEY ("userId") REFERENCES users (id) NOT VALID""",
        "failed",
    ),
    "cascading_keys": (
        """ALTER TABLE "Premium" DROP CONSTRAINT "Premium_organizationId_fkey", ADD CONSTRAINT x
           FOREIGN KEY ("organizationId") REFERENCES "Organization" (id) ON DELETE CASCADE""",
        "finding",
    ),
    "triggers": ("ALTER TABLE users DISABLE TRIGGER emailai_migration_users", "failed"),
    "quarantine": (
        "INSERT INTO emailai_migration.quarantine (run_id, table_name, row_key, sqlstate, message)"
        " VALUES ('', 'Premium', 'x', '22000', 'bad')",
        "finding",
    ),
}  # fmt: skip
# What one break also breaks.
FOLLOWS = {
    "users": {"owners", "wrong_links accounts", "wrong_links premiums", "seats"},
    "duplicate_memberships": {"seats"},
    "null_memberships": {"seats"},
    "twins": set(),
    "wrong_links premiums": {"seats"},
}
NEEDS_NO_KEYS = {"duplicate_memberships", "orphans", "null_memberships"}


@pytest.mark.parametrize("name", BREAKS)
def test_each_check_fails_when_its_data_is_broken(database: Database, name: str) -> None:
    statement, expected = BREAKS[name]
    allowed = set(FOLLOWS.get(name, ()))
    if name in NEEDS_NO_KEYS:
        database.rows(WITHOUT_KEYS)
        allowed.add("triggers")
    database.rows(statement)
    answer = database.call("org_integrity")
    found = bad(answer)
    assert found.pop(name) == expected
    assert set(found) <= allowed
    assert not answer["may_go_on"]
    one = next(check for check in answer["checks"] if check["name"] == name)
    assert one["count"] == len(one["ids"]) == 1
    assert one["cause"]
    assert one["repair"]
    assert any(sentence.startswith(f"{name} (") for sentence in answer["advice"])


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        (
            "OrganizationMember lost",
            f"""INSERT INTO "OrganizationMember" SELECT 'lost', 'nobody', "organizationId", role, "createdAt",
                "updatedAt" FROM "OrganizationMember" WHERE id = {ONE_MEMBER}""",
        ),
        (
            "OrganizationMember lost",
            f"""INSERT INTO "OrganizationMember" SELECT 'lost', "userId", 'nowhere', role, "createdAt",
                "updatedAt" FROM "OrganizationMember" WHERE id = {ONE_MEMBER}""",
        ),
        (
            "EmailAccount lost",
            """UPDATE "EmailAccount" SET id = 'lost', "organizationId" = 'nowhere'
                WHERE id = (SELECT min(id) FROM "EmailAccount")""",
        ),
    ],
    ids=["membership without user", "membership without organization", "link without organization"],
)
def test_an_orphan_is_named_wherever_it_is(database: Database, name: str, statement: str) -> None:
    database.rows(WITHOUT_KEYS)
    database.rows(statement)
    answer = database.call("org_integrity")
    one = next(check for check in answer["checks"] if check["name"] == "orphans")
    assert (one["result"], one["ids"]) == ("failed", [name])


def test_the_runbooks_first_check_is_not_blinded_by_null(database: Database) -> None:
    database.rows(WITHOUT_KEYS)
    database.rows(BREAKS["null_memberships"][0])
    database.rows(BREAKS["users"][0])
    blind = 'SELECT count(*) FROM users WHERE id NOT IN (SELECT "userId" FROM "OrganizationMember")'
    assert database.one(blind) == 0
    assert bad(database.call("org_integrity"))["users"] == "failed"


def test_a_finding_needs_a_name(database: Database) -> None:
    database.rows(BREAKS["seats"][0])
    open_answer = database.call("org_integrity")
    assert open_answer["unacknowledged"] == ["seats"]
    assert "migration_acknowledged_findings" in open_answer["advice"][0]
    answer = database.call("org_integrity", acknowledged={"seats": "Ada"})
    assert (answer["result"], answer["may_go_on"]) == ("findings", True)


def test_a_fault_of_before_is_a_finding(postgres: t.Any, tmp_path: Path) -> None:
    database = Database(postgres.new_database(), tmp_path)
    database.build()
    database.fill(10, 20, 3)
    database.rows('ALTER TABLE "EmailAccount" DROP CONSTRAINT "EmailAccount_userId_fkey"')
    database.rows(BREAKS["orphans"][0])
    assert database.call("org_integrity", scope="before")["known"]["orphans"] == ["EmailAccount lost"]
    database.call("org_schema")
    assert not database.call("org_migration")["failed"]
    assert bad(database.call("org_integrity")) == {"orphans": "finding"}
    database.rows(
        """INSERT INTO "EmailAccount" (id, email, "userId", "updatedAt") VALUES ('new', 'n', 'none', now())"""
    )
    assert bad(database.call("org_integrity")) == {"orphans": "failed"}


def test_rows_that_vanished_are_seen(database: Database) -> None:
    assert bad(database.call("org_integrity", plan={"users": {"total": 100}})) == {"counts": "finding"}
    assert bad(database.call("org_integrity", plan={"users": {"total": 30}, "accounts": {"total": 71}})) == {}


def test_a_reader_without_our_tables_gives_inconclusive_not_ok(postgres: t.Any, database: Database) -> None:
    name = f"blind_{database.target.dbname}"
    reader = postgres.new_role(name).for_database(database.target.dbname)
    database.rows(
        f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}; REVOKE SELECT ON "Premium" FROM {name}'
    )
    answer = Database(reader).call("org_integrity")
    assert answer["result"] == "inconclusive"
    assert not answer["may_go_on"]


def test_readiness_lines(postgres: t.Any, database: Database) -> None:
    lines = database.call("org_integrity", scope="before")["readiness"]
    assert {line["state"] for line in lines} == {"met"}
    assert all(set(line) == {"item", "kind", "required", "found", "read_by", "state"} for line in lines)
    database.rows("""INSERT INTO _prisma_migrations (id, checksum, migration_name)
                     VALUES ('x', 'x', '20260101_broken');
                     ALTER TABLE users RENAME TO people""")
    lines = database.call("org_integrity", scope="before")["readiness"]
    opened = {line["item"]: line["found"] for line in lines if line["state"] == "open"}
    assert opened["no failed Prisma migration"] == "20260101_broken"
    assert "table public.users does not exist" in opened["model map fits"]
    name = f"poor_{database.target.dbname}"
    poor = postgres.new_role(name).for_database(database.target.dbname)
    lines = Database(poor).call("org_integrity", scope="before", rights="reader")["readiness"]
    assert "SELECT on Premium" in lines[1]["found"]
    gone = database.call("org_integrity", scope="before", login_port=1)
    assert [line["state"] for line in gone["readiness"]] == ["open"]
    assert not gone["failed"]
