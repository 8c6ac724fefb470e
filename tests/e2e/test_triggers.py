# SPDX-License-Identifier: GPL-3.0-or-later
"""Each automatic trigger stops a deployment at its first server and takes it back.

The error rate has test_bad_release.py. The faults belong to the new release alone: back on the old
one, every server is well.
"""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from e2e.desk import Desk, Run
from lab.migration import lost
from lab.whole import Lab

# Nobody of the load uses this user's account, and nobody puts it right by chance.
_ACCOUNT = """SELECT a.id FROM public."EmailAccount" a JOIN public.users u ON u.id = a."userId"
 WHERE u.email = 'user00035@example.com' ORDER BY a.id LIMIT 1"""
# A superuser's slip in the middle of the night: no trigger sees it.
_MISLINK = """SET session_replication_role = replica; UPDATE public."EmailAccount" a SET "organizationId" =
 (SELECT o.id FROM public."Organization" o WHERE o.id <> a."organizationId" ORDER BY o.id LIMIT 1)
 WHERE a.id = '{account}'"""


@pytest.fixture(scope="module", autouse=True)
def _ready_to_deploy(desk: Desk) -> None:
    desk.lab("load", "start")
    for phase in ("prepare", "back_up", "rehearse", "expand", "move", "verify"):
        desk.play(f"playbooks/{phase}.yml").must_succeed()
    desk.lab("load", "stop")


@pytest.fixture(autouse=True)
def _users(desk: Desk, _ready_to_deploy: None) -> t.Iterator[None]:
    """None of these faults makes a request fail, and neither does the way back."""
    desk.lab("load", "start")
    yield
    desk.lab("load", "stop")
    desk.lab("fault", "all")
    assert desk.load_report()["failed"] == 0, desk.load_report()
    assert lost(desk.layout) == []


def _break_new_release(desk: Desk, fault: str) -> None:
    desk.lab("fault", "all", "release=v2.0.0-orgs", fault)


def _deploy(desk: Desk, **variables: t.Any) -> Run:
    return desk.play("playbooks/deploy.yml", app_soak_seconds=5, **variables)


def _assert_taken_back(desk: Desk, run: Run, trigger: str, *words: str, servers: int = 1) -> None:
    run.must_fail()
    last = run.one_line.rpartition("Cannot deploy v2.0.0-orgs: ")[2].partition("PLAY RECAP")[0]
    for word in (f"{trigger}: ", *words, "Action: roll back", "Every server is back on v1.9.0"):
        assert word in last, f"{word!r} is not in the last sentence: {last or run.output[-6000:]}"
    assert set(desk.releases().values()) == {"v1.9.0"}
    assert set(Lab(desk.layout).balancer.states().values()) == {"UP"}
    assert desk.exchanged("v2.0.0-orgs") == list(desk.releases())[:servers]
    assert desk.value("SELECT state FROM emailai_migration.run") == "failed"


def test_a_release_that_loses_its_database_goes_back_though_its_users_see_nothing(desk: Desk) -> None:
    _break_new_release(desk, "lost_connections=0.3")
    run = _deploy(desk)
    _assert_taken_back(
        desk, run, "connection_failures", "database connections failed within 60 s", "of app-1"
    )
    assert "error_rate" not in run.one_line


def test_a_release_that_logs_fatal_errors_goes_back(desk: Desk) -> None:
    _break_new_release(desk, "fatal_lines=true")
    run = _deploy(desk)
    _assert_taken_back(desk, run, "fatal_log", "FATAL", "log/app.log of app-1")


def test_a_slow_release_is_held_unless_it_was_said_that_it_goes_back(desk: Desk) -> None:
    _break_new_release(desk, "slow_ms=250")
    held = _deploy(desk)
    held.must_fail(
        "Cannot go on with v2.0.0-orgs", "slower_than_before: p95 of app-1 is", "before the run it was"
    )
    held.must_fail("Action: hold", "The fleet stays as it is")
    assert list(desk.releases().values()) == ["v2.0.0-orgs", "v1.9.0", "v1.9.0", "v1.9.0"]
    assert set(Lab(desk.layout).balancer.states().values()) == {"UP"}

    run = _deploy(desk, gate_unattended_action={"slower_than_before": "roll_back"})
    _assert_taken_back(desk, run, "slower_than_before", "p95 of app-1 is", "before the run it was")


def test_a_release_with_a_broken_flow_goes_back_before_a_user_meets_it(desk: Desk) -> None:
    _break_new_release(desk, 'fail=["account_switch"]')
    run = _deploy(desk)
    run.must_fail(
        "a critical flow is broken, 1 of 19 checks failed: switch (account_switch answers 500)",
        "Every server is back on v1.9.0",
    )
    assert set(desk.releases().values()) == {"v1.9.0"}
    assert set(Lab(desk.layout).balancer.states().values()) == {"UP"}
    assert desk.exchanged("v2.0.0-orgs") == ["app-1"]
    assert desk.value("SELECT count(*) FROM public.users WHERE email LIKE '%@smoke.invalid'") == 0


def _once_it_is_on(desk: Desk, server: str, act: t.Callable[[], None]) -> threading.Thread:
    """Do something as soon as the new release is on this server."""

    def wait_and_act() -> None:
        deadline = time.monotonic() + 240
        while desk.releases()[server] != "v2.0.0-orgs" and time.monotonic() < deadline:
            time.sleep(0.1)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def test_data_that_is_damaged_while_it_is_watched_takes_a_good_release_back(desk: Desk) -> None:
    account = desk.value(_ACCOUNT)
    slip = _once_it_is_on(desk, "app-1", lambda: desk.do(_MISLINK.format(account=account)))
    run = _deploy(desk)
    slip.join()
    _assert_taken_back(desk, run, "integrity", "wrong_links accounts failed in db-prod: 1 rows", account)


def test_a_fault_that_shows_in_the_last_watch_takes_every_server_back(desk: Desk) -> None:
    desk.play("playbooks/repair.yml", "--tags", "wrong_links").must_succeed()
    late = _once_it_is_on(desk, "app-4", lambda: _break_new_release(desk, "fatal_lines=true"))
    run = _deploy(desk, app_batches=[50, 100])
    late.join()
    _assert_taken_back(desk, run, "fatal_log", "FATAL", servers=4)


def test_mended_the_release_goes_in(desk: Desk) -> None:
    _deploy(desk, app_batches=[50, 100]).must_succeed()
    assert set(desk.releases().values()) == {"v2.0.0-orgs"}
    assert set(Lab(desk.layout).balancer.states().values()) == {"UP"}
