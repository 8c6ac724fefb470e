# SPDX-License-Identifier: GPL-3.0-or-later
"""The preset in which not users are members of organizations, but each of their mailboxes."""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

import psycopg2
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity, model
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.fingerprint import (
    differences,
    fingerprint,
)
from integration.preset_world import BOXES, PEOPLE, MailShop, build

STATE = """
SELECT 'o', o::text FROM "Organization" o UNION ALL SELECT 'm', m::text FROM "Member" m
UNION ALL SELECT 'a', a::text FROM "EmailAccount" a UNION ALL SELECT 'u', u::text FROM "User" u ORDER BY 1, 2
"""
BOX = """
INSERT INTO "Account" VALUES (%(box)s, %(owner)s, 'google');
INSERT INTO "EmailAccount" (id, email, "userId", "accountId", "updatedAt")
VALUES (%(box)s, %(box)s, %(owner)s, %(box)s, now())
"""
USER = """INSERT INTO "User" (id, email, "updatedAt") VALUES (%(user)s, %(user)s, now());"""
TEAM = """
INSERT INTO "Organization" (id, name, slug, "updatedAt") VALUES ('team', 'Team', 'team', now());
INSERT INTO "Member" (id, "emailAccountId", "organizationId", role) VALUES ('by-hand', %s, 'team', 'admin')
"""
WITHOUT_BOX: t.Final = {user for user, *_rest in PEOPLE if user not in BOXES}
ACCEPTED: t.Final = {"users_without_account": "test"}


@pytest.fixture
def database(postgres: t.Any, tmp_path: Path) -> MailShop:
    made = MailShop(postgres.new_database(), tmp_path)
    build(made)
    return made


@pytest.fixture
def moved(database: MailShop) -> MailShop:
    assert not database.call("org_schema")["failed"]
    done = database.call("org_migration")
    assert not done["failed"], done
    return database


def at_home() -> dict[str, tuple[str, str]]:
    """Where each mailbox belongs, and as what."""
    return {
        f"box-{user}-{number}": (identity.organization_id(user), "owner")
        for user, count in BOXES.items()
        for number in range(count)
    }


def bad(answer: dict[str, t.Any]) -> dict[str, str]:
    found = {one["name"]: one["result"] for one in answer["checks"] if one["result"] not in ("ok", "pending")}
    assert found.pop("users_without_account") == "finding"
    return found


def test_expand_four_times(database: MailShop) -> None:
    looked = database.call("org_schema", check=True)
    made = database.call("org_schema")
    assert made.get("changed"), made
    assert made["objects"] == looked["objects"]
    for check in (True, False):
        assert not database.call("org_schema", check=check)["changed"]
    keys = database.rows(
        """SELECT conname, confdeltype::text, convalidated FROM pg_constraint WHERE contype = 'f'
              AND conrelid IN ('"Organization"'::regclass, '"Member"'::regclass) ORDER BY 1"""
    )
    assert keys == [("Member_emailAccountId_fkey", "c", True), ("Member_organizationId_fkey", "r", True)]
    unique = database.rows(
        """SELECT indexrelid::regclass::text FROM pg_index WHERE indisunique AND NOT indisprimary
              AND indrelid IN ('"Member"'::regclass, '"Organization"'::regclass) ORDER BY 1"""
    )
    assert [name for (name,) in unique] == [
        '"Member_emailAccountId_key"',
        '"Member_organizationId_emailAccountId_key"',
        '"Organization_slug_key"',
    ]
    assert database.rows("SELECT 1 FROM pg_type WHERE typname = 'OrganizationRole'") == []
    assert database.rows("SELECT 1 FROM pg_attribute WHERE attrelid = '\"EmailAccount\"'::regclass"
                         " AND attname = 'organizationId'") == []  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (
            """ALTER TABLE "Member" DROP CONSTRAINT "Member_emailAccountId_fkey", ADD CONSTRAINT x FOREIGN KEY
               ("emailAccountId") REFERENCES "EmailAccount" (id) ON DELETE RESTRICT""",
            "x does not cascade: the old release could not delete a row of EmailAccount any more",
        ),
        (
            """CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
               CREATE TRIGGER keeps_owner BEFORE DELETE ON "Member" FOR EACH ROW EXECUTE FUNCTION keep()""",
            "trigger keeps_owner of Member fires on DELETE",
        ),
        ('ALTER TABLE "Member" ALTER role TYPE varchar(9)', "Member.role is of type character varying(9)"),
        ('ALTER TABLE "EmailAccount" RENAME "userId" TO "personId"', "EmailAccount.userId does not exist"),
    ],
)
def test_a_contradiction_is_refused_before_anything_is_written(
    database: MailShop, broken: str, sentence: str
) -> None:
    database.call("org_schema")
    database.rows(broken)
    for module in ("org_schema", "org_migration"):
        refused = database.call(module)
        assert refused["failed"]
        assert sentence in refused["msg"]
    assert database.members() == {}


