# SPDX-License-Identifier: GPL-3.0-or-later
"""Readiness on a real server: each line is seen met, and seen open when its reason is really there."""

from __future__ import annotations

import time
import typing as t
from contextlib import contextmanager

import psycopg2
import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target, session
from ansible_collections.emailai.migration.plugins.modules import migration_readiness
from integration.call_module import Result, elsewhere, login, options

if t.TYPE_CHECKING:
    from integration.conftest import Postgres

NAMES = {
    "team_notified": "Ada",
    "maintenance_window": "Ada",
    "rollback_plan": "Joe",
    "on_call": "Joe",
    "communication": "Pam",
}
PRISMA = "migration_name text, started_at timestamptz, finished_at timestamptz, rolled_back_at timestamptz"


@pytest.fixture(scope="module")
def target(postgres: Postgres) -> Target:
    """One database for all: every test cleans up behind itself."""
    return postgres.new_database()


def read(target: Target, *checks: str, check_mode: bool = False, **more: t.Any) -> dict[str, Result]:
    given = {**login(target), **({"checks": list(checks)} if checks else {}), **more}
    result = migration_readiness.run(options("migration_readiness", **given), check_mode)
    assert result["changed"] is False
    return {line["item"]: line for line in result["readiness"]}


def judge(lines: dict[str, t.Any], check_mode: bool = False, **more: t.Any) -> Result:
    return migration_readiness.run(
        options("migration_readiness", state="judged", lines=lines, **more), check_mode
    )


def state(lines: dict[str, Result], item: str) -> tuple[str, str]:
    return lines[item]["state"], lines[item]["found"]


@contextmanager
def standing(target: Target, *statements: str) -> t.Iterator[psycopg2.extensions.connection]:
    """Somebody else's open transaction."""
    with session(target, "somebody else") as other:
        for statement in statements:
            other.cursor().execute(statement)
        yield other
        other.rollback()


@contextmanager
def changed(target: Target, there: str, back: str) -> t.Iterator[None]:
    for statement in (there, back):
        with session(target, "test", autocommit=True) as connection:
            connection.cursor().execute(statement)
        if statement == there:
            yield


def test_a_fit_database_at_a_good_time_is_ready(target: Target) -> None:
    lines = read(target, confirmations=NAMES, window={"preset": "us"}, now="2026-03-02T08:00:00Z")
    assert [line["item"] for line in lines.values() if line["state"] not in ("met", "due")] == []
    assert [line["item"] for line in lines.values() if line["state"] == "due"] == [
        "backup_created", "backup_tested", "migration_tested",
    ]  # fmt: skip
    assert judge({"db1": list(lines.values())})["refusal"] == ""
    assert read(
        target, check_mode=True, confirmations=NAMES, window={"preset": "us"}, now="2026-03-02T08:00Z"
    ).keys()


def test_a_wrong_password_is_one_open_line_and_no_secret(target: Target) -> None:
    lines = read(elsewhere(target, password="not-the-password"), "database", "connections", "disk")
    assert list(lines) == ["database reachable"]
    found_state, found = state(lines, "database reachable")
    assert found_state == "open"
    assert "password authentication failed" in found
    assert "not-the-password" not in found
    assert target.password not in found


def test_a_server_that_is_not_there_is_an_open_line(target: Target) -> None:
    assert state(read(elsewhere(target, port=1), "database"), "database reachable")[0] == "open"


def test_an_incomplete_address_is_an_open_line() -> None:
    lines = migration_readiness.run(options("migration_readiness", checks=["database"]), False)["readiness"]
    assert (lines[0]["state"], "no database is named" in lines[0]["found"]) == ("open", True)


def test_too_few_connections_for_our_workers_are_seen(target: Target) -> None:
    assert state(read(target, "connections"), "free connections")[0] == "met"
    assert state(read(target, "connections", workers=100), "free connections")[0] == "open"
    assert state(read(target, "connections", max_connection_share=0.01), "free connections")[0] == "open"


def settled(target: Target) -> None:
    """Sessions of the tests before may still be on their way out."""
    with session(target, "settling", autocommit=True) as connection:
        deadline = time.monotonic() + 20
        found = -1
        while found != 1 and time.monotonic() < deadline:
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            (found,) = cursor.fetchone() or (-1,)
            time.sleep(0.1)
    time.sleep(0.3)


