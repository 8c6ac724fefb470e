# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's provider vercel: what is heard in a log without an end, and what silence means."""

from __future__ import annotations

import json
import time
import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._gate import provider, soak
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Look, Reading
from ansible_collections.emailai.migration.plugins.module_utils._gate.verdict import Question
from vercel_world.stand_in import OLD, TEAM, TOKEN, StandIn

SINCE = 1_700_000_000.0


def row(number: int, status: int = 200, seconds: float = 1.0, source: str = "request") -> dict[str, t.Any]:
    return {
        "rowId": f"row-{number}", "timestampInMs": int((SINCE + seconds) * 1000), "source": source,
        "responseStatusCode": status, "level": "info", "message": "", "messageTruncated": False,
        "domain": "app.example.com", "requestMethod": "GET", "requestPath": "/api/rules",
    }  # fmt: skip


class Desk:
    def __init__(self, stand: StandIn, **options: t.Any) -> None:
        self.positions: dict[str, t.Any] = {}
        self.description = {
            "kind": "vercel", "name": "vercel", "url": stand.url, "token": TOKEN, "project": "emailai",
            "team_id": TEAM, "timeout_seconds": 1, **options,
        }  # fmt: skip

    def look(self, seconds: float = 60.0) -> Reading:
        reading = provider.look_at_all([self.description], self.positions, Look(SINCE + seconds, SINCE, 60))[
            0
        ]
        self.positions = json.loads(json.dumps({reading.name: reading.position}))
        assert TOKEN not in json.dumps(reading.packed())
        return reading


def told(reading: Reading) -> dict[tuple[int, str], tuple[int, int]]:
    return {key: (tally.requests, tally.errors) for key, tally in reading.slots.items()}


def test_requests_are_counted_once_by_window_and_nothing_else_is(stand: StandIn) -> None:
    stand.logs = [
        row(1),
        row(2, 503),
        row(3, 404, 61),
        row(4, 500, source="serverless"),
        row(5, 500, -9),
        row(6, 0),
    ]
    stand.logs += [{"raw": ""}, row(2, 503)]
    desk = Desk(stand)
    reading = desk.look()
    assert (reading.error, told(reading)) == ("", {(0, "*"): (2, 1), (1, "*"): (1, 0)})
    # Whoever listens again is told the same again.
    assert told(desk.look()) == {}
    stand.logs += [row(7, 500, 61), row(8, 200, 62)]
    assert told(desk.look()) == {(1, "*"): (2, 1)}


def test_a_look_ends_though_the_log_does_not(stand: StandIn) -> None:
    stand.logs = [row(1)]
    began = time.monotonic()
    assert Desk(stand).look().error == ""
    assert time.monotonic() - began < 3


def test_a_log_that_ends_is_listened_to_again(stand: StandIn) -> None:
    stand.logs = [row(1), {**row(2), "end": True}]
    desk = Desk(stand)
    assert told(desk.look()) == {(0, "*"): (2, 0)}
    assert desk.look().error == ""


def test_the_canary_is_what_is_listened_to(stand: StandIn) -> None:
    assert Desk(stand).look().figures["deployment"] == OLD
    stand.add("dpl_canary", "v2")
    stand.configure_rolling(10, 100)
    stand._start({"canaryDeploymentId": "dpl_canary"})
    assert Desk(stand).look().figures["deployment"] == "dpl_canary"
    assert Desk(stand, deployment="dpl_other").look().figures["deployment"] == "dpl_other"


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (
            lambda stand: stand.break_("refuse", "GET", "", status=403, message="you sent $token"),
            "answers 403",
        ),
        (lambda stand: stand.break_("refuse", "GET", "runtime-logs", status=500), "answers 500"),
        (lambda stand: stand.break_("cut", "GET", "runtime-logs"), "127.0.0.1"),
        (lambda stand: stand.break_("page", "GET", "/v9/"), "does not answer with JSON"),
        (lambda stand: stand.logs.extend([{"raw": "<html>"}] * 20), "20 of 20 lines are no rows"),
        (lambda stand: stand.project.update(targets={}), "no deployment in production"),
    ],
)
def test_what_cannot_be_read_is_dead_not_quiet(
    stand: StandIn, trouble: t.Callable[[StandIn], None], words: str
) -> None:
    trouble(stand)
    reading = Desk(stand).look()
    assert words in reading.error
    assert told(reading) == {}


class Watched:
    """Looks with a clock that runs as fast as the looks take."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.seconds = desk, 0.0

    def look(self) -> list[Reading]:
        return [self.desk.look(self.seconds)]

    def clock(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += 30

    def say(self, line: str) -> None: ...


def judged(stand: StandIn) -> dict[str, t.Any]:
    desk = Desk(stand, timeout_seconds=0.4)
    return soak.soak(Watched(desk), Question(), soak.Plan(60))


def test_silence_is_inconclusive_and_never_a_pass(stand: StandIn) -> None:
    assert judged(stand)["verdict"] == "inconclusive"


def test_failures_are_a_breach(stand: StandIn) -> None:
    stand.logs = [row(number, 500 if number % 2 else 200, number / 10) for number in range(300)]
    found = judged(stand)
    assert (found["verdict"], found["trigger"]) == ("breach", "error_rate_over_5")