def test_four_times(database: MailShop) -> None:
    database.call("org_schema")
    with session(database.target, "test") as connection:
        before = fingerprint(connection, model.load("inbox_zero", None))
    planned = database.call("org_migration", check=True)
    assert planned["changed"]
    assert f"Organizations to create: {len(PEOPLE)}\n" in planned["plan"]["table"]
    assert f"To link: {len(at_home())}\n" in planned["plan"]["table"]
    done = database.call("org_migration")
    assert not done["failed"], done
    assert database.members() == at_home()
    assert done["created"] == {"users": len(PEOPLE), "accounts": len(at_home())}
    for check in (True, False):
        again = database.call("org_migration", check=check)
        assert not again["changed"], again
        assert not database.call("org_migration", check=check, state="swept")["changed"]
    with session(database.target, "test") as connection:
        assert differences(before, fingerprint(connection, model.load("inbox_zero", None))) == []
    verified = database.call("org_integrity", plan=done["counts"])
    assert bad(verified) == {}, verified["summary"]
    found = next(one for one in verified["checks"] if one["name"] == "users_without_account")
    assert set(found["ids"]) == WITHOUT_BOX
    assert database.call("org_integrity", plan=done["counts"], acknowledged=ACCEPTED)["may_go_on"]


def test_back_and_forth_gives_identical_rows(moved: MailShop) -> None:
    first = moved.rows(STATE)
    assert moved.call("org_migration", check=True, state="unlinked")["changed"]
    back = moved.call("org_migration", state="unlinked")
    assert back["unlinked"] == {"accounts": len(at_home())}, back
    assert back["rows_before"] == back["rows_after"]
    assert moved.members() == {}
    for check in (True, False):
        assert not moved.call("org_migration", check=check, state="unlinked")["changed"]
    assert not moved.call("org_migration")["failed"]
    assert moved.rows(STATE) == first
    removed = moved.call("org_migration", state="unlinked", keep_organizations=False)
    assert removed["organizations_removed"] == len(PEOPLE), removed
    withdrawn = moved.call("org_schema", state="withdrawn")
    assert not withdrawn["failed"], withdrawn
    assert moved.rows("SELECT to_regclass('\"Member\"'), to_regclass('\"EmailAccount_userId_idx\"')") == [
        (None, None)
    ]


