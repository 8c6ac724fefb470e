# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole runbook with users online: looked at first, done once, and done again without effect."""

from __future__ import annotations

import re

import pytest

from e2e.desk import Desk
from e2e.traces import Traces
from lab import load, seed
from lab.expectation import expected_state
from lab.migration import count, lost

pytestmark = pytest.mark.always

USERS, ACCOUNTS, PREMIUMS = 1250, 3420, 450


def test_a_check_run_prints_the_dry_run_and_leaves_no_trace(desk: Desk) -> None:
    traces = Traces(desk)
    traces.settle()
    before = traces.read()
    run = desk.play("migrate.yml", "--check").must_succeed()
    after = traces.read()
    assert after.content == before.content
    assert traces.tuples_written(before, after) == {"prod": 0, "staging": 0}
    assert traces.records_written(before, after) == {}
    for line in ("Users found: 1,250", "Email accounts found: 3,420", "Premium subscriptions found: 450"):
        assert line in run.output
    assert "nothing was changed" in run.output
    # The whole rollout, before its first batch: who is drained in which order, and who serves meanwhile.
    planned = re.findall(r"Batch (\d of \d): (app-\d) would be drained; ([^(]*) \(", run.one_line)
    assert planned == [
        (f"{number} of 4", f"app-{number}", "4 of 4 serve now, 3 meanwhile, at least 2 must")
        for number in (1, 2, 3, 4)
    ]
    assert run.one_line.index("Batch 4 of 4:") < run.one_line.index("app-1 would be drained: ")


def test_a_single_write_would_have_been_seen(desk: Desk) -> None:
    """The control of the test above."""
    traces = Traces(desk)
    before = traces.read()
    desk.do("UPDATE public.users SET name = name WHERE id = (SELECT min(id) FROM public.users)")
    after = traces.read()
    assert traces.tuples_written(before, after) == {"prod": 1, "staging": 0}
    assert any("Heap" in record for record in traces.records_written(before, after))


def test_a_run_under_traffic_migrates_everything_and_fails_nobody(desk: Desk) -> None:
    desk.lab("load", "start")
    try:
        run = desk.play("migrate.yml").must_succeed()
    finally:
        desk.lab("load", "stop")
    report = desk.load_report()
    assert report["requests"] > 500
    assert report["failed"] == 0, report
    assert lost(desk.layout) == []
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    assert_seed_is_migrated(desk)
    assert_later_rows_are_migrated(desk)
    assert "conclude" in run.one_line
    assert desk.value("SELECT state FROM emailai_migration.run") == "concluded"
    # What the rehearsal measured has predicted the time, and stands beside what it took.
    figures = "SELECT outcome->'predicted'->'seconds', outcome->'actual'->'seconds'"
    predicted, actual = desk.rows(figures + " FROM emailai_migration.phase WHERE name = 'move'")[0]
    assert predicted > 0
    assert actual > 0
    log = desk.rows("SELECT migration_name, status FROM public.migration_log ORDER BY id")
    assert log == [("multi_tenant_schema", "completed"), ("multi_tenant_data", "completed")]


def assert_seed_is_migrated(desk: Desk) -> None:
    """Of the rows of the start, less what was deleted: one organization and owner a user, every link."""
    start = seed.make("clean")
    assert (len(start.users), len(start.accounts), len(start.premiums)) == (USERS, ACCOUNTS, PREMIUMS)
    expected = expected_state(load.acknowledged(desk.layout), start)
    users = sorted({row[0] for row in start.users} & expected.users)
    owned = desk.rows(
        'SELECT "userId", "organizationId" FROM public."OrganizationMember"'
        " WHERE role = 'OWNER' AND \"userId\" = ANY (%s)",
        users,
    )
    assert len(owned) == len(users) == len({organization for _user, organization in owned})
    for table, rows, kept in (
        ("EmailAccount", start.accounts, expected.accounts),
        ("Premium", start.premiums, expected.premiums),
    ):
        ids = sorted({row[0] for row in rows} & set(kept))
        linked = desk.value(
            f'SELECT count(*) FROM public."{table}" WHERE id = ANY (%s) AND "organizationId" IS NOT NULL', ids
        )
        assert linked == len(ids), table


def assert_later_rows_are_migrated(desk: Desk) -> None:
    """Every row that exists now is linked, and to the organization of its owner."""
    counts = count(desk.layout)
    assert counts is not None
    assert counts.linked_accounts == counts.accounts
    assert counts.linked_premiums == counts.premiums
    without = desk.value(
        "SELECT count(*) FROM public.users u WHERE NOT EXISTS"
        ' (SELECT 1 FROM public."OrganizationMember" m WHERE m."userId" = u.id)'
    )
    assert without == 0
    strangers = desk.value(
        'SELECT count(*) FROM public."EmailAccount" a WHERE NOT EXISTS'
        ' (SELECT 1 FROM public."OrganizationMember" m'
        '   WHERE m."userId" = a."userId" AND m."organizationId" = a."organizationId")'
    )
    assert strangers == 0


def test_the_same_command_again_changes_nothing_and_says_so(desk: Desk) -> None:
    run = desk.play("migrate.yml").must_succeed()
    assert set(run.changed.values()) == {0}, run.changed
    assert "concluded" in run.one_line
