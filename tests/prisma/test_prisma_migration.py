# SPDX-License-Identifier: GPL-3.0-or-later
"""prisma_migration with a real Prisma on a real server: guarded, proven by the catalog, taken back."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import typing as t

import pytest

from prisma.conftest import CASCADE, INIT, ORGANIZATIONS, World

KEY = '"EmailAccount_organizationId_fkey"'


def test_deploy_four_times_and_back(world: World) -> None:
    """Check, real, check, real; the way back, twice; and in again. Nothing drifts."""
    world.add_organizations()
    looked = world.call(check=True)
    assert looked["changed"]
    assert [one["name"] for one in looked["pending"]] == [ORGANIZATIONS]
    assert any(line.startswith('CREATE TABLE "Organization"') for line in looked["pending"][0]["statements"])
    assert world.applied() == [INIT]
    made = world.call(run_id="r1")
    assert not made["failed"], made["msg"]
    assert made["diff"] == looked["diff"]
    assert world.applied() == [INIT, ORGANIZATIONS]
    for check in (True, False):
        again = world.call(check=check)
        assert (again["failed"], again["changed"], again["objects"]) == (False, False, [])
    rest = world.database.call("org_schema")
    assert [one["act"] for one in rest["objects"] if one["act"] == "make"] == []
    assert world.database.rows("SELECT migration_name, status FROM migration_log") == [
        ("multi_tenant_schema", "completed")
    ]
    assert world.drift() == ([], [])
    refused = world.call("withdrawn")
    assert "these stand: " in refused["msg"]
    assert not world.database.call("org_schema", state="withdrawn")["failed"]
    assert world.call("withdrawn", check=True)["changed"]
    assert world.call("withdrawn")["changed"]
    assert not world.call("withdrawn")["changed"]
    assert world.applied() == [INIT]
    # Whoever asks Prisma hears the same.
    assert ORGANIZATIONS in world.status().partition("not yet been applied")[2]
    assert world.call()["changed"]
    assert "Database schema is up to date" in world.status()


def test_after_the_built_in_strategy_prisma_is_told(world: World) -> None:
    world.add_organizations()
    early = world.call("resolved", names=[ORGANIZATIONS])
    assert "it makes type OrganizationRole" in early["msg"]
    world.database.call("org_schema", state="indexed")
    looked = world.call("resolved", check=True, names=[ORGANIZATIONS])
    assert looked["changed"]
    assert world.applied() == [INIT]
    told = world.call("resolved", names=[ORGANIZATIONS])
    assert (told["failed"], told["changed"], told["delete_actions"]) == (False, True, [])
    for check in (True, False):
        assert not world.call("resolved", check=check, names=[ORGANIZATIONS])["changed"]
    assert world.applied() == [INIT, ORGANIZATIONS]
    assert world.drift() == ([], [])
    assert not world.database.call("org_schema", state="withdrawn")["failed"]
    assert world.call("withdrawn", names=[ORGANIZATIONS])["changed"]
    assert world.applied() == [INIT]


def test_a_cascade_of_the_folder_is_the_only_drift_and_is_named(world: World) -> None:
    key = KEY + ' FOREIGN KEY ("organizationId") '
    world.add_organizations(key + CASCADE.replace("CASCADE", "RESTRICT"), key + CASCADE)
    schema = world.project.folder / "prisma" / "schema.prisma"
    schema.write_text(schema.read_text().replace("onDelete: Restrict", "onDelete: Cascade", 1))
    world.database.call("org_schema", state="indexed")
    told = world.call("resolved", names=[ORGANIZATIONS])
    assert told["delete_actions"] == [
        "EmailAccount_organizationId_fkey is ON DELETE RESTRICT, CASCADE in the migration: write onDelete:"
        " Restrict in the model EmailAccount"
    ]
    beside, lacking = world.drift()
    assert [KEY in line and "ON DELETE RESTRICT" in line for line in beside] == [True]
    assert [KEY in line and "ON DELETE CASCADE" in line for line in lacking] == [True]


def test_what_nobody_can_prove_is_not_called_applied(world: World) -> None:
    world.add_organizations(
        more='ALTER TABLE "Rule" ADD COLUMN "createdBy" TEXT;\nUPDATE "Rule" SET enabled = true;'
    )
    world.database.call("org_schema", state="indexed")
    answer = world.call("resolved", names=[ORGANIZATIONS])
    assert "column Rule.createdBy, which is not there" in answer["msg"]
    assert 'nobody can tell whether this is done: UPDATE "Rule"' in answer["msg"]
    assert world.applied() == [INIT]


def test_a_folder_without_an_index_is_refused_by_name(world: World) -> None:
    world.add_organizations('CREATE INDEX "Premium_organizationId_idx" ON "Premium"("organizationId");')
    answer = world.call()
    assert answer["missing"] == ["index Premium_organizationId_idx"]


@pytest.mark.parametrize("held", ["lock", "failed", "others"])
def test_it_does_not_begin_while_something_is_in_the_way(world: World, held: str) -> None:
    world.add_organizations()
    with contextlib.closing(world.database.connect("npx")) as session, session.cursor() as cursor:
        options: dict[str, t.Any] = {}
        if held == "lock":
            cursor.execute("SELECT pg_advisory_lock(72707369)")
            sentence = f"its lock 72707369 is held by pid {session.info.backend_pid} (npx, idle)"
        elif held == "failed":
            cursor.execute(
                "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', 'x', 'torn')"
            )
            sentence = "torn failed before"
        else:
            world.project.add("20260101000000_else", "SELECT 1;")
            options["names"] = [ORGANIZATIONS]
            sentence = "these wait as well, and were not named: 20260101000000_else"
        for check in (True, False):
            assert sentence in world.call(check=check, **options)["msg"]
    assert world.database.one("SELECT to_regnamespace('emailai_migration') IS NULL")
    assert world.applied() == [INIT]


def test_a_lock_is_not_waited_for_and_not_left_as_a_failure(world: World) -> None:
    world.add_organizations('CREATE TYPE "OrganizationRole"', 'SELECT 1; CREATE TYPE "OrganizationRole"')
    folder = world.project.migrations / ORGANIZATIONS / "migration.sql"
    text = folder.read_text()
    # The first object needs the lock: nothing stands when it is met.
    column = 'ALTER TABLE "EmailAccount" ADD COLUMN     "organizationId" TEXT;'
    folder.write_text(column + "\n" + text.replace(column, "").replace("SELECT 1; ", ""))
    with contextlib.closing(world.database.connect()) as session, session.cursor() as cursor:
        session.autocommit = False
        cursor.execute('SELECT count(*) FROM "EmailAccount"')
        answer = world.call(deadline_seconds=0)
        assert "a lock it needs was not free for 50 ms in 1 tries" in answer["msg"]
        assert world.database.rows("SELECT status FROM migration_log") == [("failed",)]
        threading.Thread(target=lambda: (time.sleep(2), session.rollback())).start()
        answer = world.call(deadline_seconds=120)
    assert not answer["failed"], answer["msg"]
    assert world.applied() == [INIT, ORGANIZATIONS]


def test_the_password_is_in_no_command_line_and_in_no_answer(world: World) -> None:
    """A stand-in for the program: it tells what it was given."""
    world.add_organizations()
    spy = world.project.folder / "spy.sh"
    spy.write_text('#!/bin/sh\necho "$0 $*" > said; echo "Error: $DATABASE_URL, $DIRECT_URL" >&2; exit 3\n')
    spy.chmod(0o755)
    answer = world.call(command=[str(spy)])
    password = world.database.target.password
    assert "it ended with 3 and said: Error: postgresql://********" in answer["msg"]
    assert password not in json.dumps(answer)
    assert (world.project.folder / "said").read_text().split()[1:] == ["migrate", "deploy"]
    spy.write_text("#!/bin/sh\nexit 0\n")
    assert "Prisma works on another database" in world.call(command=[str(spy)])["msg"]


def test_a_migration_that_met_a_lock_half_way_is_not_tried_again(world: World) -> None:
    """Through this driver Prisma sends statements one by one: the type stands when the table is locked."""
    world.add_organizations()
    with contextlib.closing(world.database.connect()) as session, session.cursor() as cursor:
        session.autocommit = False
        cursor.execute('SELECT count(*) FROM "EmailAccount"')
        answer = world.call()
    assert "it met a lock when type OrganizationRole stood already" in answer["msg"]
    assert world.applied() == [INIT]
    assert f"{ORGANIZATIONS} failed before" in world.call()["msg"]
