# SPDX-License-Identifier: GPL-3.0-or-later
"""From every phase there is a way back, and forward again to the same end."""

from __future__ import annotations

import pytest

from e2e.desk import Desk
from lab import seed
from lab.migration import lost

# The old release deletes users of the new one, and leaves the organizations they had made empty.
ANSWERED = {"migration_acknowledged_findings": {"owners": "tester"}}
SEEDED = [row[0] for row in seed.make("clean").users]
PHASES = ("prepare", "back_up", "rehearse", "expand", "move", "verify", "deploy", "watch")
# Links that we made. What the new release linked for its own users is in use and stays.
_LINKS = (
    'SELECT count(*) FROM public."EmailAccount" WHERE "organizationId" IS NOT NULL AND "userId" = ANY (%s)'
)


@pytest.fixture(autouse=True)
def users(desk: Desk) -> object:
    desk.lab("load", "start")
    yield
    desk.lab("load", "stop")
    assert desk.load_report()["failed"] == 0, desk.load_report()
    assert lost(desk.layout) == []


def go_as_far_as(desk: Desk, last: str) -> None:
    for phase in PHASES[: PHASES.index(last) + 1]:
        desk.play(
            f"playbooks/{phase}.yml", migration_acknowledged_findings={"owners": "tester"}
        ).must_succeed()


@pytest.mark.parametrize("depth", ["code", "data"])
def test_the_way_back_from_a_deployed_release(desk: Desk, depth: str) -> None:
    go_as_far_as(desk, "deploy")
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    desk.play("playbooks/roll_back.yml", migration_roll_back_depth=depth).must_succeed()
    assert set(desk.releases().values()) == {"v1.9.0"}
    if depth == "code":
        assert desk.value(_LINKS, SEEDED) > 0
    else:
        assert desk.value(_LINKS, SEEDED) == 0
        assert desk.value('SELECT count(*) FROM public."Organization"') > 0
    assert desk.value("SELECT state FROM emailai_migration.run ORDER BY number DESC LIMIT 1") == "rolled_back"


def test_organizations_in_use_are_never_withdrawn(desk: Desk) -> None:
    """What the new release made for its own users is theirs; the sentence counts it."""
    run = desk.play("playbooks/roll_back.yml", migration_roll_back_depth="schema")
    run.must_fail("Cannot withdraw the schema", "Organization has")
    assert desk.value('SELECT count(*) FROM public."Organization"') > 0


@pytest.mark.parametrize("phase", ["back_up", "expand", "verify"])
def test_the_way_back_before_a_server_was_touched(desk: Desk, phase: str) -> None:
    go_as_far_as(desk, phase)
    desk.play("playbooks/roll_back.yml", migration_roll_back_depth="data").must_succeed()
    assert set(desk.releases().values()) == {"v1.9.0"}
    assert desk.value(_LINKS, SEEDED) == 0


def test_forward_again_after_all_of_this(desk: Desk) -> None:
    desk.play("migrate.yml", **ANSWERED).must_succeed()
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    unlinked = desk.value('SELECT count(*) FROM public."EmailAccount" WHERE "organizationId" IS NULL')
    assert unlinked == 0
