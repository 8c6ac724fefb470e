# SPDX-License-Identifier: GPL-3.0-or-later
"""A stay outside traffic that is prolonged: proven empty again, or by one look where that is enough."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from unit.balancer.world import Clock, Memory, balancer

from ansible_collections.emailai.migration.plugins.module_utils._balancer import keeping, stay
from ansible_collections.emailai.migration.plugins.module_utils._balancer.lease import Lease, Terms
from ansible_collections.emailai.migration.plugins.module_utils._balancer.passage import Wish

WISH = Wish(backend="emailai", member="app-1", timeout_seconds=10)
ALL_LOOKS = pytest.approx(2 * 0.1)


@pytest.fixture(autouse=True)
def nobody_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "start", lambda path, token: None)
    monkeypatch.setattr(keeping, "is_kept", lambda path, token: True)


def drain(lbs: list[Memory], folder: Path, clock: Clock, token: str = "") -> dict[str, t.Any]:
    return stay.drain(lbs, [], WISH, Terms(str(folder / "leases"), 60, token), lambda _: 0, False, clock)


def prolong(lbs: list[Memory], folder: Path, between: t.Callable[[], t.Any] = lambda: None) -> float:
    """Seconds of the second call, after something happened between the two."""
    clock = Clock()
    token = drain(lbs, folder, clock)["lease"]["token"]
    between()
    began = clock.now
    assert drain(lbs, folder, clock, token)["lease"]["token"] == token
    return clock.now - began


def test_a_stay_is_prolonged_by_one_look(tmp_path: Path) -> None:
    assert prolong([balancer(str(tmp_path)), balancer(str(tmp_path), "lb-2")], tmp_path) == 0


def test_after_a_reload_it_is_proven_empty_anew(tmp_path: Path) -> None:
    lbs = [balancer(str(tmp_path)), balancer(str(tmp_path), "lb-2")]
    assert prolong(lbs, tmp_path, lambda: setattr(lbs[1], "generation", "2")) == ALL_LOOKS


def test_each_proof_counts_for_the_call_after_it(tmp_path: Path) -> None:
    lb, clock = balancer(str(tmp_path)), Clock()
    token = drain([lb], tmp_path, clock)["lease"]["token"]
    lb.generation = "2"
    drain([lb], tmp_path, clock, token)
    began = clock.now
    drain([lb], tmp_path, clock, token)
    assert clock.now == began


def test_another_run_proves_it_for_itself(tmp_path: Path) -> None:
    lb, clock = balancer(str(tmp_path)), Clock()
    drain([lb], tmp_path, clock)
    began = clock.now
    drain([lb], tmp_path, clock)
    assert clock.now - began == ALL_LOOKS


@pytest.mark.parametrize(
    ("empty", "marks", "known"),
    [
        ({"a": "1"}, {"a": "1"}, True),
        ({"a": ""}, {"a": ""}, True),  # it never forgets
        ({"a": "1", "b": "1"}, {"a": "1"}, True),
        ({"a": "1"}, {"a": "2"}, False),
        ({"a": "1"}, {"a": "1", "b": "1"}, False),
        ({"a": None}, {"a": None}, False),  # it could not be read
        ({}, {"a": "1"}, False),
        ({}, {}, False),
    ],
)
def test_only_the_same_mark_is_proof(
    empty: dict[str, str | None], marks: dict[str, str | None], known: bool
) -> None:
    lease = Lease("t", "emailai", "app-1", [], {}, 60.0, empty=empty)
    assert lease.was_empty(marks) is known
