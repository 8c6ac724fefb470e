# SPDX-License-Identifier: GPL-3.0-or-later
"""app_health as a module: what it returns, when it fails, and what it says in a readiness table."""

from __future__ import annotations

import typing as t

import pytest

from integration import haproxy_fixture
from integration.haproxy_fixture import AppServer, free_ports, run_module


@pytest.fixture
def server(tmp_path: t.Any) -> t.Iterator[AppServer]:
    haproxy_fixture.build_release(tmp_path, "v1.9.0")
    found = AppServer("app-1", tmp_path / "app-1", free_ports(1)[0])
    found.install(tmp_path / "sources" / "v1.9.0")
    found.set_cold(1)
    found.restart()
    try:
        yield found
    finally:
        found.stop()


def ask(urls: list[str], **more: t.Any) -> dict[str, t.Any]:
    return run_module("app_health", {"urls": urls, "timeout_seconds": 10, **more}, check_mode=True)


def test_a_cold_server_is_waited_for_and_its_release_is_returned(server: AppServer) -> None:
    found = ask([server.url])
    assert (found["outcome"], found["version"], found["changed"]) == ("healthy", "v1.9.0", False)
    assert found["servers"][0]["answers"] > 3
    assert found["servers"][0]["seconds"] > 0.9


def test_the_wrong_release_is_a_failure_that_names_both(server: AppServer) -> None:
    failed = ask([server.url], expected_version="v2.0.0-orgs", timeout_seconds=2)
    assert failed["failed"]
    assert failed["outcome"] == "sick"
    assert failed["msg"] == (
        f"Cannot confirm the health of {server.url}/api/health: it runs v1.9.0, not v2.0.0-orgs."
    )


def test_in_a_survey_silence_is_an_open_line_and_no_failure(server: AppServer) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    found = ask([server.url, nobody], must_be_healthy=False, expected_version="v1.9.0", timeout_seconds=3)
    assert not found.get("failed")
    assert (found["outcome"], found["version"]) == ("silent", "")
    assert [(line["kind"], line["state"]) for line in found["readiness"]] == [("app", "met"), ("app", "open")]
    assert "refused" in found["readiness"][1]["found"]
