# SPDX-License-Identifier: GPL-3.0-or-later
"""From every phase there is a way back, and forward again to the same end."""

from __future__ import annotations

import typing as t

import pytest

from e2e.desk import Desk
from lab import seed
from lab.migration import lost

# The old release deletes users of the new one, and leaves the organizations they had made empty.
ANSWERED = {"migration_acknowledged_findings": {"owners": "tester"}}
SEEDED = [row[0] for row in seed.make("clean").users]
PHASES = ("prepare", "back_up", "rehearse", "expand", "move", "verify", "deploy", "watch", "conclude")
# Links into organizations that we made, known by their ids. What the new release linked for its own users is
# in use and stays, also when the old one hands such an account to somebody else.
_LINKS = """SELECT count(*) FROM public."EmailAccount" WHERE "organizationId" ~ '^org_[0-9a-f]{32}$'"""
_COLUMNS = (
    "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    " AND table_name <> 'migration_log' ORDER BY 1, 2"
)
# Who is in which organization as what, for users of the start that are still there.
_HOMES = (
    'SELECT m."userId", m.id, m.role::text, o.id, o.name, o.slug FROM public."OrganizationMember" m'
    ' JOIN public."Organization" o ON o.id = m."organizationId" WHERE m."userId" = ANY (%s)'
)

Home = t.Tuple[t.Any, ...]


@pytest.fixture(autouse=True)
def users(desk: Desk) -> t.Iterator[None]:
    desk.lab("load", "start")
    yield
    desk.lab("load", "stop")
    assert desk.load_report()["failed"] == 0, desk.load_report()
    assert lost(desk.layout) == []


@pytest.fixture(scope="module")
def homes() -> dict[str, Home]:
    """Where each user is at home since the first run, for all runs after it to be held against."""
    return {}


def go_as_far_as(desk: Desk, last: str) -> None:
    """In one command; rehearsed where that is the end, else without, for that takes longest."""
    without = [] if last == "rehearse" else ["rehearse"]
    wanted = [phase for phase in PHASES[: PHASES.index(last) + 1] if phase not in without]
    first, *others = [f"playbooks/{phase}.yml" for phase in wanted]
    desk.play(first, *others, journal_without=without, **ANSWERED).must_succeed()


def go_back(desk: Desk, depth: str) -> None:
    desk.play("playbooks/roll_back.yml", migration_roll_back_depth=depth).must_succeed()
    assert set(desk.releases().values()) == {"v1.9.0"}
    assert desk.value("SELECT state FROM emailai_migration.run ORDER BY number DESC LIMIT 1") == "rolled_back"


def read_homes(desk: Desk) -> dict[str, Home]:
    return {user: tuple(home) for user, *home in desk.rows(_HOMES, SEEDED)}


def assert_still_at_home(desk: Desk, homes: dict[str, Home]) -> None:
    """Users are deleted meanwhile; whoever is left is where the first run has put him, and nowhere else."""
    found = read_homes(desk)
    assert len(found) > len(SEEDED) // 2
    assert found == {user: homes[user] for user in found}


# These begin where the one before has left off, and the first finds no trace of organizations.
@pytest.mark.parametrize(
    ("phase", "depth"),
    [("prepare", "schema"), ("back_up", "data"), ("rehearse", "code"), ("expand", "schema")],
)
def test_the_way_back_before_there_are_organizations(desk: Desk, phase: str, depth: str) -> None:
    before = desk.rows(_COLUMNS)
    go_as_far_as(desk, phase)
    go_back(desk, depth)
    assert desk.rows(_COLUMNS) == before


@pytest.mark.parametrize(
    ("phase", "depth"), [("verify", "data"), ("deploy", "code"), ("watch", "data"), ("conclude", "data")]
)
def test_the_way_back_keeps_every_organization(
    desk: Desk, homes: dict[str, Home], phase: str, depth: str
) -> None:
    go_as_far_as(desk, phase)
    assert set(desk.releases().values()) == {"v1.9.0" if phase == "verify" else "v2.0.0-orgs"}
    homes.update({} if homes else read_homes(desk))
    assert_still_at_home(desk, homes)
    go_back(desk, depth)
    assert (desk.value(_LINKS) > 0) == (depth == "code")
    assert_still_at_home(desk, homes)


def test_organizations_in_use_are_never_withdrawn(desk: Desk) -> None:
    """What the new release made for its own users is theirs; the sentence counts it."""
    run = desk.play("playbooks/roll_back.yml", migration_roll_back_depth="schema")
    run.must_fail("Cannot withdraw the schema", "Organization has")
    assert desk.value('SELECT count(*) FROM public."Organization"') > 0
    # Everything that is half taken back was completed once; it must not be said to be done.
    desk.play("migrate.yml", **ANSWERED).must_fail("Run playbooks/roll_back.yml again first")
    # Nor is the way back complete while the database has no connection to spare.
    full = desk.play("playbooks/roll_back.yml", readiness_max_connection_share=0.001)
    full.must_fail("Cannot prove that the database has connections to spare: room for 0")
    go_back(desk, "data")


def test_forward_again_after_all_of_this(desk: Desk, homes: dict[str, Home]) -> None:
    desk.play("migrate.yml", **ANSWERED).must_succeed()
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    unlinked = desk.value('SELECT count(*) FROM public."EmailAccount" WHERE "organizationId" IS NULL')
    assert unlinked == 0
    assert_still_at_home(desk, homes)


_TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'emailai%%'"
_CONTRACT = "playbooks/contract.yml"
_CONFIRMED = {"migration_confirmations": {"contract": "tester"}, **ANSWERED}


def test_the_end_of_the_way_back_waits_until_it_is_due_confirmed_and_safe(desk: Desk) -> None:
    written = (
        "SELECT (SELECT count(*) FROM emailai_migration.event),"
        " (SELECT count(*) FROM emailai_migration.phase)"
    )
    before = (desk.rows(written), desk.value(_TRIGGERS))
    desk.play(_CONTRACT, **_CONFIRMED).must_fail(
        "the way back is kept for 30 days", "Give the same command on 2"
    )
    desk.do("UPDATE emailai_migration.run SET finished_at = finished_at - interval '30 days'")
    desk.play(_CONTRACT, "--check").must_fail("nobody confirmed it by name")
    with desk.visitor("emailai-app"):
        run = desk.play(_CONTRACT, **_CONFIRMED)
    run.must_fail("1 sessions without the mark emailai-orgs", "emailai-app (postgres, pid")
    assert (desk.rows(written), desk.value(_TRIGGERS)) == before


def test_then_it_is_the_end(desk: Desk) -> None:
    desk.play(_CONTRACT, **_CONFIRMED).must_succeed()
    assert desk.value("SELECT state FROM emailai_migration.run ORDER BY number DESC LIMIT 1") == "contracted"
    assert desk.value(_TRIGGERS) == 0
    desk.play("playbooks/roll_back.yml").must_fail("only the backup has")
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