def test_sessions_of_others_take_the_room(target: Target) -> None:
    settled(target)
    before = read(target, "connections", workers=1)["free connections"]["found"]
    with standing(target, "SELECT 1"), standing(target, "SELECT 1"):
        after = read(target, "connections", workers=1)["free connections"]["found"]
    room = [int(text.split("room for ")[1].split(":")[0]) for text in (before, after)]
    assert room[1] <= room[0] - 2


def test_the_limits_of_role_and_database_are_seen(postgres: Postgres) -> None:
    role = postgres.new_role("readiness_limited", "CONNECTION LIMIT 3")
    mine = postgres.new_database("readiness_limited")
    found_state, found = state(read(mine, "connections", workers=8), "free connections")
    assert (found_state, "the limit of role readiness_limited" in found) == ("open", True)
    assert state(read(mine, "connections", workers=2), "free connections")[0] == "met"
    there = f'ALTER DATABASE "{mine.dbname}" CONNECTION LIMIT 2'
    with changed(postgres.superuser, there, f'ALTER DATABASE "{mine.dbname}" CONNECTION LIMIT -1'):
        assert (
            "the limit of the database" in state(read(mine, "connections", workers=2), "free connections")[1]
        )
    assert role.user == "readiness_limited"


def test_a_failed_prisma_migration_is_named(target: Target) -> None:
    assert state(read(target, "prisma"), "failed Prisma migrations") == ("met", "no table _prisma_migrations")
    make = f"""
        CREATE TABLE public._prisma_migrations ({PRISMA});
        INSERT INTO public._prisma_migrations VALUES
               ('20250101_done', now(), now(), NULL), ('20250102_taken_back', now(), NULL, now())"""
    with changed(target, make, "DROP TABLE public._prisma_migrations"):
        assert state(read(target, "prisma"), "failed Prisma migrations") == ("met", "none")
        with session(target, "test", autocommit=True) as connection:
            connection.cursor().execute(
                "INSERT INTO public._prisma_migrations VALUES ('20250103_torn', now())"
            )
        assert state(read(target, "prisma"), "failed Prisma migrations") == ("open", "failed: 20250103_torn")


def test_prisma_is_looked_for_where_the_application_lives(target: Target) -> None:
    make = f"""
        CREATE SCHEMA "we'ird"; CREATE TABLE "we'ird"._prisma_migrations ({PRISMA});
        INSERT INTO "we'ird"._prisma_migrations VALUES ('torn', now())"""
    with changed(target, make, """DROP SCHEMA "we'ird" CASCADE"""):
        assert state(read(target, "prisma"), "failed Prisma migrations")[0] == "met"
        assert state(read(target, "prisma", schema="we'ird"), "failed Prisma migrations")[0] == "open"


def test_what_may_not_be_read_is_open(postgres: Postgres, target: Target) -> None:
    poor = postgres.new_role("readiness_poor").for_database(target.dbname)
    make = f"CREATE TABLE public._prisma_migrations ({PRISMA})"
    with changed(target, make, "DROP TABLE public._prisma_migrations"):
        lines = read(poor, "prisma", "connections", "disk", "transactions")
    assert "permission denied" in state(lines, "failed Prisma migrations")[1]
    assert state(lines, "failed Prisma migrations")[0] == "open"
    assert state(lines, "free connections")[0] == "met"
    assert state(lines, "free disk space")[0] == "not_watched"
    assert state(lines, "long transactions")[0] == "not_watched"


def test_a_long_transaction_is_named(target: Target) -> None:
    assert state(read(target, "transactions"), "long transactions") == ("met", "none")
    with standing(target, "SELECT 1"):
        found_state, found = state(
            read(target, "transactions", max_transaction_seconds=0), "long transactions"
        )
        assert found_state == "open"
        assert "emailai.migration somebody else" in found
        assert state(read(target, "transactions"), "long transactions")[0] == "met"


