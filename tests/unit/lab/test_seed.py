# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's rows: exact in number, the same each time, clean or nasty as promised."""

from __future__ import annotations

import collections

import pytest

from lab import seed


@pytest.mark.parametrize("profile", ["clean", "nasty"])
def test_numbers_are_the_runbooks(profile: str) -> None:
    rows = seed.make(profile)
    assert (len(rows.users), len(rows.accounts), len(rows.premiums)) == (1250, 3420, 450)


@pytest.mark.parametrize("profile", ["clean", "nasty"])
def test_the_same_profile_gives_the_same_rows(profile: str) -> None:
    assert seed.make(profile) == seed.make(profile)


def test_profiles_differ() -> None:
    assert seed.make("clean") != seed.make("nasty")


@pytest.mark.parametrize("profile", ["clean", "nasty"])
def test_keys_are_unique_and_references_hold(profile: str) -> None:
    rows = seed.make(profile)
    users = {row[0] for row in rows.users}
    accounts = {row[0] for row in rows.accounts}
    for table in rows.tables().values():
        assert len({row[0] for row in table}) == len(table)
    assert {row[2] for row in rows.accounts} <= users
    assert {row[1] for row in rows.premiums} - {None} <= users
    assert {row[2] for row in rows.sessions} <= users
    assert {row[4] for row in rows.rules} <= accounts
    assert len({row[1] for row in rows.accounts}) == len(rows.accounts)


@pytest.mark.parametrize("profile", ["clean", "nasty"])
def test_rows_fit_their_columns(profile: str) -> None:
    for table, content in seed.make(profile).tables().items():
        assert {len(row) for row in content} == {len(seed.COLUMNS[table])}


def test_clean_has_one_owner_and_one_seat_per_premium() -> None:
    rows = seed.make("clean")
    assert len({row[1] for row in rows.premiums}) == 450
    assert None not in {row[1] for row in rows.premiums}
    assert {row[3] for row in rows.premiums} == {1}


def test_nasty_has_everything_that_real_data_has() -> None:
    rows = seed.make("nasty")
    names = {row[2] for row in rows.users}
    assert set(seed.NASTY_NAMES) <= names
    assert any(name is not None and len(name) >= 1000 for name in names)
    accounts = collections.Counter(row[2] for row in rows.accounts)
    assert max(accounts.values()) == 15
    assert len(accounts) < len(rows.users)
    premiums = collections.Counter(row[1] for row in rows.premiums)
    assert premiums.pop(None) > 0
    assert max(premiums.values()) >= 3
    seats = {(row[3], row[4]) for row in rows.premiums}
    assert {(None, None), (0, 5), (7, 5)} <= seats


@pytest.mark.parametrize("profile", ["clean", "nasty"])
def test_the_test_user_can_test_everything(profile: str) -> None:
    rows = seed.make(profile)
    key, position = next((row[0], place) for place, row in enumerate(rows.users) if row[1] == seed.TEST_USER)
    assert position in seed.RESERVED
    assert [(row[3], row[4]) for row in rows.premiums if row[1] == key] == [(1, 5)]
    accounts = {row[0] for row in rows.accounts if row[2] == key}
    assert len(accounts) >= 2
    assert any(row[3] for row in rows.rules if row[4] in accounts)
