# SPDX-License-Identifier: GPL-3.0-or-later
"""A replica that falls behind is given way, and what it tells meanwhile is no answer."""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from integration.conftest import Postgres
from integration.tenancy_world import Database
from lab.ground import free_port, short_root, wait_until
from lab.postgres import Server

# Batches so small that the work is still under way when the replica has caught up.
_CONTROL = "INSERT INTO emailai_migration.control (wanted, batch_rows, changed_by) VALUES ('run', 20, 'test')"
_WANTED = "UPDATE emailai_migration.control SET wanted = %s"
_REASONS = "SELECT DISTINCT coalesce(reason, '') FROM emailai_migration.progress WHERE state = 'running'"
# More than the mark at which a replica's lag slows the work.
_WRITE_80_MIB = (
    "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1048576)) FROM generate_series(1, 80)"
)
_USERS = 5000


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> Database:
    made = Database(postgres.new_database(), tmp_path)
    made.build()
    made.fill(users=_USERS, accounts=500, premiums=10)
    assert not made.call("org_schema")["failed"]
    made.rows(_CONTROL)
    return made


@pytest.fixture
def standby(postgres: Postgres, database: Database) -> t.Iterator[Server]:
    slot = f"slot_{database.target.dbname}"
    server = Server(short_root() / f"emailai-standby-{database.target.dbname}", free_port(), fsync=False)
    of_slot = "FROM pg_replication_slots WHERE slot_name = %s"
    try:
        server.create_replica(postgres.server, slot)
        server.start()
        yield server
    finally:
        server.remove()
        idle = f"SELECT NOT active {of_slot}"
        wait_until(
            lambda: all(free for (free,) in postgres.server.execute(idle, values=(slot,))), 10, "the slot"
        )
        postgres.server.execute(f"SELECT pg_drop_replication_slot(slot_name) {of_slot}", values=(slot,))


def test_a_replica_that_falls_behind_is_given_way_and_gives_no_answer(
    database: Database, standby: Server
) -> None:
    there = Database(replace(database.target, port=standby.port), Path(database.folder))
    # From its last transaction on it knows how far it is behind.
    database.rows(_WANTED, ("run",))
    catch_up(database, there)
    standby.execute("SELECT pg_wal_replay_pause()")
    database.rows(_WRITE_80_MIB)
    assert not database.call("org_migration", wait_seconds=0.1, grace_seconds=0)["finished"]
    wait_until(lambda: any(reasons(database)), 20, "a reason for being slow")
    assert all(reason.startswith("a replica is ") for reason in reasons(database)), reasons(database)
    # Held by hand, it still listens to the signals.
    database.rows(_WANTED, ("pause",))

    behind = "SELECT clock_timestamp() - pg_last_xact_replay_timestamp() > interval '11 s'"
    wait_until(lambda: there.one(behind), 20, "a replica that is behind")
    old = integrity(there)
    assert old["result"] == "inconclusive"
    assert result_of(old, "users") == "inconclusive"
    assert result_of(old, "moment") == "inconclusive"
    assert "this standby is" in " ".join(old["advice"])

    standby.execute("SELECT pg_wal_replay_resume()")
    catch_up(database, there)
    # So many readings, half a second apart, must be calm.
    time.sleep(3)
    database.rows(_WANTED, ("run",))
    wait_until(lambda: reasons(database) == {""}, 10, "full speed")
    done = database.call("org_migration", wait_seconds=60, grace_seconds=0)
    assert done["finished"], done
    assert done["counts"]["users"] == {"total": _USERS, "done": _USERS, "pending": 0, "due": 0}
    catch_up(database, there)
    assert [integrity(one)["result"] for one in (database, there)] == ["ok", "ok"]

    # Received and replayed are the same on a standby that has lost its primary.
    standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
    standby.execute("SELECT pg_reload_conf()")
    wait_until(lambda: not there.one("SELECT count(*) FROM pg_stat_wal_receiver"), 10, "a lost connection")
    cut_off = integrity(there)
    assert cut_off["result"] == "inconclusive"
    assert "receives nothing from its primary" in " ".join(cut_off["advice"])


def reasons(database: Database) -> set[str]:
    return {reason for (reason,) in database.rows(_REASONS)}


def integrity(database: Database) -> dict[str, t.Any]:
    answer = database.call("org_integrity", grace_seconds=0)
    assert not answer["failed"], answer
    return answer


def result_of(answer: dict[str, t.Any], name: str) -> str:
    return str(next(check["result"] for check in answer["checks"] if check["name"] == name))


def catch_up(database: Database, there: Database) -> None:
    position = database.one("SELECT pg_current_wal_lsn()::text")
    wait_until(
        lambda: there.one("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (position,)),
        30,
        "a caught up replica",
    )