class TestByHand:
    """A mailbox that somebody made a member is left where it is."""

    def test_the_others_of_its_user_go_to_his_own(self, database: MailShop) -> None:
        database.call("org_schema")
        database.rows(TEAM, ("box-boss-3",))
        assert not database.call("org_migration")["failed"]
        assert database.members() == {**at_home(), "box-boss-3": ("team", "admin")}
        assert bad(database.call("org_integrity")) == {"owners": "failed"}, "the team has an admin only"
        assert not database.call("org_migration", state="unlinked")["failed"]
        assert database.members() == {"box-boss-3": ("team", "admin")}

    def test_a_user_with_nothing_else_gets_no_organization_before_he_needs_one(
        self, database: MailShop
    ) -> None:
        database.call("org_schema")
        database.rows(TEAM, ("box-early-0",))
        assert not database.call("org_migration")["failed"]
        own = identity.organization_id("early")
        assert database.one('SELECT count(*) FROM "Organization" WHERE id = %s', (own,)) == 0
        database.rows(BOX, {"box": "more", "owner": "early"})
        database.sweep()
        assert database.home("more") == own
        assert database.home("box-early-0") == "team"

    def test_it_stays_when_its_mailbox_changes_hands(self, moved: MailShop) -> None:
        moved.rows("""DELETE FROM "Member" WHERE "emailAccountId" = 'box-early-0'""")
        moved.rows(TEAM, ("box-early-0",))
        moved.rows("""UPDATE "EmailAccount" SET "userId" = 'alone' WHERE id = 'box-early-0'""")
        moved.sweep()
        assert moved.home("box-early-0") == "team"


def test_a_mailbox_whose_user_is_gone_goes_nowhere(moved: MailShop) -> None:
    moved.rows(
        """ALTER TABLE "EmailAccount" DROP CONSTRAINT "EmailAccount_userId_fkey";
           ALTER TABLE "Account" DROP CONSTRAINT "Account_userId_fkey";
           DELETE FROM "User" WHERE id = 'early';
           DELETE FROM "Member" WHERE "emailAccountId" = 'box-early-0'"""
    )
    moved.rows(BOX, {"owner": "early", "box": "new"})
    assert (moved.home("box-early-0"), moved.home("new")) == (None, None)
    assert moved.sweep()["swept"]["organizations removed"] == 1
    assert (moved.home("box-early-0"), moved.home("new")) == (None, None)
    assert bad(moved.call("org_integrity")) == {"orphans": "failed"}


