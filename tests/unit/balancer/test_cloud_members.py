# SPDX-License-Identifier: GPL-3.0-or-later
"""What the answers of NGINX Plus and AWS mean."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._balancer import nginx_plus, target_group
from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError

PEER: dict[str, t.Any] = {
    "server": "10.0.0.11:3000",
    "weight": 1,
    "state": "up",
    "active": 2,
    "health_checks": {"last_passed": True},
}


@pytest.mark.parametrize(
    ("state", "admission", "serving"),
    [
        ("up", "ready", True),
        ("draining", "drained", False),
        ("down", "closed", False),
        ("unavail", "ready", False),
        ("checking", "ready", False),
        ("unhealthy", "ready", False),
    ],
)
def test_the_state_of_a_peer(state: str, admission: str, serving: bool) -> None:
    found = nginx_plus.member("lb", "app-1", {**PEER, "state": state})
    assert (found.admission, found.is_serving, found.in_flight) == (admission, serving, 2)


def test_a_peer_that_is_not_checked_has_no_health() -> None:
    assert not nginx_plus.member("lb", "app-1", {**PEER, "health_checks": {}}).is_checked


@pytest.mark.parametrize("missing", ["active", "state", "server", "weight"])
def test_a_figure_that_is_missing_is_no_zero(missing: str) -> None:
    with pytest.raises(KeyError):
        nginx_plus.member("lb", "app-1", {key: value for key, value in PEER.items() if key != missing})


@pytest.mark.parametrize(
    ("state", "admission", "serving", "in_flight", "checked"),
    [
        ("healthy", "ready", True, 0, True),
        ("initial", "ready", False, 0, True),
        ("unhealthy", "ready", False, 0, True),
        ("draining", "drained", False, 1, True),
        ("unused", "closed", False, 0, True),
        ("unavailable", "ready", False, 0, False),
        (None, "closed", False, 0, True),
    ],
)
def test_the_state_of_a_target(
    state: str | None, admission: str, serving: bool, in_flight: int, checked: bool
) -> None:
    health = {"State": state} if state is not None else None
    found = target_group.member("aws", "app-1", ("i-1", 3000), health)
    assert (found.admission, found.is_serving, found.in_flight, found.is_checked) == (
        admission,
        serving,
        in_flight,
        checked,
    )


def test_a_target_is_an_id_and_a_port() -> None:
    assert target_group.target_of("app-1", "i-0123:3000") == ("i-0123", 3000)
    for text in ("i-0123", ":3000", "i-0123:web"):
        with pytest.raises(MigrationError, match="is not an id and a port"):
            target_group.target_of("app-1", text)
