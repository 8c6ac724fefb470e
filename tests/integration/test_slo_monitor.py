# SPDX-License-Identifier: GPL-3.0-or-later
"""slo_monitor against stand-ins for Datadog and Sentry, and a file that the real promtool reads."""

from __future__ import annotations

import json
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.modules import slo_monitor
from integration.call_module import options
from lab.monitors import KEYS, Monitors, running, write_certificate

THREE = ["errors", "logins", "queries"]
PAGER = {"type": "pagerduty", "targetType": "specific", "targetIdentifier": "42", "integrationId": 1}
CHANNEL = {"type": "slack", "targetType": "specific", "targetIdentifier": "#emailai", "integrationId": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Monitors]:
    # To read the machine's hundred authorities for each request takes longer than all the rest.
    authority = tmp_path_factory.mktemp("trust") / "authority.pem"
    write_certificate(authority)
    with pytest.MonkeyPatch.context() as patch, running() as monitors:
        patch.setenv("SSL_CERT_FILE", str(authority))
        yield monitors


@pytest.fixture
def monitors(server: Monitors) -> Monitors:
    server.fault, server.after, server.wait = "", 10**9, "1"
    server.seen.clear()
    server.alerts.datadog.clear()
    server.alerts.sentry.clear()
    server.alerts.forgets = server.alerts.tells_all = False
    return server


class World:
    """One service of a kind, and what it holds."""

    def __init__(self, kind: str, monitors: Monitors, folder: Path) -> None:
        self.kind, self.monitors, self.path = kind, monitors, folder / "emailai.yml"
        self.service: dict[str, t.Any] = {
            "datadog": {
                "kind": "datadog", "url": monitors.url, "api_key": KEYS["api_key"],
                "application_key": KEYS["application_key"], "page": "@pagerduty-emailai",
                "tell": "@slack-team",
            },
            "sentry": {
                "kind": "sentry", "url": monitors.url, "token": KEYS["token"], "organization": "emailai",
                "projects": ["web"], "page": PAGER, "tell": CHANNEL,
            },
            "prometheus": {"kind": "prometheus", "path": str(self.path)},
        }[kind]  # fmt: skip

    def call(self, check_mode: bool = False, **given: t.Any) -> dict[str, t.Any]:
        service = {**self.service, "timeout_seconds": 1, **given.pop("service", {})}
        found = slo_monitor.run(options("slo_monitor", services=[service], **given), check_mode)
        for secret in KEYS.values():
            assert secret not in json.dumps(found)
        return found

    def held(self) -> t.Any:
        if self.kind == "prometheus":
            return self.path.read_text() if self.path.exists() else ""
        return json.loads(json.dumps(getattr(self.monitors.alerts, self.kind)))


@pytest.fixture(params=["datadog", "sentry", "prometheus"])
def world(request: pytest.FixtureRequest, monitors: Monitors, tmp_path: Path) -> World:
    return World(request.param, monitors, tmp_path)


@pytest.fixture(params=["datadog", "sentry"])
def asked(request: pytest.FixtureRequest, monitors: Monitors, tmp_path: Path) -> World:
    return World(request.param, monitors, tmp_path)


@pytest.mark.parametrize("state", ["present", "absent"])
def test_check_real_check_again_real_again(world: World, state: str) -> None:
    if state == "absent":
        world.call()
    before = world.held()
    planned = world.call(check_mode=True, state=state)
    assert planned["changed"]
    assert world.held() == before
    done = world.call(state=state)
    assert done["changed"]
    assert done["services"][0]["steps"] == planned["services"][0]["steps"]
    assert bool(world.held()) == (state == "present")
    after = world.held()
    for check_mode in (True, False):
        again = world.call(check_mode=check_mode, state=state)
        assert (again["changed"], again["services"][0]["steps"]) == (False, [])
        assert again["diff"][0]["before"] == again["diff"][0]["after"]
    assert world.held() == after


