# SPDX-License-Identifier: GPL-3.0-or-later
"""lb_page at a real HAProxy: visitors see the page, monitors go on seeing the health."""

from __future__ import annotations

import http.client
import typing as t

import pytest

from integration import haproxy_fixture
from integration.haproxy_fixture import Fleet, run_module


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fleet]:
    with haproxy_fixture.fleet(tmp_path_factory.mktemp("f"), count=1) as found:
        yield found


def page(fleet: Fleet, state: str, check_mode: bool = False, text: str = "") -> dict[str, t.Any]:
    params = {
        "balancers": [{"socket": fleet.haproxy.socket}],
        "map": fleet.haproxy.map,
        "state": state,
        "text": text,
    }
    return run_module("lb_page", params, check_mode)


def visit(port: int, path: str) -> tuple[int, str]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        line.request("GET", path)
        reply = line.getresponse()
        return reply.status, reply.read().decode()
    finally:
        line.close()


def test_the_maintenance_page_four_times_and_health_goes_on(fleet: Fleet) -> None:
    text = '<h1>We "upgrade"; back at 05:00</h1>\n  <p>100 % of your mail is safe \\ here</p>'
    for state, status in (("shown", 503), ("hidden", 200)):
        before = visit(fleet.haproxy.port, "/page")
        assert page(fleet, state, check_mode=True, text=text)["changed"]
        assert visit(fleet.haproxy.port, "/page") == before
        assert page(fleet, state, text=text)["changed"]
        code, body = visit(fleet.haproxy.port, "/page")
        assert code == status
        if state == "shown":
            assert body == " ".join(text.split())
        assert visit(fleet.haproxy.port, "/api/health")[0] == 200
        assert not page(fleet, state, check_mode=True, text=text)["changed"]
        assert not page(fleet, state, text=text)["changed"]


def test_a_page_nobody_prepared_is_a_failure(fleet: Fleet) -> None:
    params = {"balancers": [{"socket": fleet.haproxy.socket}], "map": "/no.map", "state": "shown"}
    failed = run_module("lb_page", params)
    assert failed["failed"]
    assert "Unknown map" in failed["msg"]
