# SPDX-License-Identifier: GPL-3.0-or-later
"""Formats, counters and words: what the providers make of what they read."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._error import MigrationError
from ansible_collections.emailai.migration.plugins.module_utils._gate import provider, readiness
from ansible_collections.emailai.migration.plugins.module_utils._gate.providers import (
    error_log,
    haproxy,
    postgres,
)
from ansible_collections.emailai.migration.plugins.module_utils._gate.providers.access_log import Format
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Event, Look, reading_from

from .worlds import reading

LINE = "ts=1700000000500 server=app-1 status=200 ms=12 method=GET path=/x"


def look(now: float = 1000.0, since: float = 0.0, **options: t.Any) -> Look:
    return Look(now=now, since=since, window_seconds=60, **options)


# Access log


@pytest.mark.parametrize(
    ("description", "line"),
    [
        ({}, LINE),
        ({}, f"<134>Nov 23 11:00:00 haproxy[1]: {LINE}\r\n"),
        (
            {"columns": ["ip", "ts", "server", "status", "ms", "path"], "delimiter": ";"},
            "10.0.0.1;1700000000500;app-1;200;12;/x",
        ),
        (
            {
                "columns": ["t", "up", "code", "took", "uri"],
                "names": {"at": "t", "server": "up", "status": "code", "ms": "took", "path": "uri"},
                "time": "iso",
                "duration": "s",
            },
            "[2023-11-14T22:13:20.500+00:00] app-1 200 0.012 /x",
        ),
        ({"time": "epoch"}, LINE.replace("1700000000500", "1700000000.5")),
    ],
)
def test_a_declared_format_is_read(description: dict[str, t.Any], line: str) -> None:
    request = Format(description).request(line)
    assert request is not None
    assert (request.at, request.server, request.status, request.path) == (1700000000.5, "app-1", 200, "/x")
    assert request.milliseconds == pytest.approx(12)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Proxy emailai started.",
        LINE.replace("200", "OK"),
        LINE.replace("server=app-1", "server="),
        "ts=1 ms=2",
    ],
)
def test_what_is_no_request_is_none(line: str) -> None:
    assert Format({}).request(line) is None


def read_log(path: Path, *lines: str, **options: t.Any) -> t.Any:
    path.write_text("".join(f"{line}\n" for line in lines))
    description = {"kind": "access_log", "name": "log", "path": str(path), **options}
    (found,) = provider.look_at_all([description], {}, look(since=1700000000))
    return found


def request(second: float, status: int = 200, server: str = "app-1", path: str = "/x", ms: int = 12) -> str:
    at = int((1700000000 + second) * 1000)
    return f"ts={at} server={server} status={status} ms={ms} method=GET path={path}"


def test_requests_are_counted_by_window_and_server(tmp_path: Path) -> None:
    lines = [
        request(1),
        request(2, 500),
        request(61, 404),
        request(61, 502, "app-2", ms=40),
        request(-5, 500),
    ]
    found = read_log(tmp_path / "log", *lines)
    assert found.error == ""
    counts = {key: (tally.requests, tally.errors, tally.p95) for key, tally in found.slots.items()}
    assert counts == {(0, "app-1"): (2, 1, 12), (1, "app-1"): (1, 0, 12), (1, "app-2"): (1, 1, 40)}


def test_a_client_that_went_away_is_no_failure_of_the_server(tmp_path: Path) -> None:
    found = read_log(tmp_path / "log", request(1, -1, ms=900))
    assert found.slots[0, "app-1"].figures() == {
        "requests": 1,
        "errors": 0,
        "error_percent": 0.0,
        "p95_ms": 900,
    }


def test_a_log_in_another_format_is_an_error_and_not_silence(tmp_path: Path) -> None:
    found = read_log(tmp_path / "log", *["10.0.0.1 - GET / 200"] * 50, request(1))
    assert "50 of 51 lines are not in the declared format" in found.error
    assert found.slots == {}


def test_a_few_strange_lines_are_none(tmp_path: Path) -> None:
    found = read_log(tmp_path / "log", *["Proxy emailai started."] * 5, request(1))
    assert (found.error, found.slots[0, "app-1"].requests) == ("", 1)


def test_failed_logins_and_webhooks_are_counted_apart(tmp_path: Path) -> None:
    lines = [
        request(1, 401, path="/api/login"),
        request(2, 401, path="/api/login"),
        request(3, 200, path="/api/login"),
    ]
    found = read_log(tmp_path / "log", *lines, request(4, 422, path="/api/webhooks/stripe"))
    assert {(event.trigger, event.count) for event in found.events} == {("failed_logins", 2), ("billing", 1)}


def test_what_is_counted_apart_can_be_declared(tmp_path: Path) -> None:
    rule = {"trigger": "billing", "path": "/pay", "from_status": 500, "to_status": 500}
    lines = [
        request(1, 500, path="/pay/1"),
        request(2, 502, path="/pay/1"),
        request(1, 401, path="/api/login"),
    ]
    found = read_log(tmp_path / "log", *lines, counted=[rule])
    assert [(event.trigger, event.count) for event in found.events] == [("billing", 1)]


# HAProxy


def counters(**values: int) -> dict[str, int]:
    return {**dict.fromkeys((*haproxy._ANSWERS, *haproxy._UNANSWERED), 0), **values}


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (counters(hrsp_2xx=10), counters(hrsp_2xx=15), (5, 0)),
        (counters(hrsp_2xx=10, hrsp_5xx=1), counters(hrsp_2xx=12, hrsp_5xx=4), (5, 3)),
        # Nobody answered: HAProxy counts these apart from the answers of the server.
        (counters(), counters(econ=4, eresp=1), (5, 5)),
        # Counters that fell began again at zero.
        (counters(hrsp_2xx=1000, hrsp_5xx=50), counters(hrsp_2xx=7, hrsp_5xx=2), (9, 2)),
        ({}, counters(hrsp_2xx=3), (3, 0)),
    ],
)
def test_counters_become_requests(
    then: dict[str, int], now: dict[str, int], expected: tuple[int, int]
) -> None:
    assert haproxy._since(then, now) == expected


STAT = (
    "# pxname,svname,status,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,econ,eresp,\n"
    "web,FRONTEND,OPEN,0,9,0,0,0,0,,,\n"
    "emailai,app-1,UP,0,{good},0,0,{bad},0,0,0,\n"
    "emailai,app-2,{status},0,5,0,0,0,0,0,0,\n"
    "emailai,BACKEND,UP,0,9,0,0,0,0,0,0,\n"
    "other,app-1,UP,0,99,0,0,99,0,0,0,\n"
)


class Socket:
    """HAProxy's answers, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, dict[str, t.Any]]) -> None:
        texts = iter([f"Name: HAProxy\nPid: {pid}\n\n{STAT.format(**row)}\n" for pid, row in answers])
        monkeypatch.setattr(haproxy, "_ask", lambda address, command: next(texts))
        self.positions: dict[str, t.Any] = {}

    def look(self) -> t.Any:
        description = {"kind": "haproxy", "name": "haproxy", "socket": "/s", "backend": "emailai"}
        (found,) = provider.look_at_all([description], self.positions, look())
        self.positions = {"haproxy": json.loads(json.dumps(found.position))}
        return found


