# SPDX-License-Identifier: GPL-3.0-or-later
"""lb_member against what stands in for the API of NGINX Plus."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from integration.haproxy_fixture import run_module
from integration.nginx_plus_fixture import Plus

# `make test` has no time for these.
pytestmark = pytest.mark.further

NAMES = {"app-1": "10.0.0.11:3000", "app-2": "10.0.0.12:3000", "app-3": "10.0.0.13:3000"}


@pytest.fixture
def plus() -> t.Iterator[Plus]:
    with Plus(list(NAMES.values())).running() as found:
        yield found


def member(plus: Plus, state: str, check_mode: bool = False, **more: t.Any) -> dict[str, t.Any]:
    params = {
        "balancers": [{"kind": "nginx_plus", "url": plus.url, "members": NAMES}],
        "backend": "emailai",
        "member": "app-1",
        "state": state,
        "timeout_seconds": 5,
        # Nobody listens there: the servers of this upstream are on no network.
        "app_address": "127.0.0.1:9",
        **more,
    }
    return run_module("lb_member", params, check_mode)


def test_drained_and_ready_four_times_each(plus: Plus) -> None:
    for state, word in (("drained", "draining"), ("ready", "up")):
        before = len(plus.patches)
        promised = member(plus, state, check_mode=True)
        assert promised["changed"]
        assert len(plus.patches) == before
        done = member(plus, state)
        assert done["changed"]
        assert done["diff"] == promised["diff"]
        assert plus.peers[0]["state"] == word
        patches = len(plus.patches)
        assert not member(plus, state, check_mode=True)["changed"]
        assert not member(plus, state)["changed"]
        assert len(plus.patches) == patches
    assert plus.patches == [(0, {"drain": True}), (0, {"down": False})]


def test_what_is_active_is_waited_for(plus: Plus) -> None:
    plus.peers[0]["active"] = 2

    def finish() -> None:
        time.sleep(1.5)
        plus.peers[0]["active"] = 0

    thread = threading.Thread(target=finish)
    thread.start()
    done = member(plus, "drained")
    thread.join()
    assert done["in_flight"] == 2
    assert done["waited_seconds"] > 1


def test_what_stays_active_gives_the_traffic_back(plus: Plus) -> None:
    plus.peers[0]["active"] = 1
    assert member(plus, "drained", timeout_seconds=0.5)["timed_out"]
    assert plus.peers[0]["state"] == "up"


def test_a_member_that_is_not_checked_is_not_drained(plus: Plus) -> None:
    plus.peers[0]["health_checks"] = {"checks": 0, "fails": 0, "unhealthy": 0}
    assert "does not check its health" in member(plus, "drained")["msg"]
    assert plus.patches == []


def test_a_sick_member_is_not_readmitted(plus: Plus) -> None:
    member(plus, "drained")
    plus.peers[0]["health_checks"] = {"checks": 9, "fails": 3, "unhealthy": 1, "last_passed": False}
    assert "health 0 of 1" in member(plus, "ready", timeout_seconds=0.5)["msg"]
    assert plus.peers[0]["state"] == "draining"


def test_capacity_counts_who_is_up_and_well(plus: Plus) -> None:
    plus.peers[2]["state"] = "unhealthy"
    refused = member(plus, "drained", min_healthy=2)
    assert refused["capacity"]["healthy_after"] == 1
    assert plus.patches == []


def test_an_order_that_is_taken_and_not_done_is_a_failure(plus: Plus) -> None:
    plus.ignores = True
    assert "it took the order and keeps it up" in member(plus, "drained")["msg"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"backend": "nobody"}, "answers 404, upstream not found"),
        ({"member": "app-9"}, "does not know it; it knows app-1"),
    ],
)
def test_what_is_not_there_is_one_sentence(plus: Plus, more: dict[str, t.Any], words: str) -> None:
    assert words in member(plus, "drained", **more)["msg"]


def test_an_api_that_only_reads_is_told_before_anything(plus: Plus) -> None:
    params = {
        "balancers": [{"kind": "nginx_plus", "url": plus.url, "members": NAMES}],
        "backend": "emailai",
        "members": list(NAMES),
    }
    assert {line["state"] for line in run_module("lb_member_info", params)["readiness"]} == {"met"}
    plus.writes = False
    assert "answers, but takes no orders" in run_module("lb_member_info", params)["readiness"][0]["found"]
    assert "answers 405, method disabled" in member(plus, "drained")["msg"]
    assert plus.peers[0]["state"] == "up"
