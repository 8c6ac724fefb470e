# SPDX-License-Identifier: GPL-3.0-or-later
"""The completion list against a real journal: what was given is kept, what comes next is written once."""

from __future__ import annotations

import datetime
import threading
import typing as t

import pytest
from unit.report.sample import NAMES, RUN

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._postgres.connection import Target
from integration.report_world import conclude, fill, rows


@pytest.fixture
def database(postgres: t.Any) -> Target:
    target: Target = postgres.new_database()
    fill(target)
    return target


def test_a_run_is_concluded_in_check_mode_for_real_and_again(database: Target) -> None:
    predicted = conclude(database, check_mode=True)
    assert (predicted["changed"], predicted["is_complete"], len(predicted["next_steps"])) == (True, True, 6)
    assert rows(database, "SELECT item FROM emailai_migration.confirmation") == [("team_notified",)]

    made = conclude(database)
    assert (made["changed"], made["is_complete"], made["still_open"]) == (True, True, [])
    assert made["next_steps"] == predicted["next_steps"]
    due = "SELECT detail ->> 'due' FROM emailai_migration.event WHERE kind = 'next_step' ORDER BY id"
    assert [row[0] for row in rows(database, due)] == 3 * ["2030-05-14"] + 3 * ["2030-06-06"]

    later = {"now": "2031-01-01T00:00:00Z", "confirmations": {}}
    for check_mode in (True, False):
        again = conclude(database, check_mode=check_mode, **later)
        assert (again["changed"], again["next_steps"]) == (False, made["next_steps"])
    names = {
        item["item"]: (item["by"], item["at"][:10])
        for item in again["checklist"]
        if item["state"] == "confirmed"
    }
    assert names["team_training"] == ("Ada Lovelace", "2030-05-07")


def test_what_is_open_is_named_and_the_names_given_are_kept(database: Target) -> None:
    given = {name: person for name, person in NAMES.items() if name != "retrospective"}
    with pytest.raises(MigrationError) as caught:
        conclude(database, confirmations=given)
    assert str(caught.value).startswith(
        f"Cannot conclude run {RUN}: 1 of 10 items are open (a date for the retrospective"
    )
    assert '"retrospective": "<your name>"' in str(caught.value)
    assert caught.value.facts["still_open"] == ["retrospective"]
    assert rows(database, "SELECT count(*) FROM emailai_migration.event WHERE kind = 'next_step'") == [(0,)]
    assert conclude(database, confirmations={"retrospective": "Ada"})["is_complete"]


def test_the_list_can_be_looked_at_without_refusal(database: Target) -> None:
    found = conclude(database, must_be_complete=False, confirmations={})
    assert (found["is_complete"], found["changed"], found["next_steps"]) == (False, False, [])
    assert len(found["summary"]) == 10


def test_two_who_conclude_at_once_write_each_step_once(database: Target) -> None:
    threads = [threading.Thread(target=conclude, args=(database,)) for _ignored in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert rows(database, "SELECT count(*) FROM emailai_migration.event WHERE kind = 'next_step'") == [(6,)]


def test_now_is_now_unless_told(database: Target) -> None:
    due = {step["due"] for step in conclude(database, now=None)["next_steps"]}
    today = datetime.datetime.now(datetime.timezone.utc).date()
    assert min(due) in {(today + datetime.timedelta(days=days)).isoformat() for days in (6, 7, 8)}
    with pytest.raises(MigrationError, match="Cannot read now=soon: it is not a time"):
        conclude(database, now="soon")
