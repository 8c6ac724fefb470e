# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that does not name one whole side ends in its first play; no lab is up that could be asked."""

from __future__ import annotations

import typing as t

import pytest

from check.project import list_playbooks
from e2e.desk import Desk

BOTH = "reaches prod and staging). Give -l prod or -l staging."
ALONE = sorted(
    name
    for name, plays in list_playbooks().items()
    if plays[0].get("ansible.builtin.import_playbook") == "guard.yml"
)


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("nowhere") / "lab")


def refuse(desk: Desk, playbook: str, limit: t.Optional[str], *words: str, **variables: t.Any) -> None:
    run = desk.play(playbook, limit=limit, timeout=60, **variables).must_fail("Cannot begin", *words)
    assert run.output.count("\nPLAY [") == 1, run.output
    assert run.output.count("FAILED!") == 1, run.output


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (None, f"this command does not name one side (without -l it {BOTH}"),
        ("all", f"this command does not name one side (-l all {BOTH}"),
        ("prod,staging", f"(-l prod,staging {BOTH}"),
        ("staging,app-1", f"(-l staging,app-1 {BOTH}"),
        ("prod,!app-4", "-l prod,!app-4 leaves out app-4, and half a side is not worked on. Give -l prod;"),
        ("prod:!lb-1", "-l prod:!lb-1 leaves out lb-1,"),
        ("db-prod", "leaves out app-1, app-2, app-3, app-4, lb-1,"),
        ("app-1", "leaves out app-2, app-3, app-4, db-prod, lb-1,"),
    ],
)
def test_the_whole_runbook_wants_one_whole_side(nowhere: Desk, limit: t.Optional[str], words: str) -> None:
    refuse(nowhere, "migrate.yml", limit, words)


def test_a_limit_that_matches_nothing_is_refused(nowhere: Desk) -> None:
    nowhere.play("migrate.yml", limit="nowhere").must_fail("nowhere", "no hosts to target")


def test_an_inventory_that_is_not_there_is_refused(nowhere: Desk) -> None:
    """It would have no host, every play would be skipped, and that would look like success."""
    nowhere.play("migrate.yml", "-i", "/nowhere.yml").must_fail("/nowhere.yml")


@pytest.mark.parametrize("playbook", ALONE)
def test_a_playbook_alone_wants_one_side(nowhere: Desk, playbook: str) -> None:
    tags = {"repair.yml": ("--tags", "late_users")}.get(playbook, ())
    run = nowhere.play(f"playbooks/{playbook}", *tags, limit=None, timeout=60)
    run.must_fail("Cannot begin", f"without -l it {BOTH}")
    assert run.output.count("\nPLAY [") == 1, run.output


@pytest.mark.parametrize(
    ("playbook", "limit", "words"),
    [
        ("playbooks/deploy.yml", "prod,!app-4", "-l prod,!app-4 leaves out app-4,"),
        ("playbooks/roll_back.yml", "prod,!app-4", "-l prod,!app-4 leaves out app-4,"),
        ("playbooks/restore.yml", "db-prod", "leaves out app-1, app-2, app-3, app-4,"),
        ("playbooks/move.yml", "app-1", "Cannot begin move: -l app-1 leaves out db-prod,"),
        ("playbooks/control.yml", "app-1", "-l app-1 reaches no host of group database. Give -l prod."),
    ],
)
def test_a_phase_wants_every_host_it_works_on(nowhere: Desk, playbook: str, limit: str, words: str) -> None:
    refuse(nowhere, playbook, limit, words)


def test_a_side_that_believes_to_be_the_other_is_refused(nowhere: Desk) -> None:
    words = "db-staging is of staging, and its migration_side does not say so."
    refuse(nowhere, "playbooks/move.yml", "staging", words, migration_side="prod")


@pytest.mark.parametrize("inventory", ["inventories/lab", "inventories/example"])
@pytest.mark.parametrize("side", ["prod", "staging"])
def test_a_whole_side_is_let_through(nowhere: Desk, inventory: str, side: str) -> None:
    """The control; the example fits too, though none of its hosts exists."""
    needs = ["database", "balancer", "app"]
    nowhere.play("playbooks/guard.yml", "-i", inventory, limit=side, journal_needs=needs).must_succeed()
