# SPDX-License-Identifier: GPL-3.0-or-later
"""Two databases of one side are one run: each is moved and proven, the first keeps the journal."""

from __future__ import annotations

import typing as t
from pathlib import Path

import psycopg2
import pytest

from e2e.desk import Desk, Run
from lab import database, seed
from lab.migration import lost
from lab.whole import Lab

NAME = "emailai_prod_2"
_HOST = f"""\
all:
  children:
    prod:
      hosts:
        db-prod-2:
          lab_database_name: {NAME}
    database:
      hosts:
        db-prod-2:
"""
_HOMELESS = (
    "SELECT count(*) FROM public.users u WHERE NOT EXISTS"
    ' (SELECT 1 FROM public."OrganizationMember" m WHERE m."userId" = u.id AND m.role = \'OWNER\')'
)
_UNLINKED = 'SELECT count(*) FROM public."EmailAccount" WHERE "organizationId" IS NULL'


@pytest.fixture(scope="module")
def second(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second database on the same server, with other rows; gives the inventory that adds it."""
    server = Lab(desk.layout).databases.prod
    server.new_database(NAME, "emailai_owner")
    server.execute("ALTER SCHEMA public OWNER TO emailai_owner", dbname=NAME)
    database.load(server.address("emailai_owner", NAME), seed.make_staging())
    inventory = tmp_path_factory.mktemp("more") / "second.yml"
    inventory.write_text(_HOST)
    return inventory


@pytest.fixture
def users(desk: Desk) -> t.Iterator[None]:
    desk.lab("load", "start")
    yield
    desk.lab("load", "stop")
    assert desk.load_report()["failed"] == 0, desk.load_report()
    assert lost(desk.layout) == []


def _play(desk: Desk, second: Path, playbook: str, *words: str, **variables: t.Any) -> Run:
    return desk.play(playbook, "-i", "inventories/lab", "-i", str(second), *words, **variables)


def _value(desk: Desk, query: str) -> t.Any:
    """Of the second database."""
    server = Lab(desk.layout).databases.prod
    connection = psycopg2.connect(**server.address(dbname=NAME))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0]
    finally:
        connection.close()


def test_the_check_run_shows_both_and_writes_into_neither(desk: Desk, second: Path) -> None:
    run = _play(desk, second, "migrate.yml", "--check").must_succeed()
    assert "Users found: 1,250" in run.output
    assert f"Users found: {_value(desk, 'SELECT count(*) FROM public.users'):,}" in run.output
    assert _value(desk, "SELECT to_regnamespace('emailai_migration') IS NULL")


@pytest.mark.usefixtures("users")
def test_one_command_moves_both_and_its_repeat_changes_nothing(desk: Desk, second: Path) -> None:
    _play(desk, second, "migrate.yml").must_succeed()
    for query in (_HOMELESS, _UNLINKED):
        assert _value(desk, query) == 0
    assert desk.value(_UNLINKED) == 0
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    assert desk.value("SELECT state FROM emailai_migration.run") == "concluded"
    assert _value(desk, "SELECT count(*) FROM emailai_migration.run") == 0, (
        "the second keeps no run of its own"
    )
    again = _play(desk, second, "migrate.yml").must_succeed()
    assert set(again.changed.values()) == {0}, again.changed


def test_a_fault_in_the_second_is_found_and_repaired_there(desk: Desk, second: Path) -> None:
    Lab(desk.layout).databases.prod.execute(
        'DELETE FROM public."OrganizationMember" WHERE id ='
        ' (SELECT min(id) FROM public."OrganizationMember")',
        dbname=NAME,
    )
    repair = ("playbooks/repair.yml", "--tags", "late_users")
    seen = _play(desk, second, *repair, "--check").must_succeed()
    assert (seen.changed["db-prod-2"] > 0, seen.changed["db-prod"]) == (True, 0), seen.changed
    _play(desk, second, *repair).must_succeed()
    assert _value(desk, _HOMELESS) == 0


@pytest.mark.usefixtures("users")
def test_the_way_back_leads_back_in_both(desk: Desk, second: Path) -> None:
    _play(desk, second, "playbooks/roll_back.yml", migration_roll_back_depth="data").must_succeed()
    assert set(desk.releases().values()) == {"v1.9.0"}
    linked = 'SELECT count(*) FROM public."EmailAccount" WHERE "organizationId" IS NOT NULL'
    assert _value(desk, linked) == 0
    assert _value(desk, 'SELECT count(*) FROM public."Organization"') > 0
