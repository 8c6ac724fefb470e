# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's provider prometheus against a real one that reads an application of ours."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from ansible_collections.emailai.migration.plugins.module_utils._gate import provider
from ansible_collections.emailai.migration.plugins.module_utils._gate.reading import Look, Reading
from lab.ground import wait_until
from lab.prometheus import Application, Prometheus

WINDOW = 2
QUERIES = {
    "requests": "sum(increase(http_requests_total[$window]))",
    "errors": 'sum(increase(http_requests_total{code=~"5.."}[$window])) or vector(0)',
    "p95": "histogram_quantile(0.95, sum by (le) (rate(http_request_seconds_bucket[$window])))",
    "duration": "s",
}


class World:
    """A hundred requests a second, of which the share ``bad`` fails and takes long."""

    def __init__(self, application: Application, url: str) -> None:
        self.application, self.url = application, url
        self.bad = 0
        self.is_over = threading.Event()
        self.user = threading.Thread(target=self._use, daemon=True)
        self.user.start()

    def _use(self) -> None:
        while not self.is_over.wait(0.1):
            self.application.serve(10 - self.bad)
            if self.bad:
                self.application.serve(self.bad, "503", "0.5")

    def look(self, since: float, **options: t.Any) -> Reading:
        description = {"kind": "prometheus", "url": self.url, "lag_seconds": 0, **QUERIES, **options}
        (reading,) = provider.look_at_all([description], {}, Look(time.time(), since, WINDOW))
        return reading


@pytest.fixture(scope="module")
def world() -> t.Iterator[World]:
    application = Application()
    try:
        try:
            prometheus = Prometheus(application.port)
        except FileNotFoundError as exc:
            # A machine may be without it; where CI runs it is installed, and a skip counts as a failure.
            pytest.skip(str(exc))
        with prometheus:
            world = World(application, prometheus.url)
            # Not answering is an answer too: no series is not zero.
            assert "no number of requests; that is not zero" in world.look(time.time()).error
            wait_until(lambda: not world.look(time.time()).error, 20, "the first figures", 0.2)
            time.sleep(WINDOW)
            yield world
            world.is_over.set()
            world.user.join(5)
    finally:
        application.stop()


def one(reading: Reading, server: str = "*") -> tuple[int, int, int | None]:
    assert reading.error == ""
    tally = reading.slots[0, server]
    return tally.requests, tally.errors, tally.p95


def test_a_healthy_application_is_counted(world: World) -> None:
    requests, errors, p95 = one(world.look(time.time() - WINDOW))
    assert 100 < requests < 300
    assert (errors, p95) == (0, pytest.approx(98, abs=8))


def test_no_series_of_errors_is_not_zero(world: World) -> None:
    silent = QUERIES["errors"].replace(" or vector(0)", "")
    since = time.time() - WINDOW
    assert "no number of errors; that is not zero" in world.look(since, errors=silent).error
    assert one(world.look(since, errors=silent, errors_may_be_absent=True))[1] == 0


def test_servers_are_told_apart(world: World) -> None:
    by_server = {
        "requests": "sum by (server) (increase(http_requests_total[$window]))",
        "errors": "0 * sum by (server) (increase(http_requests_total[$window]))",
        "p95": "histogram_quantile(0.95, sum by (server, le) (rate(http_request_seconds_bucket[$window])))",
        "server_label": "server",
    }
    assert one(world.look(time.time() - WINDOW, **by_server), "app-1")[0] > 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"requests": "sum(increase(nobody_counts_total[$window]))"}, "no number of requests"),
        ({"requests": "sum(increase(up[$window])"}, "answers 400, invalid parameter"),
        ({"requests": "http_requests_total[$window]"}, "a query gives a matrix"),
        ({"p95": "rate(http_request_seconds_bucket[$window])"}, "it tells p95 twice"),
        ({"p95": "0 / (0 * sum(up))"}, "no response time"),
        ({"server_label": "server"}, "a series has no label server"),
        ({"server_label": "le"}, "a series has no label le"),
    ],
)
def test_a_query_that_cannot_be_used_is_said(world: World, options: dict[str, t.Any], words: str) -> None:
    reading = world.look(time.time() - WINDOW, **options)
    assert words in reading.error
    assert reading.slots == {}


def test_a_failing_application_is_seen(world: World) -> None:
    world.bad = 3
    time.sleep(WINDOW + 0.5)
    requests, errors, p95 = one(world.look(time.time() - WINDOW))
    assert errors / requests == pytest.approx(0.3, abs=0.1)
    assert p95 is not None
    assert p95 > 300
