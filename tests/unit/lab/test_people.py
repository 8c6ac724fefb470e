# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's users: their mix of requests, and that no two crowds touch the same rows."""

from __future__ import annotations

import collections
import itertools

from lab import seed
from lab.expectation import expected_state
from lab.load import percentile
from lab.people import Crowd, Deed


def _crowds(count: int = 4) -> list[Crowd]:
    state = expected_state([], seed.make("clean"))
    return [Crowd(number, count, state, {}, "test") for number in range(count)]


def _live(crowd: Crowd, requests: int) -> list[Deed]:
    """Let a crowd act against a server that grants everything."""
    numbers = itertools.count()
    deeds = []
    for _request in range(requests):
        deed = crowd.next()
        deeds.append(deed)
        if deed.is_write:
            made = {"signup", "account_add", "premium_buy", "rule_add"}
            key = f"{crowd.name}-{next(numbers)}" if deed.op in made else deed.ids["id"]
            crowd.learn(deed, {"id": key, "organizationId": f"o{key}"})
    return deeds


def test_crowds_share_no_user() -> None:
    crowds = _crowds()
    users = [key for crowd in crowds for key in crowd.users]
    assert len(users) == len(set(users)) == 1250


def test_one_request_in_five_writes() -> None:
    deeds = _live(_crowds()[0], 4000)
    share = sum(deed.is_write for deed in deeds) / len(deeds)
    assert 0.17 <= share <= 0.23


def test_every_operation_occurs() -> None:
    counted = collections.Counter(deed.op for deed in _live(_crowds()[0], 6000))
    assert {"signup", "account_add", "account_relink", "account_delete", "user_delete", "premium_buy"} <= set(
        counted
    )
    assert {"user_page", "account_list", "account_page", "rule_list", "slow", "rule_add"} <= set(counted)


def test_nobody_who_pays_hosts_or_was_invited_is_deleted() -> None:
    crowd = _crowds()[0]
    payers = {row[1] for row in seed.make("clean").premiums}
    deeds = _live(crowd, 6000)
    deleted = {deed.ids["id"] for deed in deeds if deed.op == "user_delete"}
    bought = {deed.ids["userId"] for deed in deeds if deed.op == "premium_buy"}
    assert deleted
    assert not deleted & (payers | bought)


def test_of_the_seeds_users_only_a_few_are_deleted() -> None:
    crowd = _crowds()[0]
    seeded = set(crowd.users)
    deleted = {deed.ids["id"] for deed in _live(crowd, 8000) if deed.op == "user_delete"}
    assert len(deleted & seeded) <= 2


def test_the_forgotten_are_not_asked_about_again() -> None:
    crowd = _crowds()[0]
    _live(crowd, 500)
    gone = set(crowd.users[:100])
    crowd.forget(gone)
    for deed in _live(crowd, 1000):
        assert not gone & set(deed.ids.values())


def test_percentile_of_a_histogram() -> None:
    assert percentile({}, 0.95) is None
    assert percentile({5: 1}, 0.95) == 5
    assert percentile({1: 95, 100: 5}, 0.95) == 1
    assert percentile({1: 94, 100: 6}, 0.95) == 100
