# SPDX-License-Identifier: GPL-3.0-or-later
"""What the new release writes, as the old one will read it when it comes back."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity
from integration.conftest import Postgres
from integration.preset_world import Shop, build
from integration.tenancy_world import Database

TRANSFER = """
BEGIN;
INSERT INTO "OrganizationMember" (id, "userId", "organizationId", role, "updatedAt")
VALUES ('m', %(to)s, %(home)s, 'OWNER', now());
UPDATE "OrganizationMember" SET role = 'ADMIN' WHERE "organizationId" = %(home)s AND "userId" = %(from)s;
COMMIT
"""
DEMOTED_FIRST = """
BEGIN;
UPDATE "OrganizationMember" SET role = 'ADMIN' WHERE "organizationId" = %(home)s AND "userId" = %(from)s;
INSERT INTO "OrganizationMember" (id, "userId", "organizationId", role, "updatedAt")
VALUES ('m', %(to)s, %(home)s, 'OWNER', now());
COMMIT
"""


def new_release(database: Database, statement: str, values: t.Any = None) -> None:
    connection = database.connect("emailai-orgs web")
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
    connection.close()


class TestPremiumsThatNameTheirUser:
    """The runbook's model: the premium has a column for each release."""

    @pytest.fixture
    def database(self, postgres: Postgres, tmp_path: Path) -> Database:
        made = Database(postgres.new_database(), tmp_path)
        made.build()
        made.fill(users=6, accounts=8, premiums=3, ownerless=1)
        for module in ("org_schema", "org_migration"):
            done = made.call(module)
            assert not done["failed"], done
        return made

    BUY = """INSERT INTO "Premium" (id, "organizationId", tier, "updatedAt")
             VALUES ('new', %s, 'LIFETIME', now())"""

    def user(self, database: Database, number: int) -> str:
        return str(database.one("SELECT id FROM users ORDER BY id OFFSET %s LIMIT 1", (number,)))

    def owner(self, database: Database, premium: str = "new") -> t.Any:
        return database.one('SELECT "userId" FROM "Premium" WHERE id = %s', (premium,))

    def test_a_purchase_is_the_owners(self, database: Database) -> None:
        user = self.user(database, 0)
        new_release(database, self.BUY, (identity.organization_id(user),))
        assert self.owner(database) == user
        assert database.call("org_integrity", acknowledged={"premiums": "x", "seats": "x"})["may_go_on"]

    def test_one_that_goes_to_another_organization(self, database: Database) -> None:
        users = [self.user(database, number) for number in (0, 1)]
        homes = [identity.organization_id(user) for user in users]
        new_release(database, self.BUY, (homes[0],))
        new_release(database, """UPDATE "Premium" SET "organizationId" = %s WHERE id = 'new'""", (homes[1],))
        assert self.owner(database) == users[1]

    def test_an_organization_without_owner_leaves_it_empty(self, database: Database) -> None:
        new_release(
            database,
            """INSERT INTO "Organization" (id, name, slug, "updatedAt") VALUES ('o', 'o', 'o', now());"""
            + self.BUY,
            ("o",),
        )
        assert self.owner(database) is None

    @pytest.mark.parametrize("statement", [TRANSFER, DEMOTED_FIRST])
    def test_the_organization_is_handed_over(self, database: Database, statement: str) -> None:
        giver, taker = self.user(database, 0), self.user(database, 1)
        home = identity.organization_id(giver)
        new_release(database, self.BUY, (home,))
        new_release(database, statement, {"home": home, "from": giver, "to": taker})
        assert self.owner(database) == taker

    def test_a_second_owner_takes_nothing(self, database: Database) -> None:
        giver, taker = self.user(database, 0), self.user(database, 1)
        home = identity.organization_id(giver)
        new_release(database, self.BUY, (home,))
        new_release(
            database,
            """INSERT INTO "OrganizationMember" (id, "userId", "organizationId", role, "updatedAt")
               VALUES ('m', %s, %s, 'OWNER', now());
               UPDATE "OrganizationMember" SET role = 'ADMIN' WHERE id = 'm'""",
            (taker, home),
        )
        assert self.owner(database) == giver

    @pytest.mark.parametrize("others", ["OWNER", "ADMIN"])
    def test_nobody_else_is_owner_or_he_is_again(self, database: Database, others: str) -> None:
        """Demoted and raised again beside an older OWNER; demoted, and nobody is OWNER."""
        giver, taker = self.user(database, 0), self.user(database, 1)
        home = identity.organization_id(giver)
        new_release(database, self.BUY, (home,))
        new_release(
            database,
            """INSERT INTO "OrganizationMember"
                 (id, "userId", "organizationId", role, "createdAt", "updatedAt")
               VALUES ('m', %(taker)s, %(home)s, %(others)s, '2020-01-01', now());
               UPDATE "OrganizationMember" SET role = 'ADMIN' WHERE "userId" = %(giver)s AND id <> 'm';
               UPDATE "OrganizationMember" SET role = %(others)s WHERE "userId" = %(giver)s AND id <> 'm'""",
            {"taker": taker, "home": home, "giver": giver, "others": others},
        )
        assert self.owner(database) == giver

    def test_the_old_release_is_not_corrected(self, database: Database) -> None:
        premium = database.one('SELECT id FROM "Premium" WHERE "userId" IS NOT NULL ORDER BY id LIMIT 1')
        database.rows(
            """INSERT INTO "Premium" (id, tier, "updatedAt") VALUES ('new', 'LIFETIME', now());
               UPDATE "Premium" SET "userId" = NULL WHERE id = %s""",
            (premium,),
        )
        assert (self.owner(database), self.owner(database, premium)) == (None, None)
        database.call("org_migration", state="swept", grace_seconds=0)
        assert (self.owner(database), self.owner(database, premium)) == (None, None)

    def test_a_map_may_do_without(self, postgres: Postgres, tmp_path: Path) -> None:
        made = Database(postgres.new_database(), tmp_path)
        made.build()
        made.fill(users=2, accounts=2, premiums=0)
        for module in ("org_schema", "org_migration"):
            assert not made.call(module, map={"reverse": []})["failed"]
        new_release(made, self.BUY, (identity.organization_id(self.user(made, 0)),))
        assert self.owner(made) is None
        assert made.one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%owned%'") == 0


