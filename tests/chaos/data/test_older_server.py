# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL 15: the whole data step, four times, with the old application writing, and back."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from integration.conftest import Postgres
from integration.tenancy_world import Database
from integration.test_org_migration import OldApplication, wrong


@pytest.fixture
def database(postgres_15: Postgres, tmp_path: Path) -> Database:
    made = Database(postgres_15.new_database(), tmp_path)
    made.build()
    made.fill(users=300, accounts=800, premiums=60)
    assert made.one("SELECT current_setting('server_version_num')").startswith("15")
    return made


def test_each_step_four_times(database: Database) -> None:
    for module in ("org_schema", "org_migration"):
        assert database.call(module, check=True)["changed"]
        assert database.call(module)["changed"]
        assert not database.call(module, check=True)["changed"]
        assert not database.call(module)["changed"]
    assert wrong(database) == []
    assert database.call("org_integrity", grace_seconds=0)["result"] == "ok"


def test_there_and_back_while_the_old_application_writes(database: Database) -> None:
    assert not database.call("org_schema")["failed"]
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(OldApplication(database, seed)) for seed in range(3)]
        assert database.call("org_migration", grace_seconds=0, batch_rows=50)["finished"]
    assert [writer.errors for writer in writers] == [[], [], []]
    assert not database.call("org_migration", state="swept", grace_seconds=0)["failed"]
    assert wrong(database) == []
    assert not database.call("org_migration", state="unlinked")["failed"]
    assert database.one('SELECT count(*) FROM "EmailAccount" WHERE "organizationId" IS NOT NULL') == 0
    assert database.one('SELECT count(*) FROM "Organization"') > 0
