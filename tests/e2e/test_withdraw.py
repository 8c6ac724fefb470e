# SPDX-License-Identifier: GPL-3.0-or-later
"""Before a server was touched, the way back can go all the way: the schema is as it was."""

from __future__ import annotations

from e2e.desk import Desk
from lab.migration import lost

_COLUMNS = (
    "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    " AND table_name <> 'migration_log' ORDER BY 1, 2"
)


def test_the_schema_is_as_it_was(desk: Desk) -> None:
    before = desk.rows(_COLUMNS)
    desk.lab("load", "start")
    try:
        for phase in ("prepare", "back_up", "rehearse", "expand", "move"):
            desk.play(f"playbooks/{phase}.yml").must_succeed()
        assert desk.rows(_COLUMNS) != before
        desk.play("playbooks/roll_back.yml", migration_roll_back_depth="schema").must_succeed()
    finally:
        desk.lab("load", "stop")
    assert desk.rows(_COLUMNS) == before
    assert desk.load_report()["failed"] == 0
    assert lost(desk.layout) == []
