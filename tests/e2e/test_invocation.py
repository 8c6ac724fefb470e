# SPDX-License-Identifier: GPL-3.0-or-later
"""Three ways to type it are one and the same run."""

from __future__ import annotations

from e2e.desk import Desk


def test_three_ways_to_type_it_are_one_run(desk: Desk) -> None:
    listed = {
        playbook: desk.play(playbook, "-i", "inventories/lab", "--list-tasks").must_succeed().output
        for playbook in ("migrate.yml", "playbooks/migrate.yml", "emailai.migration.migrate")
    }
    # The first line names the file that was typed.
    tasks = {output.split("\n\n", 1)[-1].partition("\n")[2] for output in listed.values()}
    assert len(tasks) == 1
    assert "Back up and prove the backup" in tasks.pop()


def test_the_check_run_by_its_full_name_prints_the_dry_run(desk: Desk) -> None:
    run = desk.play("emailai.migration.prepare", "-i", "inventories/lab", "--check").must_succeed()
    assert "Users found: 1,250" in run.output
