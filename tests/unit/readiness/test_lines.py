# SPDX-License-Identifier: GPL-3.0-or-later
"""When a reading is met and when it is open."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._readiness import lines

ROOMY = lines.Connections(
    most=100,
    reserved=3,
    used=20,
    role="owner",
    role_limit=-1,
    role_used=1,
    database_limit=-1,
    database_used=9,
)
NOW = datetime.datetime(2026, 3, 2, 12, tzinfo=datetime.timezone.utc)


@pytest.mark.parametrize(
    ("number", "standby", "state"), [(180006, False, "met"), (120022, False, "open"), (160000, True, "open")]
)
def test_the_server_is_new_enough_and_can_be_written(number: int, standby: bool, state: str) -> None:
    assert lines.server(lines.Server(number, "x", "db", standby))["state"] == state


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({}, "met", "room for 60: 20 of 80"),
        ({"used": 72}, "met", "room for 8"),
        ({"used": 73}, "open", "room for 7: 73 of 80 (80% of max_connections)"),
        ({"used": 95}, "open", "room for 0"),
        ({"role_limit": 5}, "open", "the limit of role owner"),
        ({"role_limit": 0}, "open", "room for 0"),
        ({"database_limit": 16}, "open", "room for 7: 9 of 16 (the limit of the database)"),
        ({"reserved": 75}, "open", "max_connections without the reserved"),
    ],
)
def test_room_is_what_the_tightest_limit_leaves(changes: dict[str, t.Any], state: str, words: str) -> None:
    found = lines.connections(dataclasses.replace(ROOMY, **changes), 8, 0.8)
    assert found["state"] == state
    assert words in found["found"]


@given(st.integers(1, 500), st.integers(0, 500), st.integers(1, 50))
def test_with_our_workers_no_more_than_the_share_is_used(most: int, used: int, workers: int) -> None:
    found = lines.connections(dataclasses.replace(ROOMY, most=most, used=used), workers, 0.8)
    if found["state"] == "met":
        assert used + workers <= most * 0.8


@pytest.mark.parametrize(("used", "state"), [(80, "met"), (81, "open")])
def test_without_work_of_ours_the_share_itself_is_the_limit(used: int, state: str) -> None:
    found = lines.connections(dataclasses.replace(ROOMY, used=used), 0, 0.8)
    assert (found["state"], found["required"]) == (state, "within every limit")
    assert found["found"] == f"room for 0: {used} of 80 (80% of max_connections) are used"


@pytest.mark.parametrize(("failed", "state"), [(None, "met"), ([], "met"), (["20260101_x"], "open")])
def test_a_failed_migration_is_named(failed: list[str] | None, state: str) -> None:
    found = lines.prisma(failed)
    assert found["state"] == state
    assert not failed or "20260101_x" in found["found"]


def test_who_cannot_see_the_sessions_has_not_seen_that_there_are_none() -> None:
    assert lines.transactions([], True, 60)["state"] == "met"
    assert lines.transactions([], False, 60)["state"] == "not_watched"
    assert lines.transactions([lines.Session(7, "app", 61, "active")], False, 60)["state"] == "open"


def test_the_longest_sessions_are_named_and_the_rest_counted() -> None:
    found = lines.locks([lines.Session(n, f"app{n}", n, "holds a lock") for n in range(1, 6)])["found"]
    assert found.startswith("pid 5 (app5) holds a lock for 5 s; pid 4")
    assert found.endswith("and 2 more")
    assert lines.locks([])["state"] == "met"


@pytest.mark.parametrize(("free", "state"), [(200, "met"), (199, "open"), (0, "open"), (None, "not_watched")])
def test_twice_the_size_is_needed_and_unknown_is_not_zero(free: int | None, state: str) -> None:
    found = lines.disk(lines.Disk(free, 100, "statvfs", "managed"), 2)
    assert found["state"] == state
    assert lines.disk(lines.Disk(free, 100, "x"), 2, "staging")["item"] == "free disk space on staging"


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("Ada Lovelace", "met"),
        ("", "open"),
        ("  ", "open"),
        (None, "open"),
        (True, "open"),
        ("yes", "open"),
        ("True", "open"),
        (1, "open"),
    ],
)
def test_a_confirmation_is_a_name(name: object, state: str) -> None:
    (found,) = lines.confirmations({"on_call": name}, ["on_call"])
    assert (found["state"], found["kind"]) == (state, "person")


def test_what_nobody_confirmed_is_open() -> None:
    found = lines.confirmations({}, list(lines.CONFIRMED))
    assert [line["state"] for line in found] == ["open"] * 5


def test_the_nine_preparations_are_the_runbooks() -> None:
    """Alerts are the ninth; the monitors themselves tell of them."""
    assert {*lines.CONFIRMED, *lines.DUE} == {
        "backup_created", "backup_tested", "team_notified", "maintenance_window", "rollback_plan",
        "migration_tested", "on_call", "communication",
    }  # fmt: skip
    assert {line["state"] for line in lines.due(list(lines.DUE))} == {"due"}


def test_a_window_that_cannot_be_known_is_open() -> None:
    assert lines.windows({"preset": "global"}, NOW)["state"] == "open"
    assert lines.windows({"preset": "us"}, NOW)["state"] == "open"
    assert lines.windows({}, NOW)["state"] == "met"
    assert "Monday 07:00 America/New_York" in lines.windows({"preset": "us"}, NOW)["found"]


@pytest.mark.parametrize(("number", "text"), [(5, "5 B"), (2048, "2.0 KiB"), (3 * 1024**4, "3.0 TiB")])
def test_sizes_are_read_at_a_glance(number: int, text: str) -> None:
    assert lines.size(number) == text