class TestTriggers:
    """What the old release does, seen at once."""

    def test_a_sign_up_in_one_transaction(self, moved: MailShop) -> None:
        moved.rows(USER + BOX, {"user": "new", "owner": "new", "box": "new"})
        assert moved.members()["new"] == (identity.organization_id("new"), "owner")

    def test_a_sign_up_in_two(self, moved: MailShop) -> None:
        moved.rows(USER, {"user": "new"})
        moved.rows(BOX, {"owner": "new", "box": "new"})
        assert moved.home("new") == identity.organization_id("new")

    def test_the_first_mailbox_of_a_user_without_one(self, moved: MailShop) -> None:
        moved.rows(BOX, {"owner": "payer", "box": "new"})
        assert moved.home("new") == identity.organization_id("payer")

    def test_the_new_release_that_makes_its_own(self, moved: MailShop) -> None:
        """Told from the old one by what its transaction did, with or without the mark."""
        for number, application in enumerate(("emailai-orgs 2", "unmarked")):
            box, team = f"new{number}", f"team{number}"
            connection = moved.connect(application)
            with connection.cursor() as cursor:
                cursor.execute(
                    "BEGIN;" + (USER + BOX + ";" + TEAM + ";COMMIT").replace("'team'", f"'{team}'")
                    .replace("by-hand", f"by-hand{number}").replace("%s", "%(box)s"),
                    {"user": box, "owner": box, "box": box},
                )  # fmt: skip
            connection.close()
            assert moved.members()[box] == (team, "admin")
            own = identity.organization_id(box)
            assert moved.rows('SELECT id FROM "Organization" WHERE id = %s', (own,)) == []

    def test_a_mailbox_that_changes_hands(self, moved: MailShop) -> None:
        move = """UPDATE "EmailAccount" SET "userId" = 'free' WHERE id = 'box-boss-3'"""
        moved.rows(move)
        assert moved.home("box-boss-3") == identity.organization_id("free")
        assert bad(moved.call("org_integrity")) == {}
        again = moved.rows(STATE)
        moved.call("org_migration", state="unlinked")
        moved.call("org_migration")
        assert moved.rows(STATE) == again, "no trace of the former user"

    def test_one_that_goes_to_a_user_without_organization_leaves(self, moved: MailShop) -> None:
        moved.rows(
            """ALTER TABLE "User" DISABLE TRIGGER USER;
               INSERT INTO "User" (id, email, "updatedAt", "createdAt")
           VALUES ('new', 'new', now(), '2025-01-01');
               ALTER TABLE "User" ENABLE TRIGGER USER;
               UPDATE "EmailAccount" SET "userId" = 'new' WHERE id = 'box-boss-3'"""
        )
        assert moved.home("box-boss-3") is None
        moved.sweep()
        assert moved.home("box-boss-3") == identity.organization_id("new")

    def test_nobody_waits_for_a_membership_that_somebody_holds(self, moved: MailShop) -> None:
        holder = moved.connect()
        holder.autocommit = False
        with holder.cursor() as cursor:
            cursor.execute("""SELECT 1 FROM "Member" WHERE "emailAccountId" = 'box-boss-3' FOR UPDATE""")
        begun = time.monotonic()
        moved.rows("""UPDATE "EmailAccount" SET "userId" = 'free' WHERE id = 'box-boss-3'""")
        assert time.monotonic() - begun < 1
        holder.rollback()
        holder.close()
        assert bad(moved.call("org_integrity")) == {"wrong_links accounts": "failed"}
        moved.sweep()
        assert moved.home("box-boss-3") == identity.organization_id("free")

    @pytest.mark.parametrize("statement", [
        """DELETE FROM "EmailAccount" WHERE id = 'box-boss-0'""",
        """DELETE FROM "EmailAccount" WHERE id = 'box-early-0'""",
        """DELETE FROM "Account" WHERE "userId" = 'boss'""",
    ])  # fmt: skip
    def test_it_deletes_mailboxes_as_before(self, moved: MailShop, statement: str) -> None:
        moved.rows(statement)
        left = {box for (box,) in moved.rows('SELECT id FROM "EmailAccount"')}
        assert set(moved.members()) == left
        moved.sweep()
        assert bad(moved.call("org_integrity")) == {}

    def test_it_deletes_users_as_before(self, moved: MailShop) -> None:
        moved.rows("""DELETE FROM "User" WHERE id IN ('boss', 'payer')""")
        assert moved.sweep()["swept"]["organizations removed"] == 2
        assert bad(moved.call("org_integrity")) == {}

    def test_on_the_way_back_one_that_changes_hands_leaves(self, moved: MailShop) -> None:
        busy = moved.connect()
        busy.autocommit = False
        with busy.cursor() as cursor:
            cursor.execute("""SELECT 1 FROM "Member" WHERE "emailAccountId" = 'box-boss-9' FOR UPDATE""")
            started = moved.call("org_migration", state="unlinked", wait_seconds=1)
            cursor.execute("""UPDATE "EmailAccount" SET "userId" = 'free' WHERE id = 'box-boss-9'""")
        busy.commit()
        busy.close()
        ended = moved.call("org_migration", state="unlinked", follow=started.get("job", ""))
        assert ended["finished"], ended
        assert moved.members() == {}


