# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks tell; they do not think."""

from __future__ import annotations

import typing as t

import pytest

from check.export import ROOT
from check.project import INCLUDES, find_includes, list_playbooks, list_roles, walk_plays

PLAYBOOKS = list_playbooks()
DOORS = {f"emailai.migration.{role.name}": set(role.entry_points) for role in list_roles()}

PLAY_KEYS = {
    "any_errors_fatal", "gather_facts", "hosts", "max_fail_percentage", "name", "order", "serial", "strategy",
    "tags", "tasks", "vars",
}  # fmt: skip
TASK_KEYS = {
    "always",
    "block",
    "delegate_to",
    "name",
    "rescue",
    "run_once",
    "tags",
    "vars",
    "when",
    *INCLUDES,
}

PHASES = ["prepare", "back_up", "rehearse", "expand", "move", "verify", "deploy", "watch", "conclude"]
OTHERS = [
    "guard",
    "roll_back",
    "restore",
    "repair",
    "control",
    "status",
    "announce",
    "contract",
    "watch_daily",
    "lab_up",
    "lab_down",
]

each_playbook = pytest.mark.parametrize("name", sorted(PLAYBOOKS))


def test_every_playbook_is_there() -> None:
    assert {f"{name}.yml" for name in ["migrate", *PHASES, *OTHERS]} == set(PLAYBOOKS)


def test_migrate_is_the_nine_phases_in_their_order() -> None:
    imported = [play["ansible.builtin.import_playbook"] for play in PLAYBOOKS["migrate.yml"]]
    assert imported == [f"{phase}.yml" for phase in PHASES]


@each_playbook
def test_a_playbook_begins_with_what_it_promises(name: str) -> None:
    """Before, after, and whether it can be undone, in one to five lines of comment."""
    lines = (ROOT / "playbooks" / name).read_text("utf-8").splitlines()
    assert lines[:2] == ["---", "# SPDX-License-Identifier: GPL-3.0-or-later"]
    assert lines[2].startswith("# ")


@each_playbook
def test_a_play_has_no_logic(name: str) -> None:
    for play in PLAYBOOKS[name]:
        if "ansible.builtin.import_playbook" in play:
            assert set(play) <= {"ansible.builtin.import_playbook", "name", "tags", "when", "vars"}
        else:
            assert set(play) <= PLAY_KEYS, set(play) - PLAY_KEYS
            assert play["gather_facts"] is False


@each_playbook
def test_a_task_only_includes_roles(name: str) -> None:
    for task in walk_plays(PLAYBOOKS[name]):
        assert set(task) <= TASK_KEYS, (task.get("name"), set(task) - TASK_KEYS)


@each_playbook
def test_a_playbook_enters_by_doors_that_exist(name: str) -> None:
    missing = [
        (role, door)
        for role, door in find_includes(walk_plays(PLAYBOOKS[name]))
        if door not in DOORS.get(role, set())
    ]
    assert missing == []


# These only read, or know no side; migrate is made of phases that look themselves.
UNGUARDED = {"guard.yml", "lab_down.yml", "lab_up.yml", "migrate.yml", "status.yml"}


@pytest.mark.parametrize("name", sorted(set(PLAYBOOKS) - UNGUARDED))
def test_a_playbook_that_acts_looks_at_the_side_first(name: str) -> None:
    """Before any host is asked; and every kind of host that a play of it works on must be there in whole."""
    guard, *plays = PLAYBOOKS[name]
    assert guard["ansible.builtin.import_playbook"] == "guard.yml"
    needs = guard.get("vars", {}).get("journal_needs", ["database"])
    if name not in ("control.yml", "repair.yml"):
        assert {play["hosts"] for play in plays} == set(needs)


def test_the_gate_is_asked_where_every_side_has_a_host() -> None:
    """A side need not have a balancer; whoever asked there would never say that nobody watches."""
    asking = [
        play["hosts"]
        for play in PLAYBOOKS["prepare.yml"]
        if ("emailai.migration.gate", "check") in set(find_includes(walk_plays([play])))
    ]
    assert asking == ["database"]


def test_the_step_without_return_stands_alone() -> None:
    """Contract is imported by nothing, so nobody runs it by running something else."""
    imported = {
        t.cast(str, play["ansible.builtin.import_playbook"])
        for plays in PLAYBOOKS.values()
        for play in plays
        if "ansible.builtin.import_playbook" in play
    }
    assert not imported & {"contract.yml", "restore.yml"}