def test_a_prepared_transaction_is_named(target: Target) -> None:
    with session(target, "test", autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; CREATE TABLE public.half (id int); PREPARE TRANSACTION 'forgotten'")
        try:
            found = state(read(target, "transactions", max_transaction_seconds=0), "long transactions")
        finally:
            cursor.execute("ROLLBACK PREPARED 'forgotten'")
    assert (found[0], "prepared forgotten" in found[1]) == ("open", True)


@pytest.mark.parametrize(
    ("mode", "expected"), [("ROW EXCLUSIVE", "met"), ("SHARE", "open"), ("ACCESS EXCLUSIVE", "open")]
)
def test_a_strong_lock_is_named_and_the_applications_own_are_not(
    target: Target, mode: str, expected: str
) -> None:
    with changed(target, "CREATE TABLE public.busy (id int)", "DROP TABLE public.busy"):
        with standing(target, f"LOCK TABLE public.busy IN {mode} MODE"):
            found_state, found = state(read(target, "locks"), "locks on tables")
        assert found_state == expected
        assert ("on busy" in found) == (expected == "open")
        assert state(read(target, "locks"), "locks on tables")[0] == "met"


def test_the_disk_is_read_where_the_server_runs(target: Target) -> None:
    lines = read(target, "disk")
    assert lines["free disk space"]["state"] == "met"
    assert "statvfs of " in lines["free disk space"]["read_by"]
    assert state(read(target, "disk", disk_factor=1e12), "free disk space")[0] == "open"
    assert state(read(target, "disk", database_bytes=2**60), "free disk space")[0] == "open"


def test_the_disk_may_be_told_and_labelled(target: Target) -> None:
    lines = read(target, "disk", disk_free_bytes=1, label="staging")
    assert state(lines, "free disk space on staging") == ("open", "1 B")
    assert state(read(target, "disk", disk_free_bytes=2**50), "free disk space")[0] == "met"


@pytest.mark.parametrize(
    ("now", "expected"), [("2026-03-02T02:30:00Z", "met"), ("2026-03-02T12:00:00Z", "open")]
)
def test_the_window_is_judged_by_the_time_given(target: Target, now: str, expected: str) -> None:
    lines = read(target, "window", window={"preset": "eu"}, now=now)
    assert state(lines, "inside the maintenance window")[0] == expected


def test_a_time_that_is_none_is_refused(target: Target) -> None:
    with pytest.raises(MigrationError, match="tomorrow is not ISO 8601"):
        read(target, "window", now="tomorrow")


def test_each_confirmation_is_missed(target: Target) -> None:
    for item in NAMES:
        names = {key: name for key, name in NAMES.items() if key != item}
        lines = read(target, "confirmations", confirmations=names)
        assert [line["item"] for line in lines.values() if line["state"] == "open"] == [item]


def test_a_database_that_may_not_be_written_is_read_all_the_same(postgres: Postgres, target: Target) -> None:
    name = f'ALTER DATABASE "{target.dbname}"'
    setting = "default_transaction_read_only"
    with changed(postgres.superuser, f"{name} SET {setting} = on", f"{name} RESET {setting}"):
        assert {line["state"] for line in read(target, confirmations=NAMES).values()} == {"met", "due"}


def test_judging_refuses_by_name_and_in_check_mode_only_says_so(target: Target) -> None:
    lines = {"db1": list(read(target, "window", "confirmations").values())}
    with pytest.raises(MigrationError) as caught:
        judge(lines, contacts={"product_manager": "Pam"})
    assert str(caught.value).startswith(
        "Cannot begin the migration: 5 of 6 readiness lines are open: team_notified"
    )
    assert "ask the product manager, Pam" in str(caught.value)
    foreseen = judge(lines, check_mode=True, contacts={"product_manager": "Pam"})
    assert foreseen["refusal"] == str(caught.value)
    assert foreseen["open_items"] == list(NAMES)
    assert "how it was read" in foreseen["text"].splitlines()[0]


def test_what_cannot_be_watched_takes_a_name(postgres: Postgres, target: Target) -> None:
    poor = postgres.target("readiness_poor", target.dbname)
    lines = {"db1": list(read(poor, "disk").values())}
    with pytest.raises(MigrationError, match="Accept by name with readiness_accepted"):
        judge(lines)
    assert judge(lines, accepted={"free disk space": "Joe"})["counts"]["accepted"] == 1
