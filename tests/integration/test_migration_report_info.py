# SPDX-License-Identifier: GPL-3.0-or-later
"""What migration_report_info reads out of a journal: all of one run, and nothing of others."""

from __future__ import annotations

import json
import typing as t

import pytest
from unit.report.sample import RUN, document

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target, session
from integration.report_world import TABLES, fill, insert, read


@pytest.fixture
def database(postgres: t.Any) -> Target:
    target: Target = postgres.new_database()
    fill(target)
    return target


def test_the_document_is_what_the_phases_left(database: Target) -> None:
    found, sample = read(database)["document"], document()
    for part in TABLES:
        known = (
            sample[part]
            if part != "events"
            else [{**row, "id": found["events"][0]["id"]} for row in sample["events"]]
        )
        assert [{**row} for row in found[part]] == known
    assert found["run"]["id"] == RUN
    assert found["run"]["server"].startswith("PostgreSQL ")
    json.dumps(found)


def test_reading_writes_nothing_and_needs_only_reading(postgres: t.Any, database: Target) -> None:
    role = postgres.new_role("report_reader")
    with session(database, "test") as connection, connection.cursor() as cursor:
        cursor.execute("GRANT USAGE ON SCHEMA emailai_migration TO report_reader")
        cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA emailai_migration TO report_reader")
        connection.commit()
    reader = role.for_database(database.dbname)
    assert read(reader)["document"] == read(database)["document"]


def test_the_newest_run_is_taken_unless_one_is_named(database: Target) -> None:
    later = {
        **document()["run"],
        "id": "v1.9.0..v2.0.0-orgs#2",
        "number": 2,
        "started_at": "2030-06-01T00:00:00Z",
    }
    with session(database, "test") as connection, connection.cursor() as cursor:
        insert(
            cursor,
            "run",
            {
                name: value
                for name, value in later.items()
                if name not in ("database", "database_name", "server")
            },
        )
        connection.commit()
    assert read(database)["document"]["run"]["id"] == "v1.9.0..v2.0.0-orgs#2"
    assert read(database)["document"]["phases"] == []
    assert read(database, RUN)["document"]["run"]["id"] == RUN
    with pytest.raises(
        MigrationError, match="Cannot read run v9: the journal of this database knows no such run"
    ):
        read(database, "v9")


def test_rows_of_another_database_are_not_this_run(database: Target) -> None:
    with session(database, "test") as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE emailai_migration.phase SET database = 'copy' WHERE name = 'verify'")
        connection.commit()
    assert "verify" not in [row["name"] for row in read(database)["document"]["phases"]]


def test_a_database_without_a_journal_is_a_sentence(postgres: t.Any) -> None:
    with pytest.raises(MigrationError, match="Cannot read the journal: this database has none"):
        read(postgres.new_database())


def test_the_claims_of_a_message_come_from_the_journal(database: Target) -> None:
    found = read(database)
    assert found["proven"]["accounts_preserved"]
    assert not found["proven"]["restored"]
    assert found["writes_lost_since"] == ""
