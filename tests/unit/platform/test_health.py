# SPDX-License-Identifier: GPL-3.0-or-later
"""When a server counts as healthy."""

from __future__ import annotations

import json
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.emailai.migration.plugins.module_utils._platform import health, http, report
from ansible_collections.emailai.migration.plugins.module_utils._platform.health import Answer, Streak

GOOD = Answer(status=200, word="ok", version="v2")


def streak(*answers: Answer) -> Streak:
    found = Streak()
    for answer in answers:
        found = found.then(answer, "v2")
    return found


@given(st.lists(st.booleans(), max_size=30))
def test_only_good_answers_in_a_row_count(goods: list[bool]) -> None:
    found = streak(*(GOOD if good else Answer(status=503) for good in goods))
    row = 0
    for good in goods:
        row = row + 1 if good else 0
    assert found.good == row
    assert found.answers == len(goods)
    assert (health.outcome(found, 3) == "healthy") == (row >= 3)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(status=503, word="starting", version="v2"), "it answers 503, status starting, version v2"),
        (Answer(status=302), "it answers 302, version not named"),
        (Answer(status=200, word="degraded", version="v2"), "it answers 200, status degraded, version v2"),
        (Answer(status=200, word="ok", version="v1"), "it runs v1, not v2"),
        (Answer(status=200), "it runs a release it does not name, not v2"),
        (Answer(failure="Connection refused"), "no answer (Connection refused)"),
        (GOOD, ""),
        (Answer(status=204, version="v2"), ""),
    ],
)
def test_each_answer_is_good_or_has_a_fault(answer: Answer, fault: str) -> None:
    assert health.fault(answer, "v2") == fault


def test_a_release_that_changes_begins_a_new_row() -> None:
    found = Streak().then(GOOD, "").then(GOOD, "").then(Answer(status=200, version="v3"), "")
    assert found.good == 1


def test_the_three_outcomes() -> None:
    assert health.outcome(streak(GOOD, GOOD, GOOD), 3) == "healthy"
    assert health.outcome(streak(GOOD, GOOD), 3) == "sick"
    assert health.outcome(streak(GOOD, Answer(failure="refused")), 3) == "silent"
    assert health.outcome(Streak(), 3) == "silent"
    assert health.reason(streak(GOOD), 3, "v2") == (
        "only 1 of 3 good answers in a row; the last was 200, status ok, version v2"
    )


@pytest.mark.parametrize(
    ("body", "header", "expected"),
    [
        (b'{"status": "ok", "version": "v2"}', "", ("ok", "v2")),
        (b"fine", "v2", ("", "v2")),
        (b"[1]", "", ("", "")),
        (b"\xff", "", ("", "")),
        (b'{"status": "ok"}', "v2", ("ok", "v2")),
    ],
)
def test_what_is_read_from_an_answer(body: bytes, header: str, expected: tuple[str, str]) -> None:
    found = health.read(200, body, header)
    assert (found.word, found.version) == expected


class Handler(BaseHTTPRequestHandler):
    replies: t.ClassVar[list[tuple[int, str]]] = []

    def do_GET(self) -> None:
        status, version = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        body = json.dumps({"status": "ok", "version": version}).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/login")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: t.Any) -> None:
        pass


@pytest.fixture
def server() -> t.Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}/api/health"
        found.shutdown()
        thread.join()


def watch(url: str, expected: str = "v2", seconds: float = 5) -> dict[str, t.Any]:
    return http.watch(url, expected, http.Patience(3, 0.01, seconds))


def test_a_cold_server_is_waited_for(server: str) -> None:
    Handler.replies = [(503, "v2"), (200, "v1"), (200, "v2"), (200, "v2"), (503, "v2"), (200, "v2")]
    found = watch(server)
    assert (found["outcome"], found["answers"], found["version"]) == ("healthy", 8, "v2")


def test_a_login_page_is_not_a_healthy_application(server: str) -> None:
    Handler.replies = [(302, "v2")]
    found = watch(server, seconds=0.1)
    assert (found["outcome"], found["status"]) == ("sick", 302)


def test_one_that_is_not_there_is_silent_and_all_are_named(server: str) -> None:
    Handler.replies = [(200, "v2")]
    servers = http.watch_all([server, "http://127.0.0.1:1/api/health"], "v2", http.Patience(1, 0.01, 0.1))
    found = report.of(servers, "v2", 1)
    assert found["outcome"] == "silent"
    assert [line["state"] for line in found["readiness"]] == ["met", "open"]
    assert "Cannot confirm the health of http://127.0.0.1:1/api/health: no answer" in str(
        report.failure(found)
    )


def test_nobody_asked_is_nobody_healthy() -> None:
    assert report.of([], "v2", 3)["outcome"] == "silent"
    assert "none is named" in str(report.failure(report.of([], "v2", 3)))
