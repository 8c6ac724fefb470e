# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's providers that are asked over HTTP, against stand-ins on loopback with all their faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._gate import provider, soak
from ansible_collections.emailai.migration.plugins.module_utils._gate.limits import Limits
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Look, Reading
from ansible_collections.emailai.migration.plugins.module_utils._gate.verdict import Question
from lab.monitors import KEYS, Monitors, running, write_certificate

ROOT = Path(__file__).resolve().parents[2]
SINCE = 1_700_000_000.0
Description = dict[str, t.Any]


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
    """Healthy before each test: 200 requests a window, one failed, p95 of 40 ms."""
    server.figures, server.fault, server.after, server.wait = {}, "", 10**9, "1"
    server.reported = None
    server.seen.clear()
    server.tell(200, 1, 40)
    return server


def described(kind: str, monitors: Monitors, **options: t.Any) -> Description:
    """As an inventory would have it, with the lag of its kind."""
    own: dict[str, Description] = {
        "prometheus": {
            "requests": "sum(increase(requests[$window]))",
            "errors": "sum(increase(errors[$window]))",
            "p95": "p95",
            "duration": "ms",
            "token": KEYS["token"],
        },
        "datadog": {
            "requests": "sum:requests{*}.as_count()",
            "errors": "sum:errors{*}.as_count()",
            "p95": "p95:p95{*}",
            "duration": "ms",
            "api_key": KEYS["api_key"],
            "application_key": KEYS["application_key"],
        },
        "sentry": {"token": KEYS["token"], "organization": "emailai"},
        "http_json": {
            "requests": "app.requests",
            "errors": "app.errors",
            "p95": "app.p95",
            "duration": "ms",
            "token": KEYS["token"],
        },
    }
    path = "/figures?from=$since&to=$until" if kind == "http_json" else ""
    return {
        "kind": kind,
        "name": kind,
        "url": monitors.url + path,
        "timeout_seconds": 1,
        **own[kind],
        **options,
    }


KINDS = ("prometheus", "datadog", "sentry", "http_json")
each_kind = pytest.mark.parametrize("kind", KINDS)


class Desk:
    """Looks again and again, with a clock of its own; positions travel as they do between hosts."""

    def __init__(self, *descriptions: Description) -> None:
        self.descriptions = descriptions
        self.positions: dict[str, t.Any] = {}

    def look(self, seconds: float) -> Reading:
        return self.look_at_all(seconds)[0]

    def look_at_all(self, seconds: float) -> list[Reading]:
        look = Look(SINCE + seconds, SINCE, 60)
        readings = provider.look_at_all(self.descriptions, self.positions, look)
        self.positions = json.loads(json.dumps({reading.name: reading.position for reading in readings}))
        for reading in readings:
            for secret in KEYS.values():
                assert secret not in json.dumps(reading.packed())
        return readings


def told(reading: Reading) -> dict[tuple[int, str], tuple[int, int, int | None]]:
    return {key: (tally.requests, tally.errors, tally.p95) for key, tally in reading.slots.items()}


@each_kind
def test_a_window_is_asked_for_once_and_when_its_figures_are_in(kind: str, monitors: Monitors) -> None:
    desk = Desk(described(kind, monitors))
    assert (desk.look(0).error, told(desk.look(59))) == ("", {})
    lag = {"prometheus": 30, "datadog": 60, "sentry": 90, "http_json": 0}[kind]
    assert told(desk.look(59 + lag)) == {}
    number = len(monitors.seen)
    assert told(desk.look(60 + lag)) == {(0, "*"): (200, 1, 40)}
    assert len(monitors.seen) > number
    number = len(monitors.seen)
    assert told(desk.look(62 + lag)) == {}
    assert len(monitors.seen) == number
    assert set(told(desk.look(240 + lag))) == {(1, "*"), (2, "*"), (3, "*")}


@each_kind
def test_the_first_look_asks_at_once_and_counts_nothing(kind: str, monitors: Monitors) -> None:
    """So that preparing a run says what is wrong with a source, before anything depends on it."""
    reading = Desk(described(kind, monitors)).look(0)
    assert (reading.error, reading.slots, reading.figures) == ("", {}, {"requests_before": 200})
    assert monitors.seen != []


