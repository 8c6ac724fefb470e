# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever may not do the work is told at once what he lacks, right by right, and nothing is begun."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from integration.conftest import Postgres
from integration.tenancy_world import Database
from lab.ground import free_port, short_root
from lab.postgres import Server


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> Database:
    made = Database(postgres.new_database(), tmp_path)
    made.build()
    made.fill(users=20, accounts=40, premiums=3)
    return made


def url_of(target: Target) -> str:
    return f"postgresql://{target.user}:{target.password}@{target.host}:{target.port}/{target.dbname}"


def refused(answer: dict[str, t.Any], *words: str) -> None:
    assert answer["failed"]
    for word in (*words, "Nothing was changed"):
        assert word in answer["msg"], answer["msg"]


def untouched(database: Database) -> bool:
    return bool(
        database.one(
            "SELECT to_regnamespace('emailai_migration') IS NULL AND to_regclass('migration_log') IS NULL"
        )
    )


def test_each_right_of_the_owner_is_named(postgres: Postgres, database: Database) -> None:
    role = postgres.new_role(f"plain_{database.target.dbname}").for_database(database.target.dbname)
    database.rows(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role.user}")
    plain = Database(role, Path(database.folder))
    refused(
        plain.call("org_schema"), f"{role.user} lacks", "CREATE on this database", "CREATE on schema public",
        "ownership of users", "ownership of EmailAccount", "ownership of Premium", "owner of the tables",
    )  # fmt: skip
    assert untouched(database)
    database.call("org_schema")
    refused(plain.call("org_migration"), "Cannot move the data", "ownership of users")
    assert database.one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'emailai%'") == 0


def test_each_right_of_the_writer_is_named(postgres: Postgres, database: Database) -> None:
    role = postgres.new_role(f"writer_{database.target.dbname}").for_database(database.target.dbname)
    database.rows(
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role.user}; GRANT UPDATE ON users TO {role.user}"
    )
    database.call("org_schema")
    writer = Database(role, Path(database.folder))
    answer = writer.call("org_migration", owner_url=url_of(database.target))
    refused(answer, "UPDATE on EmailAccount", "UPDATE on Premium", "The writer needs SELECT, UPDATE on")
    assert "UPDATE on users" not in answer["msg"].partition("The writer needs")[0]
    assert database.one("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'emailai%'") == 0


def test_a_session_that_may_only_read_is_told(database: Database) -> None:
    database.rows(f"ALTER DATABASE {database.target.dbname} SET default_transaction_read_only = on")
    refused(database.call("org_schema"), "its sessions may only read", "default_transaction_read_only")
    assert database.call("org_schema", check=True)["changed"]
    assert untouched(database)


def test_a_standby_gives_the_plan_and_is_not_written(postgres: Postgres, database: Database) -> None:
    standby = Server(short_root() / f"emailai-standby-{database.target.dbname}", free_port(), fsync=False)
    try:
        standby.create_replica(postgres.server, f"slot_{database.target.dbname}")
        standby.start()
        there = Database(replace(database.target, port=standby.port), Path(database.folder))
        planned = there.call("org_migration", check=True)
        assert "Organizations to create: 20" in planned["plan"]["table"]
        refused(there.call("org_schema"), "this server is a standby", "Give the address of the primary")
    finally:
        standby.remove()
        postgres.server.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
            values=(f"slot_{database.target.dbname}",),
        )
    assert untouched(database)