def test_datadog_holds_the_three_of_the_runbook(monitors: Monitors, tmp_path: Path) -> None:
    found = World("datadog", monitors, tmp_path).call()
    assert found["services"][0]["monitors"] == THREE
    held = {
        row["query"]: (row["message"], row["options"]["thresholds"])
        for row in monitors.alerts.datadog.values()
    }
    assert held == {
        "sum(last_1m):sum:emailai.errors{*}.as_count() > 10": (
            "more than 10 errors a minute. @pagerduty-emailai", {"critical": 10.0},
        ),
        "avg(last_5m):avg:emailai.db.query_time{query:Organization} > 100": (
            "organization queries above 100 ms. @slack-team", {"critical": 100.0},
        ),
        "sum(last_5m):sum:emailai.auth.failed{*}.as_count() > 5": (
            "more than 5 failed logins in 5 minutes. @slack-team", {"critical": 5},
        ),
    }  # fmt: skip


def test_sentry_holds_the_three_of_the_runbook(monitors: Monitors, tmp_path: Path) -> None:
    found = World("sentry", monitors, tmp_path).call()
    assert found["services"][0]["monitors"] == THREE
    held = {
        (row["aggregate"], row["timeWindow"], row["triggers"][0]["alertThreshold"]): (
            row["thresholdType"], row["triggers"][0]["actions"][0]["type"],
        )
        for row in monitors.alerts.sentry.values()
    }  # fmt: skip
    assert held == {
        ("count()", 1, 10.0): (0, "pagerduty"),
        ("avg(span.duration)", 5, 100.0): (0, "slack"),
        ("count()", 5, 5): (0, "slack"),
    }