HOST = "127.0.0.1"
FAULTS: dict[str, str] = {
    "html": f"{HOST} does not answer with JSON. Check the address",
    "html_500": f"{HOST} answers 500",
    "unauthorized": f"{HOST} answers 401, ",
    "missing": f"{HOST} answers 404, Not found. Check the address",
    "redirect": f"{HOST} answers 302. Give the address that it redirects to",
    "too_many": f"{HOST} answers 429",
    "slow": f"{HOST} did not answer within",
    "drip": f"{HOST} did not answer within",
    "cut": f"{HOST} cannot be read: its answer broke off",
    "null": "no number of requests; that is not zero",
    "nan": "no number of requests; that is not zero",
    "empty": "no number of requests; that is not zero",
}


@each_kind
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence_and_never_a_figure(kind: str, fault: str, monitors: Monitors) -> None:
    monitors.fault, monitors.wait = fault, "60"
    desk = Desk(described(kind, monitors, timeout_seconds=0.5 if fault in ("slow", "drip") else 5))
    reading = desk.look(200)
    assert FAULTS[fault] in reading.error
    assert kind in reading.error
    assert reading.slots == {}
    assert "/elsewhere" not in [seen.path for seen in monitors.seen]
    # It heals: no window is lost, and none is counted twice.
    monitors.fault = ""
    desk.descriptions = (described(kind, monitors),)
    assert set(told(desk.look(300))) >= {(0, "*"), (1, "*"), (2, "*")}


@pytest.mark.parametrize("kind", ["prometheus", "datadog", "sentry"])
@pytest.mark.parametrize("fault", ["two_series", "duplicate"])
def test_several_series_where_one_was_expected_are_refused(kind: str, fault: str, monitors: Monitors) -> None:
    monitors.fault = fault
    error = Desk(described(kind, monitors)).look(0).error
    assert "server_label" in error
    assert ("twice" in error) or ("several series" in error)


@pytest.mark.parametrize(
    ("kind", "label"), [("prometheus", "instance"), ("datadog", "host"), ("sentry", "server_name")]
)
def test_servers_are_told_apart_by_a_label_and_get_the_balancers_names(
    kind: str, label: str, monitors: Monitors
) -> None:
    monitors.figures = {}
    monitors.tell(100, 0, 40, "10.0.0.1:80")
    monitors.tell(100, 50, 400, "app-2")
    desk = Desk(described(kind, monitors, server_label=label, names={"10.0.0.1:80": "app-1"}, lag_seconds=0))
    assert told(desk.look(60)) == {(0, "app-1"): (100, 0, 40), (0, "app-2"): (100, 50, 400)}
    monitors.fault = "duplicate"
    assert "of app-1 twice" in desk.look(120).error


@each_kind
def test_a_window_without_data_is_asked_again_and_passed_over_once_a_later_one_has_some(
    kind: str, monitors: Monitors
) -> None:
    desk = Desk(described(kind, monitors, lag_seconds=0))
    monitors.fault = "empty"
    assert "that is not zero" in desk.look(60).error
    # Left alone for a while, and dead all the while.
    number = len(monitors.seen)
    assert "that is not zero" in desk.look(62).error
    assert len(monitors.seen) == number
    monitors.after = 1
    reading = desk.look(130)
    assert reading.error == ""
    if kind in ("datadog", "sentry", "http_json"):
        assert set(told(reading)) == {(1, "*")}
        assert "told nothing of a window" in reading.notes[0]


def test_a_source_that_is_behind_is_dead_until_it_has_told_all(monitors: Monitors) -> None:
    desk = Desk(described("http_json", monitors, timeout_seconds=0.6))
    first = desk.look(60 * 200)
    assert first.error != ""
    seen, reading = list(told(first)), first
    assert 0 < len(seen) < 200
    for number in range(1, 100):
        if not reading.error:
            break
        reading = desk.look(60 * 200 + number / 10)
        seen += told(reading)
    assert reading.error == ""
    assert sorted(seen) == [(slot, "*") for slot in range(200)]


@each_kind
def test_a_source_is_asked_again_within_the_look_if_it_asks_to_wait_briefly(
    kind: str, monitors: Monitors
) -> None:
    monitors.fault, monitors.after, monitors.wait = "too_many", 1, "0.1"
    assert Desk(described(kind, monitors)).look(0).error == ""


@each_kind
def test_a_source_that_asks_to_wait_longer_is_left_alone_as_long(kind: str, monitors: Monitors) -> None:
    monitors.fault, monitors.wait = "too_many", "40"
    desk = Desk(described(kind, monitors))
    assert "429" in desk.look(0).error
    monitors.fault, number = "", len(monitors.seen)
    assert "429" in desk.look(39).error
    assert len(monitors.seen) == number
    assert desk.look(41).error == ""