class TestPremiumsThatUsersPointAt:
    """The other model: the user has a column for the old release, the organization one for the new."""

    @pytest.fixture
    def database(self, postgres: Postgres, tmp_path: Path) -> Shop:
        made = Shop(postgres.new_database(), tmp_path)
        build(made)
        for module in ("org_schema", "org_migration"):
            done = made.call(module)
            assert not done["failed"], done
        return made

    GIVE = 'UPDATE "Organization" SET "premiumId" = %s WHERE id = %s'

    def has(self, database: Shop, user: str) -> t.Any:
        return database.one('SELECT "premiumId" FROM "User" WHERE id = %s', (user,))

    def give(self, database: Shop, user: str, premium: t.Optional[str]) -> None:
        new_release(database, self.GIVE, (premium, identity.organization_id(user)))

    def test_a_purchase_is_the_owners(self, database: Shop) -> None:
        new_release(database, """INSERT INTO "Premium" (id, "updatedAt") VALUES ('new', now())""")
        self.give(database, "free", "new")
        assert self.has(database, "free") == "new"
        assert database.premium_of("free") == "new"

    def test_a_change_and_an_end(self, database: Shop) -> None:
        self.give(database, "payer", "p-forgotten")
        assert self.has(database, "payer") == "p-forgotten"
        self.give(database, "payer", None)
        assert self.has(database, "payer") is None
        database.call("org_migration", state="swept", grace_seconds=0)
        assert database.premium_of("payer") is None, "an end is not undone by the sweep"

    def test_what_others_have_stays_theirs(self, database: Shop) -> None:
        self.give(database, "free", "p-team")
        assert self.has(database, "free") is None
        assert self.has(database, "boss") == "p-team"

    @pytest.mark.parametrize("statement", [TRANSFER, DEMOTED_FIRST])
    def test_the_organization_is_handed_over(self, database: Shop, statement: str) -> None:
        home = identity.organization_id("payer")
        new_release(database, statement, {"home": home, "from": "payer", "to": "free"})
        assert (self.has(database, "payer"), self.has(database, "free")) == (None, "p-own")

    def test_one_who_has_another_keeps_it(self, database: Shop) -> None:
        home = identity.organization_id("payer")
        new_release(database, TRANSFER, {"home": home, "from": "payer", "to": "alone"})
        assert (self.has(database, "payer"), self.has(database, "alone")) == ("p-own", "alone")

    def test_nobody_waits_for_a_user_that_somebody_holds(self, database: Shop) -> None:
        holder = database.connect()
        holder.autocommit = False
        with holder.cursor() as cursor:
            cursor.execute("""SELECT 1 FROM "User" WHERE id = 'free' FOR NO KEY UPDATE""")
        begun = time.monotonic()
        self.give(database, "free", "p-forgotten")
        assert time.monotonic() - begun < 1
        holder.rollback()
        holder.close()
        assert database.premium_of("free") == "p-forgotten"

    def test_the_old_release_is_not_corrected(self, database: Shop) -> None:
        database.rows("""UPDATE "User" SET "premiumId" = NULL WHERE id = 'payer'""")
        assert (self.has(database, "payer"), database.premium_of("payer")) == (None, None)

    def test_the_way_back_takes_no_premium_from_a_user(self, database: Shop) -> None:
        before = database.rows('SELECT id, "premiumId" FROM "User" ORDER BY id')
        assert not database.call("org_migration", state="unlinked")["failed"]
        assert database.links() == {}
        assert database.rows('SELECT id, "premiumId" FROM "User" ORDER BY id') == before
