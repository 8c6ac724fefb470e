# SPDX-License-Identifier: GPL-3.0-or-later
"""Data as it is in life: nothing is guessed, each doubt is listed, and a person answers for it."""

from __future__ import annotations

import pytest

from e2e.desk import Desk
from lab import seed
from lab.migration import lost

PROFILE = "nasty"


@pytest.fixture(autouse=True)
def users(desk: Desk) -> object:
    desk.lab("load", "start")
    yield
    desk.lab("load", "stop")
    assert desk.load_report()["failed"] == 0, desk.load_report()
    assert lost(desk.layout) == []


def test_findings_that_nobody_answers_for_stop_the_run_before_a_server_is_touched(desk: Desk) -> None:
    run = desk.play("migrate.yml", migration_acknowledged_findings={})
    run.must_fail("migration_acknowledged_findings")
    assert set(desk.releases().values()) == {"v1.9.0"}


def test_acknowledged_by_name_the_run_ends_with_findings(desk: Desk) -> None:
    before = seats(desk)
    run = desk.play("migrate.yml").must_succeed()
    assert "findings" in run.one_line
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    unlinked = desk.value(
        'SELECT count(*) FROM public."Premium" WHERE "organizationId" IS NULL AND "userId" IS NOT NULL'
    )
    assert unlinked == 0
    ownerless = {row[0] for row in seed.make(PROFILE).premiums if row[1] is None}
    assert ownerless
    found = desk.rows(
        'SELECT id, "organizationId" FROM public."Premium" WHERE id = ANY (%s)', sorted(ownerless)
    )
    assert {organization for _id, organization in found} == {None}, (
        "a premium without owner was given to somebody"
    )
    after = seats(desk)
    assert {key: after[key] for key in before.keys() & after.keys()} == {
        key: before[key] for key in before.keys() & after.keys()
    }, "seats are what is billed; nobody asked to change them"


def test_each_finding_is_listed_by_id_in_the_report(desk: Desk) -> None:
    outcome = desk.value(
        "SELECT outcome FROM emailai_migration.phase WHERE name = 'verify' ORDER BY started_at DESC"
    )
    listed = {check["name"]: check["ids"] for check in outcome["checks"] if check["result"] == "finding"}
    assert listed["premiums"]
    assert listed["seats"]


def seats(desk: Desk) -> dict[str, int | None]:
    ids = [row[0] for row in seed.make(PROFILE).premiums]
    return dict(desk.rows('SELECT id, "usedSeats" FROM public."Premium" WHERE id = ANY (%s)', ids))
