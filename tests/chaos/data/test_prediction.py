# SPDX-License-Identifier: GPL-3.0-or-later
"""What check mode predicts from a few pages is what the run then takes."""

from __future__ import annotations

import itertools
import re
import typing as t
from pathlib import Path

import pytest
from psycopg2 import sql

from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import session
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import counts, sample
from ansible_collections.emailai.migration.plugins.module_utils._tenancy import model as models
from integration import preset_world
from integration.conftest import Postgres
from integration.tenancy_world import Database

_PEOPLE = {"users": 3000, "accounts": 6000, "premiums": 600}
# Whoever comes first has an organization already: of the pages some have nothing to do.
_HALF = """
WITH half AS (SELECT id FROM users ORDER BY id LIMIT 1500), made AS (
    INSERT INTO "Organization" (id, name, slug, "createdAt", "updatedAt")
    SELECT 'by hand ' || id, id, 'by-hand-' || id, now(), now() FROM half)
INSERT INTO "OrganizationMember" (id, "userId", "organizationId", role, "createdAt", "updatedAt")
SELECT 'by hand ' || id, id, 'by hand ' || id, 'OWNER', now(), now() FROM half
"""


class Copies:
    """Databases like one another, each expanded and with statistics, as a restored copy has them."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self._postgres, self._folder = postgres, folder
        self._numbers = itertools.count(1)
        self._pattern = Database(postgres.new_database(), folder / "pattern")
        self._pattern.build()
        self._pattern.fill(**_PEOPLE)
        assert not self._pattern.call("org_schema")["failed"]
        self.cost = cost_of(self.new())

    def new(self) -> Database:
        name = f"{self._pattern.target.dbname}_{next(self._numbers)}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._postgres.server.execute(
            create.format(*map(sql.Identifier, (name, self._pattern.target.dbname)))
        )
        return Database(self._pattern.target.for_database(name), self._folder / name)

    def reader(self, database: Database) -> Database:
        name = f"reader_{database.target.dbname}"
        role = self._postgres.new_role(name).for_database(database.target.dbname)
        database.rows(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
        return Database(role, Path(database.folder))


@pytest.fixture(scope="module")
def copies(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Copies:
    return Copies(postgres, tmp_path_factory.mktemp("copies"))


def cost_of(database: Database) -> dict[str, float]:
    done = database.call("org_migration", grace_seconds=0)
    assert done["finished"], done
    return dict(done["cost"])


def seconds_of(cost: dict[str, float]) -> float:
    """All batches of the run that measured it."""
    return sum(cost[name] * number / 1000 for name, number in _PEOPLE.items())


def plan(database: Database, cost: t.Optional[dict[str, float]] = None) -> dict[str, t.Any]:
    answer = database.call("org_migration", check=True, grace_seconds=0, cost=cost or {})
    assert not answer["failed"], answer
    return dict(answer["plan"])


def width(planned: dict[str, t.Any]) -> float:
    return float(planned["seconds_to"] / planned["seconds_from"])


@pytest.mark.parametrize(
    ("preset", "policy"),
    [("runbook", "report"), ("emailai", "report"), ("emailai", "owner"), ("emailai", "team")],
)
def test_all_pages_of_a_small_database_have_as_much_to_do_as_the_plan_counts(
    postgres: Postgres, tmp_path: Path, preset: str, policy: str
) -> None:
    """Before there are organizations, beside empty tables for them, and when all is done."""
    database = Database(postgres.new_database(), tmp_path)
    model = models.load(preset, {}, policy)
    options: dict[str, t.Any] = {"preset": preset, "premium_policy": policy, "grace_seconds": 0}
    if preset == "runbook":
        database.build()
        database.fill(users=40, accounts=50, premiums=30, ownerless=5)
    else:
        preset_world.build(database)

    def is_read_as_counted() -> int:
        with session(database.target, "test", autocommit=True) as reader:
            found = counts.read(reader, model, 0)
            read = sample.read(reader, model, found, 0, 1000)
        due = {name: sum(page.due for page in one.pages) for name, one in read.items()}
        assert due == {name: one["due"] for name, one in found.as_dict().items()}
        assert all(one.is_whole for one in read.values())
        return sum(due.values())

    before = is_read_as_counted()
    assert not database.call("org_schema", preset=preset)["failed"]
    assert is_read_as_counted() == before > 0
    done = database.call("org_migration", **options)
    assert done["finished"], done
    assert is_read_as_counted() == 0


def test_the_run_takes_what_was_predicted(copies: Copies) -> None:
    database = copies.new()
    planned = plan(copies.reader(database), copies.cost)
    found = re.search(r"from ([\d,]+) rows in (\d+) pages read here", planned["table"])
    assert found, planned["table"]
    assert 9 <= int(found[2]) <= 20
    assert "times as long here" in planned["table"]
    assert planned["seconds_from"] < seconds_of(cost_of(database)) < planned["seconds_to"]


def test_a_table_that_is_half_done_is_predicted_with_less_certainty(copies: Copies) -> None:
    database = copies.new()
    # So much for a row that the moments of reading do not count.
    slow = dict.fromkeys(_PEOPLE, 100.0)
    even = plan(database, slow)
    assert width(even) == pytest.approx(8, rel=0.01)
    database.rows(_HALF)
    uneven = plan(database, slow)
    assert width(uneven) > 1.5 * width(even)
    planned = plan(database, copies.cost)
    assert planned["seconds_from"] < seconds_of(cost_of(database)) < planned["seconds_to"]


def test_without_a_rehearsal_the_interval_is_wide_and_says_so(copies: Copies) -> None:
    planned = plan(copies.new())
    assert "not measured yet on this data; a rehearsal narrows it" in planned["table"]
    assert width(planned) == pytest.approx(100, rel=0.1)


def test_without_statistics_the_rehearsal_alone_predicts(copies: Copies) -> None:
    """Only the first page would be known, and one page tells nothing of the others."""
    database = copies.new()
    for table in ("users", '"EmailAccount"', '"Premium"'):
        database.rows("DELETE FROM pg_statistic WHERE starelid = %s::regclass", (table,))
    planned = plan(database, copies.cost)
    assert "too few pages could be read here" in planned["table"]
    assert width(planned) == pytest.approx(8, rel=0.1)


def test_a_page_that_does_not_come_is_broken_off_and_counts_as_slow(copies: Copies) -> None:
    database = copies.new()
    reader = copies.reader(database)
    model = models.load("runbook", {}, "report")
    # Each row of a user takes this reader 5 ms.
    database.rows("CREATE POLICY slow ON users USING (pg_sleep(0.005) IS NOT NULL)")
    database.rows("ALTER TABLE users ENABLE ROW LEVEL SECURITY")
    with session(database.target, "test", autocommit=True) as quick:
        found = counts.read(quick, model, 0)
        with session(reader.target, "test", autocommit=True) as slow:
            read = sample.read(slow, model, found, 0, 1000)
        # Each pass looks the users up. The limit of one is its share of four tenths of a second.
        assert {name: [page.seconds for page in one.pages] for name, one in read.items()} == {
            name: [pytest.approx(0.4 / 3, rel=0.01)] for name in _PEOPLE
        }
        assert not any(one.is_enough for one in read.values())
        assert all(one.is_enough for one in sample.read(quick, model, found, 0, 1000).values())
