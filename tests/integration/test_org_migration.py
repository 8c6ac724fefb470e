# SPDX-License-Identifier: GPL-3.0-or-later
"""org_migration under a real old application: nothing lost, nothing doubled, nobody disturbed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import blockers, identity, model
from ansible_collections.emailai.migration.plugins.module_utils._tenancy.fingerprint import (
    differences,
    fingerprint,
)
from integration.tenancy_world import Database, call
from integration.writer import Act, Writer
from lab.ground import wait_until

STATE = """
SELECT 'o', o::text FROM "Organization" o UNION ALL SELECT 'm', m::text FROM "OrganizationMember" m
UNION ALL SELECT 'a', a::text FROM "EmailAccount" a UNION ALL SELECT 'p', p::text FROM "Premium" p ORDER BY
1, 2
"""


@pytest.fixture
def database(postgres: t.Any, tmp_path: Path) -> Database:
    made = Database(postgres.new_database(), tmp_path)
    made.build()
    return made


def expanded(database: Database, **people: int) -> Database:
    database.fill(**people)
    assert not database.call("org_schema")["failed"]
    return database


class OldApplication(Writer):
    """The release before, on the runbook's schema."""

    own_keys = ("EmailAccount_userId_fkey", "Premium_userId_fkey")

    def __init__(self, database: Database, seed: int, application: str = "old app") -> None:
        super().__init__(database, seed, application)
        self.users: list[str] = []

    def acts(self) -> list[Act]:
        return [
            self._sign_up,
            self._sign_up_slowly,
            self._relink,
            self._buy,
            self._cancel,
            self._delete,
            self._rename,
        ]

    def _new(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.seed}-{self.number}-{self.random.random()}"

    def _user(self, cursor: t.Any) -> str:
        user = self._new("n")
        cursor.execute(
            "INSERT INTO users VALUES (%s, %s, 'New One', now(), now())", (user, f"{user}@example.org")
        )
        return user

    def _account(self, cursor: t.Any, user: str) -> None:
        account = self._new("b")
        cursor.execute(
            """INSERT INTO "EmailAccount" (id, email, "userId", "updatedAt") VALUES (%s, %s, %s, now())""",
            (account, account, user),
        )

    def _sign_up(self, cursor: t.Any) -> None:
        user = self._user(cursor)
        self._account(cursor, user)
        self._account(cursor, user)
        self.users.append(user)

    def _sign_up_slowly(self, cursor: t.Any) -> None:
        user = self._user(cursor)
        cursor.connection.commit()
        self.users.append(user)
        self._account(cursor, user)

    def _somebody(self, cursor: t.Any) -> str:
        cursor.execute("SELECT id FROM users OFFSET %s LIMIT 1", (self.random.randrange(30),))
        found = cursor.fetchone()
        return str(found[0]) if found else ""

    def _relink(self, cursor: t.Any) -> None:
        user = self._somebody(cursor)
        cursor.execute(
            """UPDATE "EmailAccount" SET "userId" = %s WHERE id =
               (SELECT id FROM "EmailAccount" OFFSET %s LIMIT 1)""",
            (user, self.random.randrange(60)),
        )

    def _buy(self, cursor: t.Any) -> None:
        cursor.execute(
            """INSERT INTO "Premium" (id, "userId", "updatedAt") VALUES (%s, %s, now())""",
            (self._new("p"), self._somebody(cursor)),
        )

    def _cancel(self, cursor: t.Any) -> None:
        cursor.execute(
            """UPDATE "Premium" SET "userId" = %s WHERE id = (SELECT id FROM "Premium" OFFSET %s LIMIT 1)""",
            (self.random.choice([None, self._somebody(cursor)]), self.random.randrange(10)),
        )

    def _delete(self, cursor: t.Any) -> None:
        cursor.execute("DELETE FROM users WHERE id = %s", (self._somebody(cursor),))

    def _rename(self, cursor: t.Any) -> None:
        cursor.execute("UPDATE users SET name = 'Other' WHERE id = %s", (self._somebody(cursor),))


def wrong(database: Database) -> list[t.Any]:
    """Rows that are not as the rule wants them, asked in another way than the product asks."""
    users = [user for (user,) in database.rows("SELECT id FROM users")]
    members = database.rows('SELECT "userId", "organizationId", id, role::text FROM "OrganizationMember"')
    faults: list[t.Any] = []
    expected = {(user, identity.organization_id(user), identity.member_id(user), "OWNER") for user in users}
    faults += [("membership", one) for one in expected.symmetric_difference(members)]
    organizations = {key for (key,) in database.rows('SELECT id FROM "Organization"')}
    for table in ("EmailAccount", "Premium"):
        for key, owner, link in database.rows(f'SELECT id, "userId", "organizationId" FROM "{table}"'):
            if owner is not None and link != identity.organization_id(owner):
                faults.append((table, key, owner, link))
    kept = {
        link
        for (link,) in database.rows('SELECT "organizationId" FROM "Premium" WHERE "userId" IS NULL')
        if link
    }
    return faults + [("organization", key) for key in organizations - {one[1] for one in expected} - kept]


