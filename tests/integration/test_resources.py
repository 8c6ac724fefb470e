# SPDX-License-Identifier: GPL-3.0-or-later
"""Further tables of the map: rows that belong to a user, to one of his accounts, or to a row of these."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._tenancy import identity
from integration.conftest import Postgres
from integration.preset_world import MailShop, build
from integration.tenancy_world import Database

TABLES = """
CREATE TABLE "Workflow" (id text PRIMARY KEY, "userId" text REFERENCES {users} ON DELETE CASCADE);
CREATE TABLE "Filter" (id int PRIMARY KEY,
    "boxId" text REFERENCES "EmailAccount" ON DELETE CASCADE);
CREATE TABLE "Step" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), label text,
    "filterId" int REFERENCES "Filter" ON DELETE CASCADE)
"""
MAP: t.Final[dict[str, t.Any]] = {
    "resources": [
        {"table": "Workflow", "id": "id", "owner": "userId", "organization": "organizationId"},
        {"table": "Filter", "id": "id", "owner": "boxId", "owner_in": "EmailAccount",
         "organization": "organizationId"},
        {"table": "Step", "id": "id", "owner": "filterId", "owner_in": "Filter", "organization": "orgId"},
    ]
}  # fmt: skip
ROWS = """
INSERT INTO "Workflow" SELECT 'w-' || id, id FROM {users} UNION ALL SELECT 'w-nobody', NULL;
INSERT INTO "Filter" SELECT row_number() OVER (ORDER BY id, n), id
  FROM "EmailAccount", generate_series(1, 3) n UNION ALL SELECT 0, NULL;
INSERT INTO "Step" (label, "filterId") SELECT 'of ' || id, id FROM "Filter", generate_series(1, 2);
ANALYZE
"""
LINKS = """
SELECT 'w', w.id, w."organizationId", w."userId" FROM "Workflow" w
UNION ALL SELECT 'f', f.id::text, f."organizationId", b."userId" FROM "Filter" f
  LEFT JOIN "EmailAccount" b ON b.id = f."boxId"
UNION ALL SELECT 's', s.id::text, s."orgId", b."userId" FROM "Step" s
  LEFT JOIN "Filter" f ON f.id = s."filterId" LEFT JOIN "EmailAccount" b ON b.id = f."boxId"