BREAKS: dict[str, tuple[str, str]] = {
    "users": (
        """ALTER TABLE "User" DISABLE TRIGGER USER;
           INSERT INTO "User" (id, email, "updatedAt", "createdAt")
           VALUES ('new', 'new', now(), '2025-01-01');
           ALTER TABLE "User" ENABLE TRIGGER USER""",
        "failed",
    ),
    "owners": ("""UPDATE "Member" SET role = 'member' WHERE "emailAccountId" = 'box-early-0'""", "failed"),
    "accounts": ("""DELETE FROM "Member" WHERE "emailAccountId" = 'box-boss-3'""", "failed"),
    "wrong_links accounts": (
        """UPDATE "Member" SET "organizationId" = (SELECT "organizationId" FROM "Member"
             WHERE "emailAccountId" = 'box-early-0') WHERE "emailAccountId" = 'box-boss-3'""",
        "failed",
    ),
    "orphans": (
        """ALTER TABLE "Member" DROP CONSTRAINT "Member_emailAccountId_fkey";
           UPDATE "Member" SET "emailAccountId" = 'nothing', id = 'x' WHERE "emailAccountId" = 'box-boss-3';
           DELETE FROM "EmailAccount" WHERE id = 'box-boss-3'""",
        "failed",
    ),
    "duplicate_memberships": (
        """DROP INDEX "Member_emailAccountId_key", "Member_organizationId_emailAccountId_key";
           INSERT INTO "Member" (id, "emailAccountId", "organizationId", role)
           SELECT 'twice', "emailAccountId", "organizationId", role FROM "Member"
            WHERE "emailAccountId" = 'box-early-0'""",
        "failed",
    ),
    "null_memberships": (
        """ALTER TABLE "Member" ALTER "emailAccountId" DROP NOT NULL;
           INSERT INTO "Member" (id, "emailAccountId", "organizationId", role)
           SELECT 'empty', NULL, "organizationId", role FROM "Member"
            WHERE "emailAccountId" = 'box-early-0'""",
        "failed",
    ),
    "triggers": ('ALTER TABLE "EmailAccount" DISABLE TRIGGER emailai_migration_inserted', "failed"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_each_check_fails_when_its_data_is_broken(moved: MailShop, name: str) -> None:
    statement, expected = BREAKS[name]
    moved.rows(statement)
    found = bad(moved.call("org_integrity"))
    assert found.pop(name) == expected
    assert found == {}


REPAIRS: dict[str, tuple[str, dict[str, t.Any]]] = {
    "late_users": (BREAKS["users"][0] + ";" + BREAKS["accounts"][0], {}),
    "missing_owners": (BREAKS["owners"][0], {}),
    "wrong_links": (BREAKS["wrong_links accounts"][0], {}),
    "no_access": (BREAKS["accounts"][0], {"email": "boss@example.com"}),
}


@pytest.mark.parametrize("case", REPAIRS)
def test_seen_repaired_and_gone(moved: MailShop, case: str) -> None:
    statement, options = REPAIRS[case]
    for check in (True, False):
        assert not moved.call("org_repair", check=check, case=case, **options)["changed"], "healthy"
    moved.rows(statement)
    assert moved.call("org_repair", check=True, case=case, **options)["changed"]
    done = moved.call("org_repair", case=case, **options)
    assert done["repaired"], done
    for check in (True, False):
        assert not moved.call("org_repair", check=check, case=case, **options)["changed"]
    assert moved.members() == at_home()
    assert bad(moved.call("org_integrity")) == {}


def test_the_way_back_is_refused_while_a_trigger_may_refuse_it(moved: MailShop) -> None:
    moved.rows(
        """CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE check_violation; END';
           CREATE TRIGGER keeps_owner BEFORE DELETE ON "Member" FOR EACH ROW EXECUTE FUNCTION keep()"""
    )
    with pytest.raises(psycopg2.errors.CheckViolation):
        moved.rows("""DELETE FROM "EmailAccount" WHERE id = 'box-early-0'""")
    refused = moved.call("org_migration", state="unlinked")
    assert refused["failed"]
    assert "keeps_owner" in refused["msg"]
    assert moved.members() == at_home()
    moved.rows('ALTER TABLE "Member" DISABLE TRIGGER keeps_owner')
    assert not moved.call("org_migration", state="unlinked")["failed"]
    assert moved.members() == {}


def test_the_seats_are_nobodys(moved: MailShop) -> None:
    refused = moved.call("org_repair", check=True, case="billing")
    assert "the model map names no column for used seats" in refused["msg"]
    assert not moved.call("org_repair", case="twins")["changed"]