def row(good: int, bad: int, status: str = "UP") -> dict[str, t.Any]:
    return {"good": good, "bad": bad, "status": status}


def test_the_first_look_counts_nothing_the_second_what_came_since(monkeypatch: pytest.MonkeyPatch) -> None:
    socket = Socket(monkeypatch, (7, row(100, 50)), (7, row(110, 51)))
    assert socket.look().slots == {}
    found = socket.look()
    assert (found.slots[16, "app-1"].requests, found.slots[16, "app-1"].errors) == (11, 1)
    assert set(found.figures["servers"]) == {"app-1", "app-2"}


def test_after_a_reload_counting_begins_anew_even_above_the_old_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    socket = Socket(monkeypatch, (7, row(10, 0)), (8, row(15, 2)))
    socket.look()
    found = socket.look()
    assert (found.slots[16, "app-1"].requests, found.slots[16, "app-1"].errors) == (17, 2)
    assert "reloaded" in found.notes[0]


def test_a_server_that_is_down_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Socket(monkeypatch, (7, row(1, 0, "DOWN"))).look()
    assert [(event.trigger, event.server) for event in found.events] == [("server_down", "app-2")]
    assert Socket(monkeypatch, (7, row(1, 0, "MAINT"))).look().events == []


@pytest.mark.parametrize("answer", ["", "Permission denied\n", "# pxname,svname,status,\nweb,app-1,UP,\n"])
def test_an_answer_without_our_servers_is_an_error(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(haproxy, "_ask", lambda address, command: answer)
    description = {"kind": "haproxy", "socket": "/s", "backend": "emailai"}
    (found,) = provider.look_at_all([description], {}, look())
    assert "Cannot read HAProxy's statistics" in found.error


# Error log


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        ("FATAL", "2026 FATAL: gone", True),
        ("FATAL", "a non-fatal warning", False),
        ("unhandled", "UnhandledPromiseRejection", True),
        ("out of memory", "JavaScript heap OUT OF MEMORY", True),
        ("out of memory", "memory is fine", False),
    ],
)
def test_patterns(pattern: str, line: str, expected: bool) -> None:
    assert error_log.matches(pattern, line) is expected