"""


class World(t.NamedTuple):
    """A database with the tables above, in either kind of model."""

    database: Database
    users: str

    def call(self, module: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        return self.database.call(module, check, map=MAP, **options)

    def astray(self) -> list[t.Any]:
        """Rows that are not where their user is, and those without user that are anywhere."""
        return [
            (kind, key, link, user)
            for kind, key, link, user in self.database.rows(LINKS)
            if link != (identity.organization_id(user) if user else None)
        ]

    def linked(self) -> int:
        return sum(1 for _kind, _key, link, _user in self.database.rows(LINKS) if link)

    def box(self) -> tuple[str, str]:
        """A mailbox with its user."""
        return t.cast(
            "tuple[str, str]", self.database.rows('SELECT id, "userId" FROM "EmailAccount" ORDER BY id')[0]
        )

    def other(self, user: str) -> str:
        return str(self.database.one(f"SELECT id FROM {self.users} WHERE id <> %s ORDER BY id DESC", (user,)))


@pytest.fixture(params=["runbook", "inbox_zero"])
def world(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> World:
    if request.param == "runbook":
        database, users = Database(postgres.new_database(), tmp_path), "users"
        database.build()
        database.fill(users=12, accounts=20, premiums=3)
    else:
        database, users = MailShop(postgres.new_database(), tmp_path), '"User"'
        build(database)
    database.rows(TABLES.format(users=users) + ";" + ROWS.format(users=users))
    return World(database, users)


@pytest.fixture
def moved(world: World) -> World:
    made = world.call("org_schema")
    assert not made["failed"], made
    done = world.call("org_migration")
    assert not done["failed"], done
    return world


def found(answer: dict[str, t.Any]) -> dict[str, str]:
    """What is not ok, but for what is known of these people."""
    known = ("users_without_account",)
    return {
        one["name"]: one["result"]
        for one in answer["checks"]
        if one["result"] not in ("ok", "pending") and one["name"] not in known
    }


OWNERLESS: t.Final = {
    "resource Workflow": "finding",
    "resource Filter": "finding",
    "resource Step": "finding",
}


def test_four_times(world: World) -> None:
    looked = world.call("org_schema", check=True)
    made = world.call("org_schema")
    assert made.get("objects") == looked["objects"], made
    assert {"act": "make", "object": "index Step_filterId_idx"} in made["objects"]
    planned = world.call("org_migration", check=True)["counts"]
    assert planned["resource Step"]["ownerless"] == 2
    assert planned["resource Step"]["due"] == planned["resource Step"]["total"] - 2
    done = world.call("org_migration")
    assert not done["failed"], done
    assert world.astray() == []
    for kind in ("Workflow", "Filter", "Step"):
        assert done["created"][f"resource {kind}"] == planned[f"resource {kind}"]["due"]
    for check in (True, False):
        assert not world.call("org_migration", check=check)["changed"]
        assert not world.call("org_migration", check=check, state="swept")["changed"]
    assert found(world.call("org_integrity", plan=planned)) == OWNERLESS


def test_back_and_forth(moved: World) -> None:
    number = moved.linked()
    back = moved.call("org_migration", state="unlinked")
    assert not back["failed"], back
    assert sum(count for name, count in back["unlinked"].items() if name.startswith("resource")) == number
    assert moved.linked() == 0
    assert not moved.call("org_migration", state="unlinked")["changed"]
    assert not moved.call("org_migration")["failed"]
    assert (moved.linked(), moved.astray()) == (number, [])
    moved.call("org_migration", state="unlinked", keep_organizations=False)
    withdrawn = moved.call("org_schema", state="withdrawn")
    assert not withdrawn["failed"], withdrawn


class TestTriggers:
    """What the old release does while the organizations are there."""

    def test_new_rows_of_somebody_who_has_an_organization(self, moved: World) -> None:
        box, user = moved.box()
        moved.database.rows(
            """INSERT INTO "Workflow" VALUES ('new', %(user)s);
               INSERT INTO "Filter" VALUES (900, %(box)s);
               INSERT INTO "Step" (label, "filterId") VALUES ('new', 900)""",
            {"box": box, "user": user},
        )
        assert moved.astray() == []

    def test_everything_in_the_transaction_of_a_sign_up(self, moved: World) -> None:
        moved.database.rows(
            f"""INSERT INTO {moved.users} (id, email, "createdAt", "updatedAt")
                VALUES ('n', 'n', now(), now());
                {_NEW_BOX[moved.users]}
                INSERT INTO "Filter" VALUES (900, 'n');
                INSERT INTO "Step" (label, "filterId") VALUES ('new', 900);
                INSERT INTO "Workflow" VALUES ('new', 'n')"""
        )
        assert moved.astray() == []

    def test_an_account_that_changes_hands_takes_along_what_hangs_on_it(self, moved: World) -> None:
        box, user = moved.box()
        moved.database.rows('UPDATE "EmailAccount" SET "userId" = %s WHERE id = %s', (moved.other(user), box))
        assert moved.astray() == []
        assert found(moved.call("org_integrity")) == OWNERLESS

    def test_what_somebody_holds_meanwhile_is_taken_by_the_sweep(self, moved: World) -> None:
        box, user = moved.box()
        holder = moved.database.connect()
        holder.autocommit = False
        with holder.cursor() as cursor:
            cursor.execute('SELECT id FROM "Filter" WHERE "boxId" = %s LIMIT 1 FOR UPDATE', (box,))
            kept = cursor.fetchall()[0][0]
        moved.database.rows('UPDATE "EmailAccount" SET "userId" = %s WHERE id = %s', (moved.other(user), box))
        holder.rollback()
        holder.close()
        assert [one[:2] for one in moved.astray()] == [("f", str(kept))]
        assert found(moved.call("org_integrity"))["wrong_links resource Filter"] == "failed"
        repaired = moved.call("org_repair", case="wrong_links")
        assert repaired["repaired"] == [f"Filter {kept}"]
        assert moved.astray() == []

    def test_a_row_that_is_hung_elsewhere(self, moved: World) -> None:
        box, user = moved.box()
        elsewhere = moved.database.one(
            'SELECT id FROM "EmailAccount" WHERE "userId" <> %s ORDER BY id DESC', (user,)
        )
        moved.database.rows(
            """UPDATE "Filter" SET "boxId" = %s
                WHERE id = (SELECT min(id) FROM "Filter" WHERE "boxId" = %s)""",
            (elsewhere, box),
        )
        assert moved.astray() == []

    def test_an_account_that_changes_hands_on_the_way_back(self, moved: World) -> None:
        box, user = moved.box()
        home = identity.organization_id(user)
        busy = moved.database.connect()
        busy.autocommit = False
        with busy.cursor() as cursor:
            cursor.execute('SELECT 1 FROM "Step" WHERE "orgId" = %s FOR UPDATE', (home,))
            started = moved.call("org_migration", state="unlinked", wait_seconds=1)
            cursor.execute('UPDATE "EmailAccount" SET "userId" = %s WHERE id = %s', (moved.other(user), box))
        busy.commit()
        busy.close()
        ended = moved.call("org_migration", state="unlinked", follow=started.get("job", ""))
        assert ended["finished"], ended
        assert moved.linked() == 0


_NEW_BOX: t.Final = {
    "users": """INSERT INTO "EmailAccount" (id, email, "userId", "createdAt", "updatedAt")
                VALUES ('n', 'n', 'n', now(), now());""",
    '"User"': """INSERT INTO "Account" VALUES ('n', 'n', 'google');
                 INSERT INTO "EmailAccount" (id, email, "userId", "accountId", "updatedAt")
                 VALUES ('n', 'n', 'n', 'n', now());""",
}


def test_a_row_that_is_left_out_is_found_and_repaired(moved: World) -> None:
    moved.database.rows("""UPDATE "Step" SET "orgId" = NULL WHERE "filterId" = 1""")
    assert found(moved.call("org_integrity"))["resource Step"] == "failed"
    assert len(moved.call("org_repair", case="late_users")["repaired"]) == 2
    assert moved.astray() == []


def test_one_whose_account_is_not_there_is_an_orphan(moved: World) -> None:
    moved.database.rows(
        """ALTER TABLE "Filter" DROP CONSTRAINT "Filter_boxId_fkey";
           INSERT INTO "Filter" VALUES (901, 'nothing');
           INSERT INTO "Step" (label, "filterId") VALUES ('x', 901)"""
    )
    answer = moved.call("org_integrity")
    assert found(answer) == {**OWNERLESS, "orphans": "failed"}
    assert next(one["ids"] for one in answer["checks"] if one["name"] == "orphans") == ["Filter 901"]
    assert moved.call("org_migration", check=True)["counts"]["resource Step"]["orphans"] == 1
