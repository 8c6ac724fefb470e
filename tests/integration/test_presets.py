# SPDX-License-Identifier: GPL-3.0-or-later
"""The presets beside the runbook's: users who share a premium, and an organization that gets it."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity, model
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.fingerprint import (
    differences,
    fingerprint,
)
from integration.preset_world import (
    FIRST,
    FORGOTTEN,
    OWNERLESS,
    PEOPLE,
    SHARED,
    SOLE,
    Shop,
    build,
)

STATE = """
SELECT 'o', o::text FROM "Organization" o UNION ALL SELECT 'm', m::text FROM "OrganizationMember" m
UNION ALL SELECT 'a', a::text FROM "EmailAccount" a UNION ALL SELECT 'p', p::text FROM "Premium" p
UNION ALL SELECT 'u', u::text FROM "User" u ORDER BY 1, 2
"""
ACCEPTED = {"premiums": "test"}


@pytest.fixture
def database(postgres: t.Any, tmp_path: Path) -> Shop:
    made = Shop(postgres.new_database(), tmp_path)
    build(made)
    return made


@pytest.fixture
def moved(database: Shop) -> Shop:
    assert not database.call("org_schema")["failed"]
    done = database.call("org_migration")
    assert not done["failed"], done
    return database


def organizations(people: t.Mapping[str, str]) -> dict[str, str]:
    return {identity.organization_id(user): premium for user, premium in people.items()}


def given(policy: str) -> dict[str, str]:
    """Which organization gets which premium."""
    teams = {identity.team_id(premium): premium for premium in SHARED} if policy == "team" else {}
    return {**organizations({**SOLE, **(FIRST if policy == "owner" else {})}), **teams}


def homes(policy: str) -> dict[str, tuple[str, str]]:
    """Where each user belongs, and as what."""
    found = {user: (identity.organization_id(user), "OWNER") for user, *_rest in PEOPLE}
    if policy == "team":
        for user, _age, _name, has, _manages in PEOPLE:
            if has in SHARED:
                role = "OWNER" if FIRST.get(user) == has else "MEMBER"
                found[user] = (identity.team_id(has), role)
    return found


def bad(answer: dict[str, t.Any]) -> dict[str, str]:
    return {one["name"]: one["result"] for one in answer["checks"] if one["result"] not in ("ok", "pending")}


def test_expand_four_times(database: Shop) -> None:
    looked = database.call("org_schema", check=True)
    made = database.call("org_schema")
    assert made["changed"], made
    assert made["objects"] == looked["objects"]
    for check in (True, False):
        assert not database.call("org_schema", check=check)["changed"]
    keys = database.rows(
        """SELECT conname, confdeltype::text, convalidated FROM pg_constraint WHERE contype = 'f'
              AND '"Organization"'::regclass IN (conrelid, confrelid) ORDER BY 1"""
    )
    assert keys == [
        ("EmailAccount_organizationId_fkey", "r", True),
        ("OrganizationMember_organizationId_fkey", "r", True),
        ("Organization_premiumId_fkey", "n", True),
    ]
    indexes = [
        name
        for (name,) in database.rows(
            "SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%%premiumId%%'", ()
        )
    ]
    assert sorted(indexes) == ["Organization_premiumId_idx", "User_premiumId_idx"]
    assert database.rows("SELECT 1 FROM pg_attribute WHERE attrelid = '\"Premium\"'::regclass"
                         " AND attname = 'organizationId'") == []  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ('ALTER TABLE "User" RENAME "premiumId" TO "planId"', "User.premiumId does not exist"),
        ('ALTER TABLE "User" RENAME "premiumAdminId" TO "payerId"', "User.premiumAdminId does not exist"),
        (
            'ALTER TABLE "User" DROP CONSTRAINT "User_premiumAdminId_fkey",'
            ' ALTER "premiumAdminId" TYPE int USING NULL',
            "User.premiumAdminId is of type integer, not text",
        ),
        (
            'CREATE TABLE "Organization" (id text PRIMARY KEY, name text NOT NULL, slug text NOT NULL,'
            ' "createdAt" timestamp(3) NOT NULL, "updatedAt" timestamp(3) NOT NULL,'
            ' "premiumId" text NOT NULL)',
            "Organization.premiumId is NOT NULL",
        ),
        (
            'CREATE TABLE "Organization" (id text PRIMARY KEY, name text NOT NULL, slug text NOT NULL,'
            ' "createdAt" timestamp(3) NOT NULL, "updatedAt" timestamp(3) NOT NULL,'
            ' "premiumId" text REFERENCES "Premium" (id) ON DELETE RESTRICT)',
            "could not delete a row of Premium",
        ),
    ],
)
def test_a_contradiction_is_refused_before_anything_is_written(
    database: Shop, broken: str, sentence: str
) -> None:
    database.rows(broken)
    answer = database.call("org_schema")
    assert answer["failed"]
    assert any(sentence in difference for difference in answer["differences"]) or sentence in answer["msg"]
    assert database.one("SELECT to_regnamespace('emailai_migration') IS NULL")


def test_the_column_is_added_to_an_organization_that_is_in_use(database: Shop) -> None:
    database.rows(
        """CREATE TABLE "Organization" (id text PRIMARY KEY, name text NOT NULL, slug text NOT NULL UNIQUE,
               "createdAt" timestamp(3) NOT NULL, "updatedAt" timestamp(3) NOT NULL);
           INSERT INTO "Organization" VALUES ('theirs', 'Theirs', 'theirs', now(), now())"""
    )
    answer = database.call("org_schema")
    assert not answer["failed"], answer
    assert {"act": "make", "object": "column Organization.premiumId"} in answer["objects"]
    assert not database.call("org_schema")["changed"]


def test_the_plan_lists_shared_premiums_before_anything_is_written(postgres: t.Any, database: Shop) -> None:
    name = f"reader_{database.target.dbname}"
    reader = postgres.new_role(name).for_database(database.target.dbname)
    database.rows(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    answer = Shop(reader, Path(database.folder)).call("org_migration", check=True)
    assert not answer["failed"], answer
    plan = answer["plan"]
    assert {one["premium"]: one["users"] for one in plan["shared_premiums"]} == SHARED
    assert {one["first"]: one["premium"] for one in plan["shared_premiums"]} == FIRST
    assert "p-team: 3 users, to nobody's organization" in plan["table"]
    assert f"- {len(SHARED)} shared by several users" in plan["table"]
    assert answer["counts"]["premiums"] == {
        "total": len(SOLE) + len(SHARED) + len(OWNERLESS),
        "done": 0,
        "ownerless": len(OWNERLESS),
        "orphans": 0,
        "pending": 0,
        "shared": len(SHARED),
        "taken": 0,
        "due": len(SOLE),
    }
    owner = Shop(reader, Path(database.folder)).call("org_migration", check=True, premium_policy="owner")
    assert "p-team: 3 users, to the organization of user boss" in owner["plan"]["table"]
    assert owner["counts"]["premiums"]["due"] == len(SOLE) + len(SHARED)
    assert database.one("SELECT to_regnamespace('emailai_migration') IS NULL")


@pytest.mark.parametrize("policy", ["report", "owner", "team"])
def test_four_times(database: Shop, policy: str) -> None:
    database.call("org_schema")
    with session(database.target, "test") as connection:
        before = fingerprint(connection, model.load("emailai", None))
    planned = database.call("org_migration", check=True, premium_policy=policy)
    assert planned["changed"]
    number = len({home for home, _role in homes(policy).values()})
    assert f"Organizations to create: {number}\n" in planned["plan"]["table"]
    done = database.call("org_migration", premium_policy=policy)
    assert not done["failed"], done
    assert database.links() == given(policy)
    assert database.memberships() == homes(policy)
    boxes = database.rows('SELECT "userId", "organizationId" FROM "EmailAccount"')
    assert all(homes(policy)[user][0] == organization for user, organization in boxes)
    assert done["created"]["premiums"] == len(given(policy))
    assert done["created"]["users"] == len(PEOPLE)
    assert {one["premium"] for one in done["shared_premiums"]} == set(SHARED)
    log = Path(database.folder, "migration.log").read_text()
    assert log.index("shared premium p-team: 3 users") < log.index("installing the sync triggers")
    for check in (True, False):
        again = database.call("org_migration", check=check, premium_policy=policy)
        assert not again["changed"], again
        assert not database.call("org_migration", check=check, state="swept", premium_policy=policy)[
            "changed"
        ]
    with session(database.target, "test") as connection:
        columns = differences(before, fingerprint(connection, model.load("emailai", None)))
    assert columns == [], "nothing of the application's own has changed"
    verified = database.call("org_integrity")
    assert bad(verified) == {"premiums": "finding"}, verified["summary"]
    found = next(one for one in verified["checks"] if one["name"] == "premiums")
    assert set(found["ids"]) == OWNERLESS | (set(SHARED) if policy == "report" else set())
    assert database.call("org_integrity", acknowledged=ACCEPTED)["may_go_on"]
    assert database.call("org_integrity", plan=done["counts"], acknowledged=ACCEPTED)["may_go_on"]


@pytest.fixture
def teams(database: Shop) -> Shop:
    database.call("org_schema")
    done = database.call("org_migration", premium_policy="team")
    assert not done["failed"], done
    return database


def swept(database: Shop, **options: t.Any) -> dict[str, t.Any]:
    answer = database.call("org_migration", state="swept", premium_policy="team", grace_seconds=0, **options)
    assert not answer["failed"], answer
    return answer


class TestTeam:
    """One organization for those who share a premium."""

    def test_it_is_named_for_the_one_with_the_most_to_say(self, teams: Shop) -> None:
        name, born = teams.rows(
            'SELECT name, "createdAt" FROM "Organization" WHERE id = %s', (identity.team_id("p-pair"),)
        )[0]
        assert name == "O'Neil & \"Sons\"'s organization"
        assert born == teams.one("""SELECT "createdAt" FROM "User" WHERE id = 'pair-b'""")

    @pytest.mark.parametrize("premium", ["p-team", "p-own", "p-kept"])
    def test_a_sign_up_joins_a_team_that_stands(self, teams: Shop, premium: str) -> None:
        teams.rows(
            'INSERT INTO "User" (id, email, "updatedAt", "premiumId") VALUES (%s, %s, now(), %s)',
            ("new", "new@example.com", premium),
        )
        alone = (identity.organization_id("new"), "OWNER")
        team = (identity.team_id(premium), "MEMBER")
        assert teams.memberships()["new"] == (team if premium == "p-team" else alone)
        assert swept(teams)["failed"] is False
        assert teams.memberships()["new"] == (team if premium == "p-team" else alone)

    def test_a_member_who_leaves_or_buys_stays_where_he_is(self, teams: Shop) -> None:
        teams.rows("""UPDATE "User" SET "premiumId" = NULL WHERE id = 'early';
                      UPDATE "User" SET "premiumId" = 'p-forgotten' WHERE id = 'late'""")
        swept(teams)
        assert teams.memberships() == homes("team")
        assert teams.links() == given("team")
        back = teams.call("org_migration", state="unlinked", premium_policy="team")
        assert not back["failed"], back
        assert teams.one('SELECT count(*) FROM "EmailAccount" WHERE "organizationId" IS NOT NULL') == 0
        assert teams.links() == {}

    def test_who_shares_with_somebody_that_has_his_own_gets_his_own(self, moved: Shop) -> None:
        """The data step ran under another policy; nobody is moved."""
        before = moved.memberships()
        moved.rows(
            """ALTER TABLE "User" DISABLE TRIGGER USER;
               INSERT INTO "User" (id, email, "updatedAt", "createdAt", "premiumId")
               VALUES ('new', 'new', now(), '2025-02-01', 'p-team');
               ALTER TABLE "User" ENABLE TRIGGER USER"""
        )
        swept(moved)
        assert moved.memberships() == {**before, "new": (identity.organization_id("new"), "OWNER")}

    def test_an_empty_team_is_removed(self, teams: Shop) -> None:
        teams.rows("""DELETE FROM "User" WHERE "premiumId" = 'p-pair'""")
        assert swept(teams)["swept"]["organizations removed"] == 1
        assert identity.team_id("p-pair") not in teams.links()

    def test_the_owner_is_deleted(self, teams: Shop) -> None:
        teams.rows("""DELETE FROM "User" WHERE id = 'boss'""")
        assert bad(teams.call("org_integrity"))["owners"] == "failed"
        repaired = teams.call("org_repair", case="missing_owners")
        assert not repaired["failed"], repaired
        assert teams.memberships()["early"] == (identity.team_id("p-team"), "OWNER")


@pytest.mark.parametrize("policy", ["report", "owner", "team"])
def test_back_and_forth_gives_identical_rows(database: Shop, policy: str) -> None:
    shape = """SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
                  AND c.relname NOT LIKE 'migration\\_log%%' ORDER BY 1, 2"""
    before, rows = database.rows(shape, ()), database.rows('SELECT u::text FROM "User" u ORDER BY 1')
    database.call("org_schema")
    database.call("org_migration", premium_policy=policy)
    first = database.rows(STATE)
    linked = len(database.links())
    assert database.call("org_migration", check=True, state="unlinked")["changed"]
    back = database.call("org_migration", state="unlinked")
    assert back["unlinked"]["premiums"] == linked, back
    assert back["rows_before"] == back["rows_after"]
    assert database.links() == {}
    for check in (True, False):
        assert not database.call("org_migration", check=check, state="unlinked")["changed"]
    database.call("org_migration", premium_policy=policy)
    assert database.rows(STATE) == first
    removed = database.call("org_migration", state="unlinked", keep_organizations=False)
    assert removed["organizations_removed"] == len({home for home, _role in homes(policy).values()}), removed
    database.call("org_migration", premium_policy=policy)
    assert database.rows(STATE) == first
    assert database.call("org_schema", state="withdrawn")["failed"]
    database.call("org_migration", state="unlinked", keep_organizations=False)
    withdrawn = database.call("org_schema", state="withdrawn")
    assert not withdrawn["failed"], withdrawn
    assert database.rows(shape, ()) == before
    assert database.rows('SELECT u::text FROM "User" u ORDER BY 1') == rows


def test_a_premium_that_somebody_gave_otherwise_stays(moved: Shop) -> None:
    moved.rows("""INSERT INTO "Organization" (id, name, slug, "updatedAt", "premiumId")
                  VALUES ('team', 'Team', 'team', now(), 'p-team')""")
    assert not moved.call("org_migration", premium_policy="owner", state="swept")["failed"]
    assert moved.premium_of("boss") is None
    moved.rows("""UPDATE "User" SET "premiumId" = NULL WHERE id IN ('early', 'late')""")
    moved.rows("""UPDATE "User" SET "premiumId" = NULL WHERE id = 'boss';
                  UPDATE "User" SET "premiumId" = 'p-team' WHERE id = 'free'""")
    assert moved.premium_of("free") is None
    moved.call("org_migration", state="unlinked")
    assert moved.links() == {"team": "p-team"}


def test_the_sweep_takes_a_strangers_premium_from_what_we_made_and_from_nothing_else(moved: Shop) -> None:
    moved.rows(BREAKS["wrong_links premiums"][0])
    moved.rows("""INSERT INTO "Organization" (id, name, slug, "updatedAt", "premiumId")
                  VALUES ('theirs', 'Theirs', 'theirs', now(), 'p-team')""")
    moved.rows("""UPDATE "Organization" SET "premiumId" = NULL WHERE "premiumId" = 'alone'""")
    swept = moved.call("org_migration", state="swept")["swept"]
    assert (swept["strangers' links"], swept["premiums"]) == (1, 2)
    assert moved.links() == {**organizations(SOLE), "theirs": "p-team"}


def test_a_user_who_changes_his_premium_meanwhile_is_waited_for(moved: Shop) -> None:
    """What the pass saw of him would be given to an organization that nobody asks again."""
    moved.rows(BREAKS["premiums"][0])
    busy = moved.connect("emailai-orgs web")
    busy.autocommit = False
    busy.cursor().execute("""UPDATE "User" SET "premiumId" = 'p-team' WHERE id = 'payer'""")
    committed = threading.Timer(0.5, busy.commit)
    committed.start()
    answer = moved.call("org_migration", state="swept")
    committed.join()
    busy.close()
    assert not answer["failed"], answer
    assert moved.premium_of("payer") is None


def test_an_organization_keeps_the_premium_it_has(database: Shop) -> None:
    database.call("org_schema")
    home = identity.organization_id("payer")
    database.rows(
        """INSERT INTO "Organization" (id, name, slug, "updatedAt", "premiumId")
           VALUES (%(home)s, 'x', 'x', now(), 'p-forgotten');
           INSERT INTO "OrganizationMember" (id, "userId", "organizationId", role, "updatedAt")
           VALUES ('m', 'payer', %(home)s, 'OWNER', now())""",
        {"home": home},
    )
    done = database.call("org_migration")
    assert not done["failed"], done
    assert database.premium_of("payer") == FORGOTTEN
    assert done["counts"]["premiums"]["taken"] == 1
    assert bad(database.call("org_integrity")) == {"premiums": "finding"}


def test_the_writer_needs_no_more_than_rows(postgres: t.Any, tmp_path: Path) -> None:
    owner, writer = postgres.new_role("owner_of_presets"), postgres.new_role("writer_of_presets")
    made = postgres.new_database(owner.user)
    database = Shop(made, tmp_path)
    build(database)
    name = {"login_user": writer.user, "login_password": writer.password}
    database.rows(f'GRANT SELECT, UPDATE ON "User", "EmailAccount" TO {writer.user}')
    told = database.call("org_integrity", scope="before", rights="writer", **name)
    assert "missing: SELECT on Premium, UPDATE on Premium" in str(told)
    database.rows(f'GRANT SELECT, UPDATE ON "Premium" TO {writer.user}')
    told = database.call("org_integrity", scope="before", rights="writer", **name)
    assert {line["state"] for line in told["readiness"]} == {"met"}
    database.call("org_schema")
    rights = {**name, "owner_url": f"postgresql://{made.user}:{made.password}@{made.host}:{made.port}/other"}
    moved = database.call("org_migration", **rights)
    assert not moved["failed"], moved
    assert database.links() == organizations(SOLE)
    assert not database.call("org_migration", state="unlinked", **rights)["failed"]
    assert database.links() == {}


def test_names_of_any_spelling(database: Shop) -> None:
    database.rows(
        """
        CREATE SCHEMA "odd %% schema";
        ALTER TABLE "User" SET SCHEMA "odd %% schema";
        ALTER TABLE "EmailAccount" SET SCHEMA "odd %% schema";
        ALTER TABLE "Premium" SET SCHEMA "odd %% schema";
        ALTER TABLE "odd %% schema"."User" RENAME TO "we""ird %% {x}";
        ALTER TABLE "odd %% schema"."we""ird %% {x}" RENAME "premiumId" TO "{{ its }} 'plan'";
        ALTER TABLE "odd %% schema"."we""ird %% {x}" RENAME "premiumAdminId" TO "{0}";
        ALTER TABLE "odd %% schema"."Premium" RENAME TO "%%s"
        """,
        (),
    )
    names = {
        "schema": "odd % schema",
        "users": {"table": 'we"ird % {x}'},
        "premiums": {
            "table": "%s", "owner": "{{ its }} 'plan'", "admin": "{0}", "organization": "{1} \"%", "tier": ""
        },
    }  # fmt: skip
    made = database.call("org_schema", map=names)
    assert not made["failed"], made
    assert not database.call("org_schema", map=names)["changed"]
    for policy, given in (("report", len(SOLE)), ("owner", len(SHARED))):
        moved = database.call("org_migration", map=names, premium_policy=policy)
        assert not moved["failed"], moved
        assert moved["created"]["premiums"] == given
    database.rows("""UPDATE "odd %% schema"."we""ird %% {x}" SET "{{ its }} 'plan'" = 'p-forgotten'
                      WHERE id = 'free'""", ())  # fmt: skip
    assert database.call("org_migration", map=names, check=True)["counts"]["premiums"]["ownerless"] == 1
    assert bad(database.call("org_integrity", map=names)) == {"premiums": "finding"}
    back = database.call("org_migration", map=names, state="unlinked", keep_organizations=False)
    assert back["unlinked"]["premiums"] == len(SOLE) + len(SHARED) + 1, back
    withdrawn = database.call("org_schema", map=names, state="withdrawn")
    assert not withdrawn["failed"], withdrawn


class TestTriggers:
    """What the old release does to a premium, seen at once in the organization."""

    BUY = """INSERT INTO "Premium" (id, "updatedAt") VALUES ('new', now());
             UPDATE "User" SET "premiumId" = 'new', "premiumAdminId" = 'new' WHERE id = 'free'"""

    def test_a_purchase(self, moved: Shop) -> None:
        moved.rows(self.BUY)
        assert moved.premium_of("free") == "new"

    def test_a_change_and_an_end(self, moved: Shop) -> None:
        moved.rows("""UPDATE "User" SET "premiumId" = 'p-forgotten' WHERE id = 'payer'""")
        assert moved.premium_of("payer") == FORGOTTEN
        moved.rows("""UPDATE "User" SET "premiumId" = NULL WHERE id = 'payer'""")
        assert moved.premium_of("payer") is None

    def test_another_member_keeps_it_for_the_organization(self, moved: Shop) -> None:
        moved.rows(
            """INSERT INTO "OrganizationMember" (id, "userId", "organizationId", role, "updatedAt")
               VALUES ('guest', 'free', %s, 'MEMBER', now());
               UPDATE "User" SET "premiumId" = 'p-own' WHERE id = 'free';
               UPDATE "User" SET "premiumId" = NULL WHERE id = 'payer'""",
            (identity.organization_id("payer"),),
        )
        assert moved.premium_of("payer") == "p-own"
        assert moved.premium_of("free") is None

    def test_a_second_user_takes_nothing_from_the_first(self, moved: Shop) -> None:
        moved.rows("""UPDATE "User" SET "premiumId" = 'p-own' WHERE id IN ('free', 'alone')""")
        assert moved.premium_of("payer") == "p-own"
        assert moved.premium_of("free") is moved.premium_of("alone") is None
        moved.rows("""UPDATE "User" SET "premiumId" = NULL WHERE id = 'payer'""")
        assert "p-own" not in moved.links().values()

    def test_the_last_of_a_team_gets_it_from_the_sweep(self, moved: Shop) -> None:
        moved.rows("""UPDATE "User" SET "premiumId" = NULL WHERE id = 'pair-b'""")
        assert moved.premium_of("pair-a") is None
        assert moved.call("org_integrity")["result"] == "failed"
        assert moved.call("org_migration", state="swept", check=True)["changed"]
        assert moved.call("org_migration", state="swept")["swept"]["premiums"] == 1
        assert moved.premium_of("pair-a") == "p-pair"

    def test_many_in_one_statement(self, moved: Shop) -> None:
        moved.rows("""UPDATE "User" SET "premiumId" = 'p-forgotten' WHERE id IN ('free', 'payer')""")
        assert FORGOTTEN not in moved.links().values()
        assert moved.premium_of("payer") is None

    @pytest.mark.parametrize("one_by_one", [True, False])
    def test_a_sign_up_with_a_premium(self, moved: Shop, one_by_one: bool) -> None:
        connection = moved.connect()
        connection.autocommit = one_by_one
        with connection.cursor() as cursor:
            cursor.execute("""INSERT INTO "User" (id, email, "updatedAt") VALUES ('n', 'n', now())""")
            cursor.execute("""UPDATE "User" SET "premiumId" = 'p-forgotten' WHERE id = 'n'""")
            cursor.execute("""INSERT INTO "User" (id, email, "updatedAt", "premiumId")
                              VALUES ('m', 'm', now(), 'p-kept')""")
        if not one_by_one:
            connection.commit()
        connection.close()
        assert moved.premium_of("n") == FORGOTTEN
        assert moved.premium_of("m") == "p-kept"

    def test_a_premium_is_deleted(self, moved: Shop) -> None:
        moved.rows("""DELETE FROM "Premium" WHERE id IN ('p-own', 'p-team')""")
        assert moved.premium_of("payer") is None
        assert moved.one('SELECT count(*) FROM "Organization"') == len(PEOPLE)

    def test_a_user_is_deleted(self, moved: Shop) -> None:
        moved.rows("""DELETE FROM "User" WHERE id = 'payer'""")
        assert moved.call("org_migration", state="swept")["swept"]["organizations removed"] == 1
        assert moved.one("""SELECT count(*) FROM "Premium" WHERE id = 'p-own'""") == 1
        assert bad(moved.call("org_integrity")) == {"premiums": "finding"}
        assert not moved.call("org_migration", state="swept")["changed"]

    def test_who_comes_next_when_the_admin_is_deleted(self, moved: Shop) -> None:
        moved.call("org_migration", premium_policy="owner", state="swept")
        assert moved.premium_of("boss") == "p-team"
        moved.rows("""DELETE FROM "User" WHERE id = 'boss'""")
        assert "failed" not in bad(moved.call("org_integrity")).values()
        moved.call("org_migration", premium_policy="owner", state="swept")
        assert moved.premium_of("early") == "p-team"
        for check in (True, False):
            again = moved.call("org_migration", premium_policy="owner", state="swept", check=check)
            assert not again["changed"]

    def test_the_new_release_is_left_alone(self, moved: Shop) -> None:
        with contextlib.closing(moved.connect("emailai-orgs web")) as connection:
            connection.cursor().execute("""UPDATE "User" SET "premiumId" = NULL WHERE id = 'payer'""")
        assert moved.premium_of("payer") == "p-own"
        assert bad(moved.call("org_integrity")) == {"premiums": "finding"}
        assert not moved.call("org_migration", state="swept")["changed"]

    def test_a_premium_that_does_not_exist_stops_nobody(self, moved: Shop) -> None:
        moved.rows('ALTER TABLE "User" DROP CONSTRAINT "User_premiumId_fkey"')
        moved.rows("""UPDATE "User" SET "premiumId" = 'nothing' WHERE id = 'payer'""")
        assert moved.premium_of("payer") is None
        assert bad(moved.call("org_integrity"))["orphans"] == "failed"

    def test_nobody_waits_for_the_organization(self, moved: Shop) -> None:
        holder = moved.connect("emailai-orgs web")
        holder.autocommit = False
        holder.cursor().execute('SELECT 1 FROM "Organization" FOR UPDATE')
        begun = time.monotonic()
        moved.rows(f"SET lock_timeout = '1s'; {self.BUY}")
        assert time.monotonic() - begun < 1
        holder.rollback()
        holder.close()
        moved.call("org_migration", state="swept")
        assert moved.premium_of("free") == "new"

    def test_on_the_way_back_a_premium_that_changes_hands_leaves_no_link(self, moved: Shop) -> None:
        self._change_hands_on_the_way_back(moved, "p-own", "p-forgotten", "report")

    def test_on_the_way_back_a_premium_that_its_team_gives_up_leaves_no_link(self, teams: Shop) -> None:
        self._change_hands_on_the_way_back(teams, "p-pair", None, "team")

    @staticmethod
    def _change_hands_on_the_way_back(
        database: Shop, given_up: str, taken: t.Optional[str], policy: str
    ) -> None:
        back = {"state": "unlinked", "premium_policy": policy}
        busy = database.connect()
        busy.autocommit = False
        with busy.cursor() as cursor:
            cursor.execute('SELECT 1 FROM "Organization" WHERE "premiumId" = %s FOR UPDATE', (given_up,))
            started = database.call("org_migration", wait_seconds=1, **back)
            cursor.execute('UPDATE "User" SET "premiumId" = %s WHERE "premiumId" = %s', (taken, given_up))
        busy.commit()
        busy.close()
        ended = database.call("org_migration", follow=started.get("job", ""), **back)
        assert ended["finished"], ended
        assert database.links() == {}


BREAKS = {
    "premiums": ("""UPDATE "Organization" SET "premiumId" = NULL WHERE "premiumId" = 'p-own'""", "failed"),
    "wrong_links premiums": (
        """UPDATE "Organization" SET "premiumId" = NULL WHERE "premiumId" = 'p-own';
           UPDATE "Organization" SET "premiumId" = 'p-own' WHERE id = (SELECT "organizationId"
             FROM "OrganizationMember" WHERE "userId" = 'free')""",
        "failed",
    ),
    "premiums_given_twice": (
        """UPDATE "Organization" SET "premiumId" = 'p-forgotten' WHERE id IN (SELECT "organizationId"
             FROM "OrganizationMember" WHERE "userId" IN ('free', 'keeper'))""",
        "finding",
    ),
    "cascading_keys": (
        """ALTER TABLE "Organization" DROP CONSTRAINT "Organization_premiumId_fkey", ADD CONSTRAINT x
           FOREIGN KEY ("premiumId") REFERENCES "Premium" (id) ON DELETE CASCADE""",
        "finding",
    ),
    "triggers": ('ALTER TABLE "User" DISABLE TRIGGER emailai_migration_premiums', "failed"),
    "orphans": (
        """ALTER TABLE "User" DROP CONSTRAINT "User_premiumId_fkey", DISABLE TRIGGER USER;
           UPDATE "User" SET "premiumId" = 'nothing' WHERE id = 'free';
           ALTER TABLE "User" ENABLE TRIGGER USER""",
        "failed",
    ),
    "invalid_indexes": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"User_premiumId_idx\"'::regclass",
        "failed",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_check_fails_when_its_data_is_broken(moved: Shop, name: str) -> None:
    statement, expected = BREAKS[name]
    moved.rows(statement)
    found = bad(moved.call("org_integrity"))
    assert found.pop(name) == expected
    assert set(found) <= {"premiums"}
    assert found.get("premiums", "finding") == "finding"


REPAIRS: dict[str, tuple[str, dict[str, t.Any]]] = {
    "late_users": (BREAKS["premiums"][0], {}),
    "wrong_links": (BREAKS["wrong_links premiums"][0], {}),
    "no_access": (BREAKS["premiums"][0], {"email": "payer@example.com"}),
    "twins": (
        """INSERT INTO "Organization" (id, name, slug, "createdAt", "updatedAt")
           SELECT 'own', 'own', 'own', "createdAt", "createdAt" FROM "User" WHERE id = 'payer';
           INSERT INTO "OrganizationMember" (id, "userId", "organizationId", role, "createdAt", "updatedAt")
           SELECT 'own', id, 'own', 'OWNER', "createdAt", "createdAt" FROM "User" WHERE id = 'payer'""",
        {},
    ),
}


@pytest.mark.parametrize("case", REPAIRS)
def test_seen_repaired_and_gone(moved: Shop, case: str) -> None:
    statement, options = REPAIRS[case]
    for check in (True, False):
        assert not moved.call("org_repair", check=check, case=case, **options)["changed"], "healthy"
    moved.rows(statement)
    assert moved.call("org_repair", check=True, case=case, **options)["changed"]
    done = moved.call("org_repair", case=case, **options)
    assert done["repaired"], done
    for check in (True, False):
        assert not moved.call("org_repair", check=check, case=case, **options)["changed"]
    home = "own" if case == "twins" else identity.organization_id("payer")
    assert moved.links()[home] == "p-own"
    assert list(moved.links().values()).count("p-own") == 1
    assert bad(moved.call("org_integrity")) == {"premiums": "finding"}


def test_the_seats_of_a_model_that_has_them(moved: Shop) -> None:
    names = {"premiums": {"used_seats": "usedSeats", "max_seats": "maxSeats"}}
    moved.rows('ALTER TABLE "Premium" ADD "usedSeats" int NOT NULL DEFAULT 1, ADD "maxSeats" int')
    assert "seats" not in bad(moved.call("org_integrity", map=names))
    moved.rows("""UPDATE "Premium" SET "usedSeats" = 7 WHERE id IN ('p-own', 'p-team')""")
    assert bad(moved.call("org_integrity", map=names))["seats"] == "finding"
    home = identity.organization_id("payer")
    looked = moved.call("org_repair", case="billing", map=names)
    assert looked["found"] == ["p-own"]
    assert moved.call("org_repair", case="billing", organization=home, seats=1, map=names)["changed"]
    assert moved.one("""SELECT "usedSeats" FROM "Premium" WHERE id = 'p-own'""") == 1