def test_prometheus_reads_the_rules(monitors: Monitors, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        # Where CI runs it is installed, with the package prometheus, and a skip counts as a failure.
        pytest.skip("promtool is not installed: install the package prometheus")
    world = World("prometheus", monitors, tmp_path)
    # Whatever quotes somebody's own query has.
    for service in ({}, {"queries": {"errors": 'sum(increase(x{a="b\'c", d=~"e.*"}[1m]))'}}):
        world.call(service=service)
        done = subprocess.run(
            [promtool, "check", "rules", str(world.path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 rules found" in done.stdout
    for words in (
        "emailai_db_query_time",
        '> 100"',
        "[5m])) > 5",
        '{severity: "page"}',
        '{severity: "tell"}',
    ):
        assert words in world.held()


def test_the_file_of_somebody_else_is_left_alone(monitors: Monitors, tmp_path: Path) -> None:
    world = World("prometheus", monitors, tmp_path)
    world.path.write_text("groups: []\n")
    for state in ("present", "absent"):
        with pytest.raises(MigrationError, match="somebody else keeps rules in it"):
            world.call(state=state)
    assert world.held() == "groups: []\n"


def test_prometheus_may_read_the_file_and_its_folder_must_be_there(
    monitors: Monitors, tmp_path: Path
) -> None:
    world = World("prometheus", monitors, tmp_path)
    world.call()
    assert oct(world.path.stat().st_mode & 0o777) == "0o644"
    assert list(tmp_path.iterdir()) == [world.path]
    with pytest.raises(MigrationError, match="FileNotFoundError"):
        world.call(service={"path": str(tmp_path / "nowhere" / "rules.yml")})


def test_what_somebody_changed_is_changed_back_and_what_he_made_stays(asked: World) -> None:
    asked.call()
    held = getattr(asked.monitors.alerts, asked.kind)
    first, *_rest = held
    theirs = {**held[first], "id": 7, "name": "Theirs", "tags": ["team:x"]}
    held[7] = theirs
    if asked.kind == "datadog":
        held[first]["options"]["thresholds"]["critical"] = 99
    else:
        held[first]["triggers"][0]["alertThreshold"] = 99
    found = asked.call()
    assert [step.split()[0] for step in found["services"][0]["steps"]] == ["change"]
    assert not asked.call()["changed"]
    asked.call(state="absent")
    assert asked.held() == {"7": json.loads(json.dumps(theirs))}


def test_others_stay_even_where_the_service_lists_them_as_ours(monitors: Monitors, tmp_path: Path) -> None:
    world = World("datadog", monitors, tmp_path)
    world.call()
    theirs = {"id": 7, "name": "Theirs", "tags": ["team:x"]}
    monitors.alerts.datadog[7], monitors.alerts.tells_all = theirs, True
    assert not world.call()["changed"]
    world.call(state="absent")
    assert monitors.alerts.datadog == {7: theirs}


def test_a_second_one_of_the_same_goes(asked: World) -> None:
    asked.call()
    held = getattr(asked.monitors.alerts, asked.kind)
    first, *_rest = held
    held[900] = {**held[first], "id": 900}
    assert asked.call()["services"][0]["steps"] == ["remove errors"]
    assert len(asked.held()) == 3


def test_other_limits_change_what_is_there(world: World) -> None:
    world.call()
    found = world.call(limits={"alert_errors_per_minute": 20})
    assert found["services"][0]["steps"] == [
        "change rules" if world.kind == "prometheus" else "change errors"
    ]
    assert "20" in json.dumps(world.held())


REFUSALS = {
    "unauthorized": "answers 401",
    "missing": "answers 404",
    "too_many": "answers 429",
    "html_500": "answers 500",
    "html": "does not answer with JSON. Check the address",
    "slow": "did not answer within",
    "cut": "its answer broke off",
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_each_fault_is_told_apart_and_changes_nothing(asked: World, fault: str) -> None:
    asked.monitors.fault, asked.monitors.wait = fault, "60"
    with pytest.raises(MigrationError) as raised:
        asked.call()
    assert REFUSALS[fault] in str(raised.value)
    assert not any(secret in str(raised.value) for secret in KEYS.values())
    assert asked.held() == {}
    line = asked.call(state="checked")["readiness"][0]
    assert (line["state"], REFUSALS[fault] in line["found"]) == ("open", True)


def test_a_busy_service_is_waited_for(asked: World) -> None:
    asked.monitors.fault, asked.monitors.after, asked.monitors.wait = "too_many", 1, "0.2"
    assert asked.call()["changed"]


def test_a_service_that_keeps_nothing_is_found_out(asked: World) -> None:
    asked.monitors.alerts.forgets = True
    with pytest.raises(
        MigrationError, match=r"it does not hold what it was sent \(create errors, create queries"
    ):
        asked.call()


def test_an_interrupted_creation_goes_on(asked: World) -> None:
    """The third request fails: what was made by then is not made twice."""
    original = asked.monitors.alerts.answer
    count = iter(range(99))

    def fails_once(*words: t.Any) -> t.Any:
        return (500, {"errors": ["busy"]}) if next(count) == 2 else original(*words)

    asked.monitors.alerts.answer = fails_once  # type: ignore[method-assign]
    try:
        with pytest.raises(MigrationError, match="answers 500"):
            asked.call()
        assert len(asked.held()) == 1
        assert asked.call()["services"][0]["steps"] == ["create queries", "create logins"]
    finally:
        asked.monitors.alerts.answer = original  # type: ignore[method-assign]


def test_without_a_service_readiness_says_that_nobody_would_notice() -> None:
    found = slo_monitor.run(options("slo_monitor", state="checked", services=[]), False)
    (line,) = found["readiness"]
    assert (line["item"], line["state"]) == ("alerts call people", "not_watched")
    assert line["found"] == "gate_monitors is empty: nobody would notice"


def test_readiness_says_what_this_run_will_do(world: World) -> None:
    due = world.call(state="checked")["readiness"][0]
    assert (due["state"], due["item"]) == ("due", f"alerts at {world.kind}")
    assert "create" in due["found"]
    world.call()
    assert world.call(state="checked")["readiness"][0]["state"] == "met"


@pytest.mark.parametrize(
    ("kind", "service", "words"),
    [
        ("datadog", {"page": None}, "page is not set"),
        ("datadog", {"application_key": None}, "application_key is not set"),
        ("sentry", {"projects": []}, "projects is not set"),
        ("sentry", {"tell": "#emailai"}, "tell is no action"),
        ("prometheus", {"path": None}, "path is not set"),
        ("sentry", {"url": "http://sentry.example.com"}, "its key would travel in the clear"),
    ],
)
def test_a_service_that_is_half_described_is_refused(
    kind: str, service: dict[str, t.Any], words: str, monitors: Monitors, tmp_path: Path
) -> None:
    with pytest.raises(MigrationError, match=words):
        World(kind, monitors, tmp_path).call(service=service)


def test_a_wrong_description_changes_nothing_anywhere(monitors: Monitors, tmp_path: Path) -> None:
    good, bad = World("datadog", monitors, tmp_path), World("sentry", monitors, tmp_path)
    given = options("slo_monitor", services=[good.service, {**bad.service, "organization": None}])
    with pytest.raises(MigrationError, match="organization is not set"):
        slo_monitor.run(given, False)
    assert good.held() == {}