def test_an_error_log_is_watched_from_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("FATAL of yesterday\n")
    description = {"kind": "error_log", "path": str(path), "server": "app-1"}
    now = look(fatal_patterns=("FATAL",), connection_patterns=("Can't reach database server",))
    (first,) = provider.look_at_all([description], {}, now)
    assert first.events == []
    with path.open("a") as handle:
        handle.write("FATAL secret@example.org\ninfo\nCan't reach database server at db\n" * 2)
    (second,) = provider.look_at_all([description], {"error_log": first.position}, now)
    assert {(event.trigger, event.server, event.count) for event in second.events} == {
        ("fatal_log", "app-1", 2),
        ("connection_failures", "app-1", 2),
    }
    # The logs of several servers mostly have one path: the text says whose it was.
    assert {event.text.rpartition(" in ")[2] for event in second.events} == {f"{path} of app-1"}
    assert "example.org" not in json.dumps(second.packed())
    assert second.figures["lines"] == 6


# PostgreSQL


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("connection to server at 10.0.0.1 failed: Connection refused", True),
        ("FATAL: sorry, too many clients already", True),
        ("FATAL: remaining connection slots are reserved", True),
        ("timeout expired", True),
        ("the database system is starting up", True),
        ('FATAL: password authentication failed for user "reader"', False),
        ("psycopg2 cannot be imported (No module named psycopg2)", False),
        ('FATAL: database "emailai" does not exist', False),
    ],
)
def test_a_refusal_that_the_application_would_meet_too(sentence: str, expected: bool) -> None:
    assert bool(postgres._connection_failure(sentence)) is expected


def test_the_slowest_queries_since_the_start() -> None:
    rows = [
        ("1", "SELECT  1\nFROM x", 110, 1500.0, 90.0),
        ("2", "migration's own", 5, 900.0, 300.0),
        ("3", "reset meanwhile", 2, 4.0, 3.0),
        ("4", "new", 10, 1000.0, 200.0),
    ]
    start = {"1": (100, 1000.0), "2": (5, 900.0), "3": (50, 500.0)}
    found = postgres.slowest(rows, start)
    assert [(q["query"], q["calls"], q["mean_ms"], q["max_ms"]) for q in found] == [
        ("new", 10, 100.0, 200.0),
        ("SELECT 1 FROM x", 10, 50.0, 90.0),
        ("reset meanwhile", 2, 2.0, 3.0),
    ]
    assert len(postgres.slowest([(str(n), "q", 1, 1.0, 1.0) for n in range(30)], {})) == 10


# The face


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"kind": "crystal_ball"}, "no provider is of that kind"),
        ({"kind": "haproxy", "socket": "/s"}, "backend is not set"),
        ({"kind": "access_log"}, "path is not set"),
        ({"kind": "postgres"}, "no database is named"),
    ],
)
def test_a_provider_that_cannot_work_is_refused(description: dict[str, t.Any], words: str) -> None:
    with pytest.raises(MigrationError, match=words):
        provider.make(description)


def test_two_providers_of_one_name_are_refused() -> None:
    twins = [{"kind": "error_log", "path": "/a"}, {"kind": "error_log", "path": "/b"}]
    with pytest.raises(MigrationError, match="same name"):
        provider.look_at_all(twins, {}, look())


def test_a_dead_provider_says_so_and_keeps_its_place(tmp_path: Path) -> None:
    dead = {"kind": "access_log", "name": "dead", "path": str(tmp_path / "none")}
    alive = {"kind": "error_log", "path": str(tmp_path / "app.log")}
    (tmp_path / "app.log").write_text("")
    place = {"inode": 1, "offset": 5, "mark": "x"}
    found = provider.look_at_all([dead, alive], {"dead": place}, look())
    assert "Cannot read log" in found[0].error
    assert found[0].position == place
    assert found[1].error == ""


def test_a_reading_survives_the_way_from_host_to_controller() -> None:
    one = reading(3, events=[Event("fatal_log", "text", "app-1", 2)], app_1=(10, 1, 9))
    one.notes.append("note")
    assert reading_from(json.loads(json.dumps(one.packed()))) == one


def test_readiness_says_who_answers_and_what_nobody_measures() -> None:
    lines = readiness.lines(
        [reading(name="log"), reading(name="db", error="refused", measures=())],
        [{"kind": "access_log", "name": "log"}, {"kind": "postgres", "name": "db", "host": "prod-db"}],
    )
    assert [(line["item"], line["state"], line["found"]) for line in lines] == [
        ("gate provider log", "met", "answers"),
        ("gate provider db", "open", "refused"),
    ]
    assert lines[1]["read_by"] == "access_log on prod-db"
    assert {line["kind"] for line in lines} == {"gate"}
    blind = readiness.lines([reading(measures=("errors",))], [{"kind": "haproxy", "name": "log"}])
    assert [line["item"] for line in blind if line["state"] == "open"] == ["gate response times"]
