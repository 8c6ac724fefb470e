# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be in the database after the users' acknowledged writes. Touches no server."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from lab.seed import Seed

Event = t.Mapping[str, t.Any]


@dataclass
class State:
    """The rows by id, each with its owner; ``gone`` are those that were deleted for certain."""

    users: set[str] = field(default_factory=set)
    accounts: dict[str, str] = field(default_factory=dict)
    premiums: dict[str, t.Optional[str]] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def apply(self, event: Event) -> None:
        getattr(self, f"_{event['op']}", _nothing)(event)

    def _signup(self, event: Event) -> None:
        self.users.add(event["id"])

    def _account_add(self, event: Event) -> None:
        self.accounts[event["id"]] = event["userId"]

    _account_relink = _account_add

    def _account_delete(self, event: Event) -> None:
        self._forget_account(event["id"])

    def _user_delete(self, event: Event) -> None:
        key = event["id"]
        self.users.discard(key)
        self.gone.add(key)
        for account in [account for account, owner in self.accounts.items() if owner == key]:
            self._forget_account(account)
        for premium in [premium for premium, owner in self.premiums.items() if owner == key]:
            self.premiums[premium] = None

    def _premium_buy(self, event: Event) -> None:
        self.premiums[event["id"]] = event["userId"]

    def _rule_add(self, event: Event) -> None:
        self.rules[event["id"]] = event["emailAccountId"]

    def _forget_account(self, key: str) -> None:
        self.accounts.pop(key, None)
        self.gone.add(key)
        for rule in [rule for rule, account in self.rules.items() if account == key]:
            del self.rules[rule]
            self.gone.add(rule)


def _nothing(_event: Event) -> None:
    """Reads and log-ins leave no row that is looked at."""


def expected_state(acknowledged: t.Iterable[Event], seed: Seed) -> State:
    """The seed's rows with every acknowledged write applied, in the order of the log."""
    state = State(
        users={row[0] for row in seed.users},
        accounts={row[0]: row[2] for row in seed.accounts},
        premiums={row[0]: row[1] for row in seed.premiums},
        rules={row[0]: row[4] for row in seed.rules},
    )
    for event in acknowledged:
        state.apply(event)
    return state


@dataclass(frozen=True)
class Actual:
    """The same rows as they are in a database."""

    users: set[str]
    accounts: dict[str, str]
    premiums: dict[str, t.Optional[str]]
    rules: dict[str, str]


def differences(expected: State, actual: Actual, in_doubt: t.Collection[str] = ()) -> list[str]:
    """One sentence per row that was lost, doubled, revived or given to somebody else.

    ``in_doubt``: ids of requests that failed, whose effect nobody knows.
    """
    doubt = set(in_doubt)
    found = [f"user {key} is lost" for key in sorted(expected.users - actual.users - doubt)]
    found += [f"{key} was deleted and is there" for key in sorted(expected.gone & _all_keys(actual) - doubt)]
    for thing in ("accounts", "rules"):
        found += _owned(thing[:-1], getattr(expected, thing), getattr(actual, thing), doubt)
    found += _premiums(expected, actual, doubt)
    return found


def _all_keys(actual: Actual) -> set[str]:
    return {*actual.users, *actual.accounts, *actual.rules}


def _owned(thing: str, expected: dict[str, str], actual: dict[str, str], doubt: set[str]) -> list[str]:
    found = []
    for key, owner in expected.items():
        if key in doubt or owner in doubt:
            continue
        if key not in actual:
            found.append(f"{thing} {key} is lost")
        elif actual[key] != owner:
            found.append(f"{thing} {key} belongs to {actual[key]}, not to {owner}")
    return found


def _premiums(expected: State, actual: Actual, doubt: set[str]) -> list[str]:
    found = []
    for key, owner in expected.premiums.items():
        there = actual.premiums.get(key)
        if key not in actual.premiums and key not in doubt:
            found.append(f"premium {key} is lost")
        # The new release may leave the owner's column empty; another owner is wrong.
        elif there not in (None, owner) and owner not in doubt:
            found.append(f"premium {key} belongs to {there}, not to {owner}")
    return found


def doubtful(failures: t.Iterable[Event]) -> set[str]:
    """The ids that failed writes named: what became of them cannot be said."""
    found: set[str] = set()
    for failure in failures:
        found.update(value for value in failure.get("ids", {}).values() if isinstance(value, str))
    return found
