# SPDX-License-Identifier: GPL-3.0-or-later
"""``-l staging`` is the whole runbook on staging's own data, and prod does not notice."""

from __future__ import annotations

import typing as t

import pytest

from e2e.desk import Desk
from e2e.traces import Reading, Traces
from lab import seed

PHASES = ("prepare", "back_up", "rehearse", "expand", "move", "verify", "deploy", "watch", "conclude")
START = seed.make_staging()

# What our three roles have asked prod for, as the server itself counts it.
_ASKED = (
    "SELECT coalesce(sum(s.calls), 0) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid"
    " WHERE r.rolname IN ('emailai_owner', 'emailai_writer', 'emailai_reader')"
)
_WITHOUT_OWNER = (
    'SELECT count(*) FROM public.users u WHERE NOT EXISTS (SELECT FROM public."OrganizationMember" m'
    " WHERE m.\"userId\" = u.id AND m.role = 'OWNER')"
)
_WITH_ITS_OWNER = (
    'SELECT count(*) FROM public."{}" x JOIN public."OrganizationMember" m'
    ' ON m."userId" = x."userId" AND m."organizationId" = x."organizationId"'
)


def of_prod(desk: Desk, reading: Reading) -> dict[str, t.Any]:
    """What of a reading is not staging's own."""
    ours = ("dump of staging", "work")
    posts = desk.layout.webhooks
    return {
        **{name: part for name, part in reading.content.items() if name not in ours},
        "store": [entry for entry in reading.content["store"] if not entry[0].startswith("staging/")],
        "posts": posts.read_text("utf-8") if posts.exists() else "",
        "asked": desk.value(_ASKED),
    }


@pytest.fixture(autouse=True)
def prod_does_not_notice(desk: Desk) -> t.Iterator[None]:
    """Nobody uses prod meanwhile: whoever gated on its traffic would find none, and hold."""
    traces = Traces(desk)
    traces.settle()
    before = traces.read()
    content = of_prod(desk, before)
    yield
    after = traces.read()
    assert of_prod(desk, after) == content
    assert traces.tuples_written(before, after)["prod"] == 0
    assert desk.value("SELECT to_regnamespace('emailai_migration') IS NULL")


def state_of_run(desk: Desk) -> str:
    query = "SELECT state FROM emailai_migration.run ORDER BY number DESC LIMIT 1"
    return str(desk.value(query, side="staging"))


def assert_staging_is_migrated(desk: Desk) -> None:
    assert desk.value("SELECT count(*) FROM public.users", side="staging") == len(START.users)
    assert desk.value('SELECT count(*) FROM public."Organization"', side="staging") == len(START.users)
    assert desk.value(_WITHOUT_OWNER, side="staging") == 0
    for table, rows in (("EmailAccount", START.accounts), ("Premium", START.premiums)):
        assert rows
        assert desk.value(_WITH_ITS_OWNER.format(table), side="staging") == len(rows), table
    assert state_of_run(desk) == "concluded"


def test_a_check_run_on_staging_leaves_no_trace(desk: Desk) -> None:
    traces = Traces(desk)
    before = traces.read()
    run = desk.play("migrate.yml", "--check", limit="staging").must_succeed()
    after = traces.read()
    assert after.content == before.content
    assert traces.tuples_written(before, after) == {"prod": 0, "staging": 0}
    assert f"Users found: {len(START.users)}" in run.output


def test_the_phases_one_by_one_end_with_staging_migrated(desk: Desk) -> None:
    said = {phase: desk.play(f"playbooks/{phase}.yml", limit="staging").must_succeed() for phase in PHASES}
    assert_staging_is_migrated(desk)
    assert "rehearse is not part of this run" in said["rehearse"].one_line
    for phase in ("prepare", "watch"):
        words = "staging has no app servers and gate_providers is empty: nothing is watched."
        assert words in said[phase].one_line
    assert "staging has no app servers: no release is exchanged" in said["deploy"].one_line
    for phase, message in (("prepare", "started"), ("conclude", "complete")):
        assert f"Message '{message}' is not sent in a rehearsal." in said[phase].one_line
    assert "-1-staging.html" in said["conclude"].one_line


def test_staging_goes_back_as_deep_as_asked(desk: Desk) -> None:
    run = desk.play("playbooks/roll_back.yml", limit="staging", migration_roll_back_depth="schema")
    assert "staging has no app servers" in run.must_succeed().one_line
    assert state_of_run(desk) == "rolled_back"
    assert desk.value("SELECT to_regclass('public.\"Organization\"') IS NULL", side="staging")


def test_the_whole_runbook_goes_forward_again_and_its_repeat_changes_nothing(desk: Desk) -> None:
    desk.play("migrate.yml", limit="staging").must_succeed()
    assert_staging_is_migrated(desk)
    again = desk.play("migrate.yml", limit="staging").must_succeed()
    assert again.changed == {"db-staging": 0}
