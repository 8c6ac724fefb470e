# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of the way back: done once, whole, and never while an old release is connected."""

from __future__ import annotations

import contextlib
import typing as t
from pathlib import Path

import pytest

from integration.tenancy_world import Database

_DEPRECATED: dict[str, t.Any] = {"deprecated": [{"table": "Premium", "column": "userId"}]}
_TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'emailai%%'"


@pytest.fixture
def database(postgres: t.Any, tmp_path: Path) -> Database:
    made = Database(postgres.new_database(), tmp_path)
    made.build()
    made.fill(10, 20, 5)
    assert not made.call("org_schema")["failed"]
    assert not made.call("org_migration")["failed"]
    return made


def test_contract_four_times(database: Database) -> None:
    database.rows("""INSERT INTO "Premium" (id, "updatedAt") VALUES ('ownerless', now())""")
    looked = database.call("org_schema", check=True, state="contracted", map=_DEPRECATED)
    assert looked["changed"]
    assert "Premium.organizationId stays nullable: 1 rows" in looked["warnings_found"][0]
    done = database.call("org_schema", state="contracted", map=_DEPRECATED)
    assert [one["object"] for one in done["objects"]] == [
        "sync triggers and their functions",
        "column EmailAccount.organizationId",
        "column Premium.userId",
    ]
    assert database.one("""SELECT attnotnull FROM pg_attribute WHERE attname = 'organizationId'
                             AND attrelid = '"EmailAccount"'::regclass""")  # fmt: skip
    assert database.one(_TRIGGERS, ()) == 0
    with contextlib.closing(database.connect("emailai-app")):
        for check in (True, False):
            again = database.call("org_schema", check=check, state="contracted", map=_DEPRECATED)
            assert (again["failed"], again["changed"]) == (False, False)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", ["emailai-app", "", "an emailai-orgs of another kind"])
def test_contract_is_refused_while_an_old_release_is_connected(
    database: Database, name: str, check: bool
) -> None:
    before = database.one(_TRIGGERS, ())
    with contextlib.closing(database.connect(name)) as connection:
        pid = connection.info.backend_pid
        refused = database.call("org_schema", check=check, state="contracted")
    assert refused["failed"]
    who = f"{name or 'unnamed'} ({database.target.user}, pid {pid}, since 2"
    assert refused["msg"].startswith("Cannot contract the schema: 1 sessions without the mark emailai-orgs")
    assert who in refused["msg"]
    assert "Bring every server to the new release" in refused["msg"]
    assert before == database.one(_TRIGGERS, ()) > 0


def test_the_new_release_and_clients_that_are_none_do_not_hold_it_up(database: Database) -> None:
    with contextlib.ExitStack() as stack:
        for name in ("emailai-orgs", "emailai-orgs web.3", "exporter 9"):
            stack.enter_context(contextlib.closing(database.connect(name)))
        assert database.call("org_schema", check=True, state="contracted")["failed"]
        done = database.call("org_schema", state="contracted", other_clients=["exporter"])
    assert (done["failed"], done["changed"]) == (False, True)


def test_a_plain_role_sees_whoever_is_connected(postgres: t.Any, database: Database) -> None:
    """What the server hides from it of the others' sessions must not look like nobody."""
    name = f"plain_{database.target.dbname}"
    plain = Database(postgres.new_role(name).for_database(database.target.dbname), database.folder)
    database.rows(f"GRANT USAGE ON SCHEMA emailai_migration TO {name}")
    database.rows(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    assert not plain.call("org_schema", check=True, state="contracted")["failed"]
    with contextlib.closing(database.connect("emailai-app")):
        assert "emailai-app (" in plain.call("org_schema", check=True, state="contracted")["msg"]


def test_triggers_that_an_interrupted_attempt_took_down_do_not_stop_the_next(database: Database) -> None:
    assert not database.call("org_schema", state="contracted")["failed"]
    assert database.call("org_integrity")["result"] == "failed"
    assert database.call("org_integrity", triggers="any")["result"] == "ok"