@each_kind
def test_no_secret_is_repeated_though_the_server_does(kind: str, monitors: Monitors) -> None:
    monitors.fault = "echo"
    address = described(kind, monitors)["url"]
    error = Desk(described(kind, monitors)).look(0).error
    assert "answers 400" in error
    assert "***" in error or kind == "sentry" or "5ecret" not in error
    assert address not in error


def test_each_is_asked_in_its_own_way(monitors: Monitors) -> None:
    for kind in KINDS:
        Desk(described(kind, monitors, lag_seconds=0)).look(60)
    by_path = {seen.path: seen for seen in monitors.seen}
    prometheus, datadog = by_path["/api/v1/query"], by_path["/api/v2/query/scalar"]
    sentry, page = by_path["/api/0/organizations/emailai/events/"], by_path["/figures"]
    assert prometheus.headers["Authorization"] == f"Bearer {KEYS['token']}"
    assert prometheus.words["time"] == ["1700000060.000"]
    asked = [seen.words["query"][0] for seen in monitors.seen if seen.path == prometheus.path]
    assert asked[0] == "sum(increase(requests[60s]))"
    sent = {name.lower(): value for name, value in datadog.headers.items()}
    assert (sent["dd-api-key"], sent["dd-application-key"]) == (KEYS["api_key"], KEYS["application_key"])
    attributes = datadog.document["data"]["attributes"]
    assert (attributes["from"], attributes["to"]) == (1_700_000_000_000, 1_700_000_060_000)
    assert sentry.words["start"] == ["2023-11-14T22:13:20.000"]
    assert sentry.words["end"] == ["2023-11-14T22:14:20.000"]
    assert sentry.words["query"] == ["is_transaction:true"]
    assert page.words == {"from": ["1700000000"], "to": ["1700000060"]}


def test_sentrys_errors_are_told_without_requests(monitors: Monitors) -> None:
    options = {"dataset": "errors", "requests_of": "haproxy", "projects": ["42"], "query": "release:v2"}
    desk = Desk(described("sentry", monitors, **options))
    reading = desk.look(150)
    assert told(reading) == {(0, "*"): (0, 1, None)}
    assert (reading.measures, reading.requests_of) == (("errors",), "haproxy")
    assert monitors.seen[-1].words["project"] == ["42"]
    assert monitors.seen[-1].words["query"] == ["release:v2"]


def test_counters_that_only_grow_are_counted_from_look_to_look(monitors: Monitors) -> None:
    desk = Desk(described("http_json", monitors, url=f"{monitors.url}/figures", server="app-1"))
    monitors.tell(1000, 5, 40)
    assert told(desk.look(0)) == {}
    monitors.tell(1100, 7, 50)
    assert told(desk.look(2)) == {(0, "app-1"): (100, 2, 50)}
    monitors.fault = "cut"
    assert "broke off" in desk.look(4).error
    monitors.fault = ""
    monitors.tell(1200, 7, 50)
    assert told(desk.look(62)) == {(1, "app-1"): (100, 0, 50)}
    monitors.tell(30, 1, 50)
    reading = desk.look(64)
    assert told(reading) == {(1, "app-1"): (30, 1, 50)}
    assert "began anew" in reading.notes[0]
    monitors.tell(30, 1, None)
    assert told(desk.look(66)) == {(1, "app-1"): (0, 0, None)}


@pytest.mark.usefixtures("server")
def test_a_certificate_is_refused_until_its_authority_is_named(tmp_path: Path) -> None:
    authority = tmp_path / "server.pem"
    write_certificate(authority)
    with running(authority) as safe:
        safe.tell(200, 1, 40)

        def error(**options: t.Any) -> str:
            return Desk(described("prometheus", safe, **options)).look(0).error

        assert "certificate that cannot be verified. Name its authority in ca_cert" in error()
        assert error(ca_cert=str(authority)) == ""
        assert error(validate_certs=False) == ""
        assert "the file of ca_cert is not there" in error(ca_cert=f"{authority}.gone")


# A whole watch


class World:
    """Time passes only when somebody sleeps."""

    def __init__(self, *descriptions: Description, meanwhile: t.Callable[[float], None]) -> None:
        self.desk, self.now, self.meanwhile = Desk(*descriptions), 0.0, meanwhile

    def look(self) -> list[Reading]:
        self.meanwhile(self.now)
        # The host is asked for the first time a moment after the watch began.
        return self.desk.look_at_all(self.now - 1)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def say(self, line: str) -> None:
        pass


