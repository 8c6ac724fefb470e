# SPDX-License-Identifier: GPL-3.0-or-later
"""org_repair: each trouble made on purpose, seen in check mode, repaired once, and gone."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity
from integration.tenancy_world import Database


@pytest.fixture(scope="module")
def template(postgres: t.Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = Database(postgres.new_database(), tmp_path_factory.mktemp("template"))
    made.build()
    made.fill(10, 20, 5)
    assert not made.call("org_schema")["failed"]
    assert not made.call("org_migration")["failed"]
    return made.target.dbname


@pytest.fixture
def database(postgres: t.Any, template: str, tmp_path: Path) -> Database:
    name = f"{template}_{abs(hash(str(tmp_path))) % 10**9}"
    postgres.server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return Database(postgres.superuser.for_database(name), tmp_path)


TROUBLES = {
    "late_users": (
        """ALTER TABLE users DISABLE TRIGGER USER; ALTER TABLE "EmailAccount" DISABLE TRIGGER USER;
           INSERT INTO users VALUES ('late', 'late@x.org', 'Late', now() - interval '1 hour', now());
           INSERT INTO "EmailAccount" VALUES ('lost', 'lost', 'late', now(), now());
           ALTER TABLE users ENABLE TRIGGER USER; ALTER TABLE "EmailAccount" ENABLE TRIGGER USER""",
        {},
    ),
    "missing_owners": ("""UPDATE "OrganizationMember" SET role = 'MEMBER'""", {}),
    "wrong_links": (
        """UPDATE "EmailAccount" a SET "organizationId" = (SELECT min(m."organizationId") FROM
        "OrganizationMember" m
            WHERE m."userId" <> a."userId") WHERE id = (SELECT min(id) FROM "EmailAccount")""",
        {},
    ),
    "twins": (
        """INSERT INTO "Organization" SELECT 'own', 'own', 'own', "createdAt", "createdAt" FROM users ORDER
        BY id DESC LIMIT 1;
           INSERT INTO "OrganizationMember" SELECT 'own', id, 'own', 'OWNER', "createdAt", "createdAt"
             FROM users ORDER BY id DESC LIMIT 1""",
        {},
    ),
    "no_access": (
        """DELETE FROM "OrganizationMember" WHERE "userId" = (SELECT id FROM users WHERE email =
        'person3@example.com');
           UPDATE "EmailAccount" SET "organizationId" = NULL
            WHERE "userId" = (SELECT id FROM users WHERE email = 'person3@example.com')""",
        {"email": "Person3@example.com"},
    ),
    "slow_queries": ('DROP INDEX "EmailAccount_organizationId_idx"', {}),
}  # fmt: skip


@pytest.mark.parametrize("case", TROUBLES)
def test_seen_repaired_and_gone(database: Database, case: str) -> None:
    statement, options = TROUBLES[case]
    for check in (True, False):
        assert not database.call("org_repair", check=check, case=case, **options)["changed"], "healthy"
    database.rows(statement)
    looked = database.call("org_repair", check=True, case=case, **options)
    assert looked["changed"], looked
    assert looked["found"]
    assert looked["repaired"] == []
    assert database.call("org_repair", check=True, case=case, **options)["found"] == looked["found"]
    done = database.call("org_repair", case=case, **options)
    assert done["changed"], done
    assert done["repaired"]
    for check in (True, False):
        assert not database.call("org_repair", check=check, case=case, **options)["changed"]
    assert database.call("org_integrity")["result"] == "ok"


def test_twins_keep_what_the_new_release_made(database: Database) -> None:
    database.rows(TROUBLES["twins"][0])
    database.call("org_repair", case="twins")
    user = database.one("SELECT max(id) FROM users")
    homes = database.rows('SELECT DISTINCT "organizationId" FROM "EmailAccount" WHERE "userId" = %s', (user,))
    assert homes == [("own",)]
    assert (
        database.rows('SELECT 1 FROM "Organization" WHERE id = %s', (identity.organization_id(user),)) == []
    )


def test_seats_are_set_only_when_told_and_can_be_put_back(database: Database) -> None:
    organization, premium = database.rows('SELECT "organizationId", id FROM "Premium" ORDER BY id LIMIT 1')[0]
    database.rows('UPDATE "Premium" SET "usedSeats" = 7, "maxSeats" = 0 WHERE id = %s', (premium,))
    looked = database.call("org_repair", case="billing")
    assert not looked["changed"]
    assert looked["found"] == [premium]
    assert "used seats 7, most 0, members 1, over the limit" in looked["diagnosis"][0]
    assert database.call("org_repair", check=True, case="billing", organization=organization, seats=1)[
        "changed"
    ]
    assert database.one('SELECT "usedSeats" FROM "Premium" WHERE id = %s', (premium,)) == 7
    assert database.call("org_repair", case="billing", organization=organization, seats=1)["changed"]
    assert not database.call("org_repair", case="billing", organization=organization, seats=1)["changed"]
    assert database.one('SELECT "usedSeats" FROM "Premium" WHERE id = %s', (premium,)) == 1
    assert database.call("org_repair", case="billing", organization=organization, undo=True)["changed"]
    assert database.one('SELECT "usedSeats" FROM "Premium" WHERE id = %s', (premium,)) == 7
    assert not database.call("org_repair", case="billing", organization=organization, undo=True)["changed"]
    assert database.call("org_repair", case="billing", seats=1)["failed"]


def test_failed_midway_names_the_stage_and_what_to_type(database: Database) -> None:
    assert database.call("org_repair", case="failed_midway")["diagnosis"] == ["nothing is open"]
    database.rows(
        "INSERT INTO migration_log (migration_name, status) VALUES ('multi_tenant_data', 'in_progress')"
    )
    answer = database.call("org_repair", case="failed_midway")
    assert answer["found"] == ["multi_tenant_data"]
    assert answer["diagnosis"][-1].endswith("playbooks/move.yml")
    assert not answer["changed"]


def test_an_unknown_user_is_said_so(database: Database) -> None:
    answer = database.call("org_repair", case="no_access", email="nobody@example.com")
    assert answer["failed"]
    assert "0 users have that e-mail address" in answer["msg"]
