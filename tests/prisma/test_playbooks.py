# SPDX-License-Identifier: GPL-3.0-or-later
"""expand.yml and roll_back.yml as an operator calls them, with the strategy prisma and a real journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.operator import Operator
from prisma.conftest import INIT, ORGANIZATIONS, World

QUIET = "Nothing changed on any host"


@pytest.fixture
def operator(world: World, tmp_path: Path) -> Operator:
    world.add_organizations()
    desk = Operator(
        tmp_path,
        world.database.target,
        tenancy_schema_strategy="prisma",
        tenancy_prisma_folder=str(world.project.folder),
        tenancy_prisma_names=[ORGANIZATIONS],
        tenancy_prisma_command=world.project.command,
        tenancy_grace_seconds=0,
        gate_providers=[],
    )
    desk.wait_for("expand")
    return desk


def test_expand_and_the_way_back_each_four_times_and_in_again(world: World, operator: Operator) -> None:
    looked = operator.play("expand", "--check", "--diff")
    assert 'CREATE TABLE "Organization"' in looked
    assert (world.applied(), operator.run) == ([INIT], "rehearsing")
    operator.play("expand")
    assert world.applied() == [INIT, ORGANIZATIONS]
    operator.play("expand", "--check")
    assert QUIET in operator.play("expand")
    assert world.drift() == ([], [])

    back = ("-e", "migration_roll_back_depth=schema")
    operator.play("roll_back", "--check", *back)
    assert (world.applied(), operator.run) == ([INIT, ORGANIZATIONS], "expanding")
    operator.play("roll_back", *back)
    assert (world.applied(), operator.run) == ([INIT], "rolled_back")
    assert world.database.rows("SELECT migration_name FROM _prisma_migrations") == [(INIT,)]
    assert world.database.one("SELECT to_regclass('\"Organization\"') IS NULL")
    operator.play("roll_back", "--check", *back)
    again = operator.play("roll_back", *back)
    assert QUIET in again, again
    assert ORGANIZATIONS in world.status().partition("not yet been applied")[2]
    assert world.call()["changed"]
    assert world.applied() == [INIT, ORGANIZATIONS]
    assert "Database schema is up to date" in world.status()