def deadlocks(database: Database) -> int:
    return int(database.one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))


def set_aside(database: Database) -> list[t.Any]:
    return database.rows("SELECT table_name, row_key, sqlstate, message FROM emailai_migration.quarantine")


def test_the_plan_names_who_is_in_the_way_now(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    expanded(database)
    monkeypatch.setattr(blockers, "LONG_SECONDS", 0.2)
    with contextlib.closing(database.connect("nightly report")) as holder, holder.cursor() as cursor:
        pid = holder.info.backend_pid
        cursor.execute("BEGIN; UPDATE users SET name = 'x' WHERE id IN (SELECT id FROM users LIMIT 1)")
        time.sleep(0.3)
        plan = database.call("org_migration", check=True)["plan"]
        [seen] = [
            one for one in plan["blockers"] if one["who"].startswith(f"pid {pid} (nightly report, user")
        ]
        assert seen["state"] == "idle in transaction"
        assert "users RowExclusiveLock" in seen["locks"]
        assert f"pid {pid} (nightly report" in plan["table"].partition("In the way now")[2]
        cursor.execute("ROLLBACK")
    plan = database.call("org_migration", check=True)["plan"]
    assert plan["blockers"] == []
    assert "In the way now" not in plan["table"]


def test_the_old_application_goes_on_and_nothing_is_lost(database: Database) -> None:
    expanded(database, users=600, accounts=1600, premiums=200)
    before = deadlocks(database)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(OldApplication(database, seed)) for seed in range(4)]
        time.sleep(0.5)
        first = database.call("org_migration", grace_seconds=0, batch_rows=50)
        time.sleep(1)
    assert not first["failed"], first
    assert [writer.errors for writer in writers] == [[], [], [], []]
    assert deadlocks(database) == before
    assert sum(writer.done for writer in writers) > 200
    swept = database.call("org_migration", state="swept", grace_seconds=0)
    assert not swept["failed"], swept
    assert wrong(database) == [], (swept, set_aside(database))
    there = {user for (user,) in database.rows("SELECT id FROM users")}
    assert len(there & {user for writer in writers for user in writer.users}) > 20
    assert database.call("org_integrity", grace_seconds=0, acknowledged={"premiums": "test"})["may_go_on"]


def test_four_times(database: Database) -> None:
    expanded(database, users=50, accounts=120, premiums=20)
    assert database.call("org_migration", check=True)["changed"]
    assert database.one('SELECT count(*) FROM "Organization"') == 0
    done = database.call("org_migration")
    assert done["changed"]
    assert done["created"] == {"users": 50, "accounts": 120, "premiums": 20}
    assert "Email accounts linked: 120 / 120 (100%)" in done["summary"]
    assert not database.call("org_migration", check=True)["changed"]
    again = database.call("org_migration")
    assert not again["changed"]
    assert "Organizations created: 50 / 50 (100%)" in again["summary"]
    assert database.rows("SELECT status FROM migration_log WHERE migration_name = 'multi_tenant_data'") == [
        ("completed",)
    ]


def test_the_runbooks_figures(database: Database) -> None:
    expanded(database, users=1250, accounts=3420, premiums=450)
    done = database.call("org_migration", cost={"users": 2, "accounts": 1, "premiums": 4})
    assert not done["failed"], done
    assert done["predicted"] == 2 * 1.25 + 1 * 3.42 + 4 * 0.45
    log = Path(database.folder, "migration.log").read_text()
    for line in ("Organizations created: 1,250 / 1,250 (100%)", "All premium subscriptions linked"):
        assert line in log