def watch(
    *descriptions: Description, meanwhile: t.Callable[[float], None] = lambda now: None
) -> dict[str, t.Any]:
    question = Question(members=("app-1",), baseline={"p95_ms": 40}, limits=Limits(extensions=1))
    world = World(*descriptions, meanwhile=meanwhile)
    return soak.soak(world, question, soak.Plan(300, poll_seconds=10))


@each_kind
def test_a_healthy_release_passes_once_the_last_figures_are_in(kind: str, monitors: Monitors) -> None:
    outcome = watch(described(kind, monitors))
    assert (outcome["verdict"], outcome["reasons"]) == ("pass", [])
    assert outcome["providers"][kind]["requests"] == 1000
    lag = {"prometheus": 30, "datadog": 60, "sentry": 90, "http_json": 0}[kind]
    assert 300 + lag <= outcome["elapsed_seconds"] <= 320 + lag


@each_kind
def test_a_failing_release_goes_back(kind: str, monitors: Monitors) -> None:
    monitors.tell(200, 20, 40)
    outcome = watch(described(kind, monitors))
    assert (outcome["trigger"], outcome["action"]) == ("error_rate_over_5", "roll_back")
    assert outcome["reasons"][0].startswith("the service failed 20 of 200 requests")


@each_kind
def test_a_slow_release_is_a_question(kind: str, monitors: Monitors) -> None:
    monitors.tell(200, 0, 400)
    outcome = watch(described(kind, monitors))
    assert (outcome["trigger"], outcome["action"]) == ("slower_than_before", "hold")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [("prometheus", "html_500"), ("datadog", "null"), ("sentry", "unauthorized"), ("http_json", "cut")],
)
def test_a_source_that_dies_holds_and_never_goes_back(kind: str, fault: str, monitors: Monitors) -> None:
    """Though what it told before was enough to pass."""

    def die(now: float) -> None:
        monitors.fault = fault if now > 250 else ""

    outcome = watch(described(kind, monitors), meanwhile=die)
    assert (outcome["verdict"], outcome["action"]) == ("inconclusive", "hold")
    assert outcome["reasons"][0].startswith(f"{kind} cannot be read: Cannot ")


def test_sentrys_errors_are_held_against_the_requests_of_another(monitors: Monitors) -> None:
    lender = described("prometheus", monitors, lag_seconds=0)
    borrower = described("sentry", monitors, dataset="errors", requests_of="prometheus")
    assert watch(borrower, lender)["verdict"] == "pass"
    # The balancer saw one failure in two hundred, Sentry a storm.
    monitors.reported = 30
    outcome = watch(borrower, lender)
    assert (outcome["trigger"], outcome["findings"][0]["provider"]) == ("error_rate_over_5", "sentry")


# Through Ansible


def test_preparing_a_run_asks_each_once_and_shows_no_secret(monitors: Monitors, tmp_path: Path) -> None:
    providers = [described(kind, monitors, timeout_seconds=10) for kind in KINDS]
    providers[0]["url"] = f"{monitors.url}/wrong"
    providers.append({**providers[2], "name": "errors", "dataset": "errors", "requests_of": "datadog"})
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [
            {
                "emailai.migration.slo_gate": {"state": "checked", "providers": providers},
                "register": "checked",
            },
            {
                "ansible.builtin.copy": {
                    "dest": f"{tmp_path}/lines.json",
                    "content": "{{ checked.readiness | to_json }}",
                    "mode": "0600",
                }
            },
        ],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    done = subprocess.run(
        ["ansible-playbook", "-vvv", "-c", "local", "-i", "localhost,", str(tmp_path / "play.yml")],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5ecret" not in done.stdout + done.stderr
    lines = json.loads((tmp_path / "lines.json").read_text())
    assert [(line["item"], line["state"]) for line in lines] == [
        ("gate provider prometheus", "open"),
        ("gate provider datadog", "met"),
        ("gate provider sentry", "met"),
        ("gate provider http_json", "met"),
        ("gate provider errors", "met"),
    ]
    assert lines[0]["found"].startswith(
        "Cannot ask prometheus: its answer is not one of Prometheus. Check the"
    )
    assert lines[1]["found"] == "requests_before 200"
    # Three measures are as many queries for Prometheus, and one of them was enough to know.
    assert len(monitors.seen) == 5
