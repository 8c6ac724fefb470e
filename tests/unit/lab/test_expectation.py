# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be in the database after acknowledged writes, and how a difference is told."""

from __future__ import annotations

import typing as t

from lab.expectation import Actual, State, differences, doubtful, expected_state
from lab.seed import Seed

SEED = Seed(
    users=[("u1", "u1@x", "One"), ("u2", "u2@x", None)],
    accounts=[("a1", "a1@x", "u1"), ("a2", "a2@x", "u2")],
    premiums=[("p1", "u1"), ("p2", "u2")],
    rules=[("r1", "name", "text", True, "a1"), ("r2", "name", "text", True, "a2")],
)


def _actual(state: State, **changes: t.Any) -> Actual:
    rows = {
        "users": set(state.users),
        "accounts": dict(state.accounts),
        "premiums": dict(state.premiums),
        "rules": dict(state.rules),
    }
    rows.update(changes)
    return Actual(**rows)


def test_without_writes_the_seed_is_expected() -> None:
    state = expected_state([], SEED)
    assert state.users == {"u1", "u2"}
    assert state.accounts == {"a1": "u1", "a2": "u2"}
    assert differences(state, _actual(state)) == []


def test_each_write_has_its_effect() -> None:
    state = expected_state(
        [
            {"op": "signup", "id": "u3", "email": "u3@x"},
            {"op": "account_add", "id": "a3", "userId": "u3"},
            {"op": "account_relink", "id": "a3", "userId": "u2"},
            {"op": "premium_buy", "id": "p3", "userId": "u3"},
            {"op": "rule_add", "id": "r3", "emailAccountId": "a3"},
            {"op": "account_delete", "id": "a1"},
            {"op": "login", "id": "ignored"},
        ],
        SEED,
    )
    assert state.users == {"u1", "u2", "u3"}
    assert state.accounts == {"a2": "u2", "a3": "u2"}
    assert state.premiums["p3"] == "u3"
    assert state.rules == {"r2": "a2", "r3": "a3"}
    assert state.gone == {"a1", "r1"}


def test_a_deleted_user_takes_accounts_and_rules_along_but_not_the_premium() -> None:
    state = expected_state([{"op": "user_delete", "id": "u1"}], SEED)
    assert state.users == {"u2"}
    assert state.accounts == {"a2": "u2"}
    assert state.rules == {"r2": "a2"}
    assert state.premiums == {"p1": None, "p2": "u2"}
    assert state.gone == {"u1", "a1", "r1"}


def test_differences_name_what_was_lost_revived_or_given_away() -> None:
    state = expected_state([{"op": "account_delete", "id": "a1"}], SEED)
    actual = _actual(state, users={"u1"}, accounts={"a1": "u1", "a2": "u1"}, premiums={"p1": "u2"}, rules={})
    assert differences(state, actual) == [
        "user u2 is lost",
        "a1 was deleted and is there",
        "account a2 belongs to u1, not to u2",
        "rule r2 is lost",
        "premium p1 belongs to u2, not to u1",
        "premium p2 is lost",
    ]


def test_what_is_in_doubt_is_no_difference() -> None:
    state = expected_state([], SEED)
    actual = _actual(
        state, users={"u2"}, accounts={"a2": "u2"}, premiums={"p1": None, "p2": "u2"}, rules={"r2": "a2"}
    )
    assert differences(state, actual)
    assert differences(state, actual, in_doubt={"u1", "a1", "p1"}) == []


def test_the_new_release_may_leave_the_owner_of_a_premium_empty() -> None:
    state = expected_state([], SEED)
    assert differences(state, _actual(state, premiums={"p1": None, "p2": "u2"})) == []


def test_failed_writes_leave_their_ids_in_doubt() -> None:
    lines = [{"op": "user_delete", "ids": {"id": "u1"}}, {"op": "user_page", "ids": {}}, {"op": "slow"}]
    assert doubtful(lines) == {"u1"}