def test_the_plan_is_true_before_the_schema_with_a_reader(postgres: t.Any, database: Database) -> None:
    database.fill(users=1250, accounts=3420, premiums=440, ownerless=10)
    name = f"reader_{database.target.dbname}"
    reader = postgres.new_role(name).for_database(database.target.dbname)
    database.rows(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    answer = Database(reader, database.folder).call("org_migration", check=True)
    assert not answer["failed"], answer
    table = answer["plan"]["table"]
    assert "Organizations to create: 1,250" in table
    assert "10 without owner" in table
    assert answer["counts"]["premiums"]["due"] == 440
    narrow = Database(reader, database.folder).call(
        "org_migration", check=True, cost={"users": 1, "accounts": 1, "premiums": 1}
    )
    assert narrow["plan"]["seconds_to"] - narrow["plan"]["seconds_from"] < 20
    assert "not measured" not in narrow["plan"]["table"]


def test_check_mode_writes_nothing(database: Database) -> None:
    """Measured where a write cannot hide: rows counted by the server, and its write-ahead log."""
    expanded(database, users=200, accounts=500, premiums=50)
    counted = """
        SELECT pg_stat_force_next_flush(), tup_inserted, tup_updated, tup_deleted
          FROM pg_stat_database WHERE datname = current_database()
    """
    calls: list[tuple[str, dict[str, t.Any]]] = [
        ("org_schema", {"state": "indexed"}),
        ("org_migration", {}),
        ("org_migration", {"state": "swept"}),
        ("org_migration", {"state": "unlinked"}),
        ("org_integrity", {}),
        ("org_schema", {"state": "withdrawn"}),
        ("org_schema", {"state": "contracted"}),
        ("org_repair", {"case": "late_users"}),
    ]
    for module, options in calls:
        database.call(module, check=True, **options)  # sets hint bits, which are written on their own
    database.rows("CHECKPOINT")
    for _attempt in range(5):
        rows, position = database.rows(counted), database.one("SELECT pg_current_wal_insert_lsn()")
        for module, options in calls:
            database.call(module, check=True, **options)
        moved = database.one("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", (position,))
        written = database.rows(counted) != rows
        if moved == 0 and not written:
            break  # the server's own housekeeping (its ANALYZE, too) may write at any attempt, not at each
    assert moved == 0
    assert not written
    database.rows("UPDATE users SET name = 'control' WHERE id = (SELECT min(id) FROM users)")
    assert database.one("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", (position,)) > 0


def test_a_killed_worker_is_resumed_to_the_same_end(
    postgres: t.Any, database: Database, tmp_path: Path
) -> None:
    other = Database(postgres.new_database(), tmp_path / "other")
    other.build()
    for one in (database, other):
        expanded(one, users=800, accounts=2000, premiums=100)
    assert not other.call("org_migration")["failed"]
    database.rows(
        "INSERT INTO emailai_migration.control (wanted, batch_rows, pace, changed_by) VALUES ('run',"
        " 50, 0.02, 'test')"
    )
    kills = 0
    reached = ""
    for _round in range(3):
        answer = database.call("org_migration", wait_seconds=0.6)
        assert not answer["failed"], answer
        assert not answer["finished"]
        pid = database.one("SELECT pid FROM emailai_migration.lease WHERE name = 'move'")
        os.kill(pid, signal.SIGKILL)
        kills += 1
        time.sleep(0.1)
        found = database.rows(
            "SELECT position->>'last', done FROM emailai_migration.progress WHERE task = 'users'"
        )
        last, done = found[0] if found else ("", 0)
        assert done == database.one("SELECT count(*) FROM users WHERE id <= %s", (last,)), "counted twice"
        assert last >= reached
        reached = last
    half = database.one('SELECT count(*) FROM "Organization"')
    assert 0 < half < 800 or database.one('SELECT count("organizationId") FROM "EmailAccount"') < 2000
    assert reached
    database.rows("DELETE FROM emailai_migration.control")
    done = database.call("org_migration")
    assert done["finished"], done
    assert kills == 3
    assert database.rows(STATE) == other.rows(STATE)
    assert done["created"]["users"] == 800


def test_a_second_call_attaches_and_another_state_is_refused(database: Database) -> None:
    expanded(database, users=400, accounts=800, premiums=10)
    database.rows("INSERT INTO emailai_migration.control (wanted, changed_by) VALUES ('pause', 'Ada')")
    first = database.call("org_migration", wait_seconds=0.8)
    assert not first["finished"]
    assert "paused by Ada" in first["line"]
    second = database.call("org_migration", wait_seconds=0.1)
    assert second["job"] == first["job"]
    refused = database.call("org_migration", state="swept")
    assert refused["failed"]
    assert "works on this database" in refused["msg"]
    database.rows("UPDATE emailai_migration.control SET wanted = 'run'")
    ended = database.call("org_migration", follow=first["job"])
    assert ended["finished"], ended
    assert ended["created"]["users"] == 400


def test_the_writer_writes_rows_and_the_owner_makes_triggers(postgres: t.Any, tmp_path: Path) -> None:
    """The writer needs no more than rows: neither CREATE nor a table of its own."""
    owner, writer = postgres.new_role("owner_of_tables"), postgres.new_role("writer_of_rows")
    made = postgres.new_database(owner.user)
    database = Database(made, tmp_path)
    database.build()
    database.rows(f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO {writer.user}")
    expanded(database, users=30, accounts=60, premiums=5)
    database.rows(
        f"""CREATE FUNCTION only_the_writer() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN IF session_user <> '{writer.user}' THEN RAISE 'written by %', session_user; END IF;
            RETURN NEW; END $$;
            CREATE TRIGGER only_the_writer BEFORE UPDATE ON "EmailAccount" FOR EACH ROW
            EXECUTE FUNCTION only_the_writer()"""
    )
    rights = {
        "login_user": writer.user,
        "login_password": writer.password,
        "owner_url": f"postgresql://{made.user}:{made.password}@{made.host}:{made.port}/other",
    }
    moved = database.call("org_migration", **rights)
    assert not moved["failed"], moved["msg"]
    assert moved["created"] == {"users": 30, "accounts": 60, "premiums": 5}
    assert wrong(database) == []
    assert database.call("org_migration", state="unlinked", **rights)["unlinked"]["accounts"] == 60
    assert database.one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'emailai%%'", ()) == 0


def test_a_role_that_cannot_see_every_row_is_refused(postgres: t.Any, tmp_path: Path) -> None:
    """Row security spares the owner; for the writer the hidden rows would simply not be there."""
    owner, writer = postgres.new_role("owner_of_policies"), postgres.new_role("writer_behind_policies")
    made = postgres.new_database(owner.user)
    database = Database(made, tmp_path)
    database.build()
    database.rows(f"GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO {writer.user}")
    expanded(database, users=3, accounts=3, premiums=1)
    database.rows(
        """ALTER TABLE "EmailAccount" ENABLE ROW LEVEL SECURITY;
           CREATE POLICY few ON "EmailAccount" USING (email < 'box2')"""
    )
    rights = {
        "login_user": writer.user,
        "login_password": writer.password,
        "owner_url": f"postgresql://{made.user}:{made.password}@{made.host}:{made.port}/other",
    }
    told = call(
        "org_integrity",
        replace(made, user=writer.user, password=writer.password),
        scope="before",
        rights="writer",
    )
    assert "missing: BYPASSRLS for EmailAccount" in str(told)
    for is_check in (True, False):
        refused = database.call("org_migration", check=is_check, **rights)
        assert "row security hides rows of EmailAccount from this role" in refused["msg"], is_check
    assert database.one('SELECT count(*) FROM "Organization"') == 0
    assert database.call("org_migration")["finished"]


def test_the_way_back_takes_the_place_of_the_way_forth(database: Database) -> None:
    expanded(database, users=400, accounts=800, premiums=10)
    database.rows("INSERT INTO emailai_migration.control (wanted, batch_rows, pace) VALUES ('run', 50, 0.02)")
    first = database.call("org_migration", wait_seconds=0.5)
    assert not first["finished"]
    database.rows("DELETE FROM emailai_migration.control")
    back = database.call("org_migration", state="unlinked")
    assert back["finished"], back
    assert "taken the lease over" in database.call("org_migration", follow=first["job"])["msg"]
    assert database.one('SELECT count("organizationId") FROM "EmailAccount"') == 0
    assert database.one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'emailai%%'", ()) == 0
    time.sleep(1)
    assert not database.call("org_migration", state="unlinked", check=True)["changed"]


def test_abort_ends_the_work_and_the_next_call_goes_on(database: Database) -> None:
    expanded(database, users=400, accounts=800, premiums=10)
    database.rows("INSERT INTO emailai_migration.control (wanted, changed_by) VALUES ('abort', 'Ada')")
    answer = database.call("org_migration")
    assert answer["failed"]
    assert answer["msg"].count("Ada asked to abort") == 1
    assert database.rows("SELECT status FROM migration_log WHERE migration_name = 'multi_tenant_data'") == [
        ("in_progress",)
    ]
    database.rows("DELETE FROM emailai_migration.control")
    assert database.call("org_migration")["finished"]
    assert wrong(database) == []


def test_workers_share_a_pass_and_a_killed_one_is_resumed_in_its_parts(database: Database) -> None:
    expanded(database, users=600, accounts=1500, premiums=60, ownerless=5)
    assert database.call("org_migration", workers=1)["finished"]
    alone = database.rows(STATE)
    database.call("org_migration", state="unlinked", keep_organizations=False)

    database.rows("INSERT INTO emailai_migration.control (wanted, batch_rows, pace) VALUES ('run', 50, 0.05)")
    first = database.call("org_migration", workers=3, batch_rows=50, wait_seconds=0)
    parts = "SELECT count(*) FROM emailai_migration.progress WHERE task LIKE 'users%%' AND done > 0"
    wait_until(lambda: database.one(parts, ()) == 3, 20, "three workers at work")
    assert not first["finished"]
    os.kill(database.one("SELECT pid FROM emailai_migration.lease WHERE name = 'move'"), signal.SIGKILL)
    database.rows("DELETE FROM emailai_migration.control")
    ended = database.call("org_migration", workers=1)
    assert ended["finished"], ended
    assert database.rows(STATE) == alone
    assert wrong(database) == []
    assert database.one("SELECT count(*) FROM emailai_migration.progress WHERE task LIKE '%%part%%'", ()) == 0


def test_one_worker_that_fails_stops_the_others(database: Database) -> None:
    expanded(database, users=600, accounts=900, premiums=10)
    database.rows("INSERT INTO emailai_migration.control (wanted, batch_rows, pace) VALUES ('run', 50, 0.05)")
    first = database.call("org_migration", workers=3, batch_rows=50, wait_seconds=0.5)
    database.rows("UPDATE emailai_migration.control SET wanted = 'abort', changed_by = 'Ada'")
    told = database.call("org_migration", follow=first["job"])
    assert told["msg"].count("Ada asked to abort") == 1
    database.rows("DELETE FROM emailai_migration.control")
    assert database.call("org_migration")["finished"]
    assert wrong(database) == []


def test_a_zombie_worker_cannot_write(database: Database) -> None:
    expanded(database, users=400, accounts=800, premiums=10)
    database.rows("INSERT INTO emailai_migration.control (wanted, batch_rows, pace) VALUES ('run', 50, 0.02)")
    answer = database.call("org_migration", wait_seconds=0.5)
    database.rows("UPDATE emailai_migration.lease SET epoch = epoch + 1")
    frozen = database.rows(STATE)
    time.sleep(1.2)
    assert database.rows(STATE) == frozen
    told = database.call("org_migration", follow=answer["job"])
    assert told["failed"]
    assert "taken the lease over" in told["msg"]


def test_back_and_forth_gives_identical_rows(database: Database) -> None:
    expanded(database, users=100, accounts=260, premiums=30, ownerless=3)
    with session(database.target, "test") as connection:
        before = fingerprint(connection, model.load("runbook", None))
    database.call("org_migration")
    first = database.rows(STATE)
    back = database.call("org_migration", state="unlinked")
    assert back["unlinked"] == {"accounts": 260, "premiums": 30}
    assert back["rows_before"] == back["rows_after"]
    assert back["organizations_kept"] == 100
    assert database.one('SELECT count("organizationId") FROM "EmailAccount"') == 0
    assert not database.call("org_migration", state="unlinked")["changed"]
    assert database.call("org_integrity", triggers="off")["checks"][-3]["result"] == "ok"
    database.call("org_migration")
    assert database.rows(STATE) == first
    removed = database.call("org_migration", state="unlinked", keep_organizations=False)
    assert removed["organizations_removed"] == 100
    with session(database.target, "test") as connection:
        assert differences(before, fingerprint(connection, model.load("runbook", None))) == []
    database.call("org_migration")
    assert database.rows(STATE) == first


def test_a_row_that_changes_hands_while_links_are_taken_back_keeps_none(database: Database) -> None:
    """The application goes on relinking; a link left behind would stand in the way of the withdrawal."""
    expanded(database, users=20, accounts=40, premiums=2)
    database.call("org_migration")
    account, owner = database.rows('SELECT id, "userId" FROM "EmailAccount" ORDER BY id DESC LIMIT 1')[0]
    busy = database.connect()
    busy.autocommit = False
    with busy.cursor() as cursor:
        cursor.execute('SELECT 1 FROM "EmailAccount" WHERE id = %s FOR UPDATE', (account,))
        started = database.call("org_migration", state="unlinked", wait_seconds=0.2)
        wait_until(
            lambda: database.one('SELECT count("organizationId") FROM "EmailAccount"') == 1,
            20,
            "the rest to be unlinked",
        )
        cursor.execute(
            'UPDATE "EmailAccount" SET "userId" = (SELECT min(id) FROM users WHERE id <> %s) WHERE id = %s',
            (owner, account),
        )
        cursor.execute("INSERT INTO users VALUES ('late', 'l@x.org', 'Late', now(), now())")
    busy.commit()
    busy.close()
    ended = database.call("org_migration", state="unlinked", follow=started["job"])
    assert ended["finished"], ended
    assert database.one('SELECT count("organizationId") FROM "EmailAccount"') == 0
    assert database.one('SELECT count(*) FROM "Organization"') == 20, "a sign-up on the way back made one"


def test_a_fingerprint_sees_one_changed_value(database: Database) -> None:
    expanded(database, users=20, accounts=30, premiums=3)
    names = model.load("runbook", None)
    with session(database.target, "test", autocommit=True) as connection:
        before = fingerprint(connection, names)
        database.rows("""UPDATE users SET name = 'x' WHERE id = (SELECT min(id) FROM users)""")
        assert [one.split(" ")[0] for one in differences(before, fingerprint(connection, names))] == [
            "public.users"
        ]


def test_a_link_that_somebody_set_stays(database: Database) -> None:
    """Only what the rule gives is ours to take back."""
    expanded(database, users=5, accounts=10, premiums=1)
    database.call("org_migration")
    database.rows("""INSERT INTO "Organization" VALUES ('team', 'Team', 'team', now(), now());
                     UPDATE "EmailAccount" SET "organizationId" = 'team'
                      WHERE id = (SELECT min(id) FROM "EmailAccount")""")
    assert database.call("org_migration", state="unlinked")["unlinked"] == {"accounts": 9, "premiums": 1}
    assert database.rows('SELECT DISTINCT "organizationId" FROM "EmailAccount" ORDER BY 1') == [
        ("team",),
        (None,),
    ]


def test_a_young_user_is_left_alone_by_the_pass(database: Database) -> None:
    expanded(database, users=5, accounts=5, premiums=1)
    database.rows("INSERT INTO users VALUES ('young', 'y@x.org', 'Young', now(), now())")
    database.rows("INSERT INTO users VALUES ('clock', 'z@x.org', 'Wrong', now() + interval '1 year', now())")
    done = database.call("org_migration")
    assert done["counts"]["users"] == {"total": 7, "done": 6, "pending": 1, "due": 0}


def test_organizations_in_use_are_kept(database: Database) -> None:
    expanded(database, users=5, accounts=5, premiums=1)
    database.call("org_migration")
    home = database.one('SELECT min("organizationId") FROM "OrganizationMember"')
    database.rows(
        """INSERT INTO "OrganizationMember" SELECT 'guest', u.id, %s, 'MEMBER', now(), now() FROM users u
            WHERE NOT EXISTS (SELECT 1 FROM "OrganizationMember" m WHERE m."userId" = u.id AND
            m."organizationId" = %s)
            LIMIT 1""",
        (home, home),
    )
    back = database.call("org_migration", state="unlinked", keep_organizations=False)
    assert back["organizations_removed"] == 4, back
    assert database.rows('SELECT id FROM "Organization"') == [(home,)]
    assert database.one('SELECT count(*) FROM "EmailAccount"') == 5


def test_an_open_transaction_makes_the_end_inconclusive(database: Database) -> None:
    """It may still commit a row that no sweep has seen."""
    expanded(database, users=20, accounts=40, premiums=2)
    victim = database.one("SELECT min(id) FROM users")
    late = database.connect("slow client")
    late.autocommit = False
    with late.cursor() as cursor:
        cursor.execute("CREATE TABLE something_else ()")
    answer = database.call("org_migration", horizon_seconds=1)
    assert answer["failed"]
    assert "inconclusive" in answer["msg"]
    assert "slow client" in answer["msg"]
    late.rollback()
    late.close()
    assert database.call("org_migration")["finished"]
    assert database.one('SELECT "organizationId" FROM "OrganizationMember" WHERE "userId" = %s', (victim,))


@pytest.mark.parametrize("state", ["moved", "unlinked"])
def test_a_table_that_grows_at_its_end_is_walked_to_an_end(database: Database, state: str) -> None:
    """Keys as cuid() makes them, the later the greater, and more of them than a slow pass takes."""
    expanded(database, users=20, accounts=200, premiums=2)
    if state == "unlinked":
        database.call("org_migration")
    database.rows("DELETE FROM emailai_migration.control")
    database.rows("INSERT INTO emailai_migration.control (wanted, batch_rows, pace) VALUES ('run', 10, 0.1)")
    over = threading.Event()

    def grow() -> None:
        with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
            for number in range(1_000_000):
                if over.wait(0.002):
                    return
                cursor.execute(
                    """INSERT INTO "EmailAccount" SELECT 'z' || lpad(%s, 9, '0'), 'z' || %s,
                       min(id), now(), now() FROM users""",
                    (str(number), str(number)),
                )

    growing = threading.Thread(target=grow)
    growing.start()
    try:
        began = time.monotonic()
        answer = database.call("org_migration", state=state, workers=1, wait_seconds=60)
        took = time.monotonic() - began
    finally:
        over.set()
        growing.join()
    assert answer["finished"], answer
    assert took < 30
    wanted = 0 if state == "moved" else database.one('SELECT count(*) FROM "EmailAccount"')
    assert database.one('SELECT count(*) FROM "EmailAccount" WHERE "organizationId" IS NULL') == wanted


def test_a_row_committed_behind_the_cursor_is_swept(database: Database) -> None:
    """Its trigger fired before its user had an organization; it commits after the pass went by."""
    expanded(database, users=20, accounts=40, premiums=2)
    database.call("org_migration")
    database.call("org_migration", state="unlinked", keep_organizations=False)
    user = database.one("SELECT min(id) FROM users")
    late = database.connect("slow client")
    late.autocommit = False
    database.rows("INSERT INTO emailai_migration.control (wanted, changed_by) VALUES ('pause', 'test')")
    started = database.call("org_migration", wait_seconds=1)
    with late.cursor() as cursor:
        cursor.execute("""INSERT INTO "EmailAccount" VALUES ('0late', 'late', %s, now(), now())""", (user,))
    database.rows("DELETE FROM emailai_migration.control")
    threading.Timer(1.0, late.commit).start()
    ended = database.call("org_migration", follow=started["job"])
    late.close()
    assert ended["swept"]["accounts"] == 1, ended
    assert wrong(database) == []


def test_a_bad_row_is_set_aside_and_the_rest_goes_on(database: Database) -> None:
    expanded(database, users=100, accounts=300, premiums=10)
    database.rows("""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                     BEGIN RAISE EXCEPTION 'this row is cursed'; END $$;
                     CREATE TRIGGER cursed BEFORE UPDATE ON "EmailAccount" FOR EACH ROW
                     WHEN (OLD.email = 'box77@example.com') EXECUTE FUNCTION refuse()""")
    done = database.call("org_migration")
    assert done["quarantined"] == 1, done
    assert database.one('SELECT count(*) FROM "EmailAccount" WHERE "organizationId" IS NULL') == 1
    assert database.rows("SELECT table_name, sqlstate, message FROM emailai_migration.quarantine") == [
        ("EmailAccount", "P0001", "this row is cursed")
    ]
    verified = database.call("org_integrity")
    assert [c["name"] for c in verified["checks"] if c["result"] != "ok"] == ["quarantine"]


@pytest.mark.parametrize("is_member", ["somewhere", "nowhere", "at home"])
def test_a_sign_up_is_linked_where_it_became_a_member(database: Database, is_member: str) -> None:
    """Decided at its commit, when its accounts are there already."""
    expanded(database, users=3, accounts=3, premiums=1)
    database.call("org_migration")
    after = {
        # A new release without its mark.
        "somewhere": """INSERT INTO "Organization" VALUES ('theirs', 'x', 'x', now(), now());
            INSERT INTO "OrganizationMember" VALUES ('m', 'new', 'theirs', 'OWNER', now(), now())""",
        # Somebody has the key of the membership that is to be made.
        "nowhere": f"""UPDATE "OrganizationMember" SET id = '{identity.member_id("new")}'
            WHERE id = (SELECT min(id) FROM "OrganizationMember")""",
        "at home": "SELECT",
    }[is_member]
    database.rows(
        f"""INSERT INTO users VALUES ('new', 'new@example.com', 'New', now(), now());
            INSERT INTO "EmailAccount" VALUES ('one', 'one@x', 'new', now(), now()),
                                              ('two', 'two@x', 'new', now(), now());
            INSERT INTO "Premium" (id, "userId", "updatedAt") VALUES ('pro', 'new', now());
            {after}"""
    )
    home = {"somewhere": "theirs", "nowhere": None, "at home": identity.organization_id("new")}[is_member]
    linked = """SELECT "organizationId" FROM "EmailAccount" WHERE "userId" = 'new'
                UNION ALL SELECT "organizationId" FROM "Premium" WHERE "userId" = 'new'"""
    assert database.rows(linked) == [(home,)] * 3
    joined = """SELECT "organizationId" FROM "OrganizationMember" WHERE "userId" = 'new'"""
    assert database.rows(joined) == ([(home,)] if home else [])


def test_a_slug_taken_by_hand_gets_a_longer_suffix(database: Database) -> None:
    expanded(database, users=5, accounts=5, premiums=1)
    user, name, email = database.rows("SELECT id, name, email FROM users ORDER BY id LIMIT 1")[0]
    taken = identity.slug(user, name, email)
    database.rows("""INSERT INTO "Organization" VALUES ('hand-made', 'x', %s, now(), now())""", (taken,))
    database.rows("""INSERT INTO "OrganizationMember" SELECT 'mm', id, 'hand-made', 'OWNER', now(), now()
                       FROM users WHERE id <> %s LIMIT 1""", (user,))  # fmt: skip
    assert not database.call("org_migration")["failed"]
    made = database.one('SELECT slug FROM "Organization" WHERE id = %s', (identity.organization_id(user),))
    assert made == identity.slug(user, name, email, identity.LONG_SUFFIX)
    assert len(made) <= 50


def test_sql_and_python_follow_one_rule(database: Database) -> None:
    names = [
        None,
        "",
        "  ",
        "Ada Lovelace",
        "Zoë Ångström",
        "李小龍",
        "a" * 200,
        "--",
        "O'Neil & Sons",
        "Ünï 100%",
    ]
    for number, name in enumerate(names):
        database.rows(
            "INSERT INTO users VALUES (%s, %s, %s, now() - interval '1 day', now())",
            (f"id-{number}'\"%", f"Mail.Box+{number}@example.com", name),
        )
    database.call("org_schema")
    database.call("org_migration")
    found = database.rows(
        """SELECT u.id, u.name, u.email, o.id, o.slug, o.name, m.id FROM users u
             JOIN "OrganizationMember" m ON m."userId" = u.id JOIN "Organization" o ON o.id =
             m."organizationId" """
    )
    assert len(found) == len(names)
    for user, name, email, organization, slug, title, member in found:
        assert organization == identity.organization_id(user)
        assert member == identity.member_id(user)
        assert slug == identity.slug(user, name, email)
        assert title == identity.organization_name(name, email)


class TestTriggers:
    """What a sign-up of each release gives, once the triggers are there."""

    @pytest.fixture
    def moved(self, database: Database) -> Database:
        expanded(database, users=3, accounts=3, premiums=1)
        database.call("org_migration")
        return database

    def sign_up(
        self, database: Database, application: str, statements: list[str], one_by_one: bool = False
    ) -> None:
        connection = database.connect(application)
        connection.autocommit = one_by_one
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        if not one_by_one:
            connection.commit()
        connection.close()

    USER = "INSERT INTO users VALUES ('fresh', 'f@x.org', 'Fresh', now(), now())"
    ACCOUNT = """INSERT INTO "EmailAccount" VALUES ('box', 'box@x.org', 'fresh', now(), now())"""

    @pytest.mark.parametrize("one_by_one", [True, False])
    def test_a_sign_up_of_the_old_release(self, moved: Database, one_by_one: bool) -> None:
        another = self.ACCOUNT.replace("box", "box2")
        self.sign_up(moved, "old", [self.USER, self.ACCOUNT, another], one_by_one)
        homes = moved.rows("""SELECT "organizationId" FROM "EmailAccount" WHERE "userId" = 'fresh'""")
        assert homes == [(identity.organization_id("fresh"),)] * 2
        assert wrong(moved) == []

    def test_the_new_release_makes_its_own_in_one_transaction(self, moved: Database) -> None:
        own = [
            """INSERT INTO "Organization" VALUES ('own', 'Own', 'own', now(), now())""",
            """INSERT INTO "OrganizationMember" VALUES ('m', 'fresh', 'own', 'OWNER', now(), now())""",
        ]
        self.sign_up(moved, "unmarked", [self.USER, *own, self.ACCOUNT])
        assert moved.rows(
            """SELECT "organizationId" FROM "OrganizationMember" WHERE "userId" = 'fresh'"""
        ) == [("own",)]
        assert moved.one("""SELECT "organizationId" FROM "EmailAccount" WHERE id = 'box'""") == "own"

    def test_the_marked_release_in_two_transactions_is_left_alone_and_pending(self, moved: Database) -> None:
        self.sign_up(moved, "emailai-orgs web", [self.USER, self.ACCOUNT], one_by_one=True)
        assert moved.one("""SELECT count(*) FROM "OrganizationMember" WHERE "userId" = 'fresh'""") == 0
        assert not moved.call("org_migration", state="swept")["changed"]
        checks = {one["name"]: one for one in moved.call("org_integrity")["checks"]}
        assert (checks["users"]["result"], checks["users"]["pending"]) == ("pending", 1)
        assert (checks["accounts"]["result"], checks["accounts"]["pending"]) == ("pending", 1)
        assert moved.call("org_integrity", grace_seconds=0)["result"] == "failed"
        assert moved.call("org_migration", state="swept", grace_seconds=0)["changed"]
        assert wrong(moved) == []

    def test_an_account_follows_its_new_owner(self, moved: Database) -> None:
        account, owner = moved.rows('SELECT id, "userId" FROM "EmailAccount" ORDER BY id LIMIT 1')[0]
        other = moved.one("SELECT id FROM users WHERE id <> %s LIMIT 1", (owner,))
        moved.rows('UPDATE "EmailAccount" SET "userId" = %s WHERE id = %s', (other, account))
        assert wrong(moved) == []

    def test_the_old_release_may_delete_a_user_and_the_sweep_removes_what_is_left(
        self, moved: Database
    ) -> None:
        moved.rows("DELETE FROM users WHERE id = (SELECT min(id) FROM users)")
        assert moved.call("org_integrity")["result"] == "ok"
        assert moved.call("org_migration", state="swept", check=True)["changed"]
        assert moved.call("org_migration", state="swept")["swept"]["organizations removed"] == 1
        assert moved.one('SELECT count(*) FROM "Organization"') == 2
        assert not moved.call("org_migration", state="swept")["changed"]

    def test_a_role_without_rights_on_the_new_tables_can_sign_up(
        self, postgres: t.Any, moved: Database
    ) -> None:
        name = f"app_{moved.target.dbname}"
        application = postgres.new_role(name).for_database(moved.target.dbname)
        moved.rows(f'GRANT INSERT, SELECT ON users, "EmailAccount" TO {name}')
        self.sign_up(Database(application), "old", [self.USER, self.ACCOUNT])
        assert wrong(moved) == []

    def test_users_are_never_touched(self, moved: Database) -> None:
        assert moved.one("SELECT count(*) FROM users WHERE \"updatedAt\" > now() - interval '1 hour'") == 0
